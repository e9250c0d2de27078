"""The plain engine: the layers one after the other. It works for every model, on every device."""

import copy

import numpy as np

from minicnn.backend import Array, array_module, to_device
from minicnn.engine.base import Engine, StepResult, check_data
from minicnn.errors import NonFiniteError
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.model import Sequential
from minicnn.optimizers import Optimizer


class LayerwiseEngine(Engine):
    """Forward, loss, backward, update: the four lines of training, one layer at a time."""

    name = "layerwise"

    def __init__(self, model: Sequential, loss: SoftmaxCrossEntropy, optimizer: Optimizer) -> None:
        self.model = model
        self.loss = loss
        self.optimizer = optimizer

    def train_step(self, images: np.ndarray, labels: np.ndarray) -> StepResult:
        """Take one step on a batch, images (N, H, W, C) as stored and labels (N,).

        Raises
        ------
        ShapeError, DTypeError, DataError
            If these are other shapes, or labels are not whole numbers from 0 to K − 1.
        NonFiniteError
            If the loss is NaN or infinite, naming the layer where that began; nothing is updated then.
        """
        check_data(self.model, images, labels)
        x = self.model.preprocess(images)
        # Forward moves the running averages: a step that is refused puts them back.
        states = [dict(layer.state) for layer in self.model.layers]
        with np.errstate(over="ignore", invalid="ignore"):  # seen in the loss, and told with its cause
            logits = self.model.forward(x, training=True)
            loss = self.loss.forward(logits, labels)
            if not np.isfinite(loss):
                for layer, state in zip(self.model.layers, states, strict=True):
                    layer.state = state
                    layer.forget()
                raise NonFiniteError(f"the loss is {loss}: {blame(self.model, x)}")
            self.model.backward(self.loss.backward())
            self.optimizer.step(self.model)
        correct = logits.argmax(axis=1) == to_device(labels, self.model.device)
        return StepResult(loss, int(correct.sum()))


def blame(model: Sequential, x: Array) -> str:
    """Say which layer is the first to turn the finite input ``x`` into NaN or infinity, and how."""
    for layer in model.layers:
        for name, w in layer.params.items():
            if not _finite(w):
                return (
                    f"layer {layer.name!r} produced it, its {name} became NaN or infinite in an earlier "
                    "update; lower the learning rate, or start with a warm-up"
                )
        # A copy: the model's own masks, running averages and kept values stay as they were.
        x = copy.deepcopy(layer).forward(x, training=True)
        if not _finite(x):
            return (
                f"layer {layer.name!r} produced it, its output overflowed; "
                "lower the learning rate, or start with a warm-up"
            )
    return "every layer's output is finite, the loss itself overflowed; lower the learning rate"


def _finite(x: Array) -> bool:
    return bool(array_module(x).isfinite(x).all())
