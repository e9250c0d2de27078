"""The plain engine: the layers one after the other. It works for every model, on every device."""

import copy

import numpy as np

from minicnn.backend import Array, array_module, to_device
from minicnn.engine.audit import Audit, audited, check_output
from minicnn.engine.base import Engine, StepResult, check_data, put_back_if_refused
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
        self.audit: Audit | None = None

    def train_step(self, images: np.ndarray, labels: np.ndarray) -> StepResult:
        """Take one step on a batch, images (N, H, W, C) as stored and labels (N,).

        Raises
        ------
        ShapeError, DTypeError, DataError
            If these are other shapes, or labels are not whole numbers from 0 to K − 1.
        NonFiniteError
            If the loss is NaN or infinite, naming the layer where that began; nothing is updated then.
        MiniCNNError
            If the model's layers or arrays were changed into what cannot be computed with: see ``Audit``.
        """
        check_data(self.model, images, labels)
        self.audit = audited(self.model, self.audit, training=True)
        x = self.model.preprocess(images)
        # What overflows is seen in the loss, and told with its cause.
        with put_back_if_refused(self.model), np.errstate(all="ignore"):
            logits = self.model.forward(x, training=True)
            check_output(self.model.layers[-1], logits, len(x))
            loss = self.loss.forward(logits, labels)
            if not np.isfinite(loss):
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
