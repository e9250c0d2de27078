"""The layerwise engine: one layer at a time, for every model and device."""

import copy

import numpy as np

from minicnn.backend import Array, array_module, to_device
from minicnn.engine.audit import Audit, audited, check_output
from minicnn.engine.base import Engine, StepResult, restored_on_error
from minicnn.errors import NonFiniteError
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optimizers import Optimizer
from minicnn.stack import Stack


class LayerwiseEngine(Engine):
    """Forward, loss, backward, update: the four lines of training, one layer at a time."""

    name = "layerwise"

    def __init__(self, model: Stack, loss: SoftmaxCrossEntropy, optimizer: Optimizer) -> None:
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.audit: Audit | None = None

    def _step(self, images: np.ndarray, labels: np.ndarray) -> StepResult:
        self.audit = audited(self.model, self.audit, training=True)
        x = self.model.preprocess(images)
        # An overflow makes the loss non-finite, which is reported with its cause.
        with restored_on_error(self.model), np.errstate(all="ignore"):
            logits = self.model.forward(x, training=True)
            check_output(self.model.layers[-1], logits, len(x))
            loss = self.loss.forward(logits, labels)
            if not np.isfinite(loss):
                raise NonFiniteError(f"the loss is {loss}: {blame(self.model, x)}")
            self.model.backward(self.loss.backward(), need_dx=False)
            self.optimizer.step(self.model)
        correct = logits.argmax(axis=1) == to_device(labels, self.model.device)
        return StepResult(loss, int(correct.sum()))


def blame(model: Stack, x: Array) -> str:
    """Describe the first layer that turns the finite input ``x`` into NaN or infinity."""
    for layer in model.layers:
        for name, w in layer.params.items():
            if not _finite(w):
                return (
                    f"layer {layer.name!r} produced it, its {name} became NaN or infinite in an earlier "
                    "update; lower the learning rate, or start with a warm-up"
                )
        # A copy, so that the model's masks, running averages and caches do not change.
        x = copy.deepcopy(layer).forward(x, training=True)
        if not _finite(x):
            return (
                f"layer {layer.name!r} produced it, its output overflowed; "
                "lower the learning rate, or start with a warm-up"
            )
    return "every layer's output is finite, but the loss overflowed; lower the learning rate"


def _finite(x: Array) -> bool:
    return bool(array_module(x).isfinite(x).all())
