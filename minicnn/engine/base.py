"""The base class of all engines."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from minicnn import advice
from minicnn.data import Augmentation
from minicnn.errors import ShapeError
from minicnn.losses import SoftmaxCrossEntropy, check_labels
from minicnn.optimizers import Optimizer
from minicnn.stack import Stack


class StepResult(NamedTuple):
    """The mean loss of a batch, and the number of images classified correctly."""

    loss: float
    correct: int


class StepTotals(NamedTuple):
    """Results of one or more steps: images, the sum of their losses, how many were classified correctly."""

    images: int
    loss_sum: float
    correct: int


class Engine:
    """Base class: batches come from main memory, and each step returns its result at once."""

    name: str
    model: Stack
    loss: SoftmaxCrossEntropy
    optimizer: Optimizer

    def train_step(self, images: np.ndarray, labels: np.ndarray) -> StepResult:
        """Take one step on a batch, images (N, H, W, C) as stored and labels (N,).

        Raises
        ------
        ShapeError, DTypeError, DataError
            If images or labels do not fit the model: see ``check_data``.
        NonFiniteError
            If the loss is NaN or infinite; the message names the layer that caused it. Nothing is updated.
        MiniCNNError
            If layers or arrays of the model were changed so that it cannot be trained: see ``Audit``.
        """
        check_data(self.model, images, labels)
        return self._step(images, labels)

    def _step(self, images: np.ndarray, labels: np.ndarray) -> StepResult:
        """Take one step on a batch that has been checked."""
        raise NotImplementedError(f"{type(self).__name__} must define _step")

    def load(
        self, images: np.ndarray, labels: np.ndarray, augmentation: Augmentation | None = None, seed: int = 0
    ) -> None:
        """Check the data set once, as ``check_data`` does, and use it in ``step``, with this augmentation."""
        check_data(self.model, images, labels)
        self._data: Any = images, np.array(labels, np.int64)
        self._augmentation, self._rng = augmentation, np.random.default_rng(seed)

    def step(self, rows: np.ndarray) -> StepTotals | None:
        """Take one step on these rows of the data set, and return the new results; None if not ready yet."""
        images, labels = (array[rows] for array in self._data)
        if self._augmentation is not None:
            images = self._augmentation(images, self._rng)
        result = self._step(images, labels)
        return StepTotals(len(rows), result.loss * len(rows), result.correct)

    def launch(self) -> None:
        """Launch all pending steps, so that the model shows their results."""

    def finish(self) -> StepTotals | None:
        """Wait for all steps, and return the new results, if any."""
        return None

    def unload(self) -> None:
        """Release the data set."""
        self._data = None


@contextmanager
def restored_on_error(model: Stack) -> Iterator[None]:
    """Restore the layers' running averages and gradients if the ``with`` block raises an error."""
    saved = [(layer, dict(layer.state), dict(layer.grads)) for layer in model.layers]
    try:
        yield
    except Exception:
        for layer, state, grads in saved:
            layer.state, layer.grads = state, grads
            layer.forget()
        raise


def check_data(model: Stack, images: np.ndarray, labels: np.ndarray) -> None:
    """Check that a classifier can be trained on these images and labels.

    Raises
    ------
    ShapeError, DTypeError, DataError
        If images are not (N ≥ 1, *input_shape), labels are not (N,) whole numbers from 0 to K − 1, or the
        model's output is not (K,).
    """
    N, expected = len(images), model.input_shape
    if len(model.output_shape) != 1:
        raise ShapeError(
            f"expected a model whose output is (K,) logits, got {model.output_shape}: "
            "end it with Flatten and Dense"
        )
    if N == 0 or images.shape[1:] != expected or labels.shape != (N,):
        line = advice.label_line(labels, N) if labels.shape != (N,) else ""
        raise ShapeError(
            f"expected images (N ≥ 1, {', '.join(map(str, expected))}) and labels (N,), got "
            f"{images.shape} and {labels.shape}{advice.ending(line)}"
        )
    check_labels(labels, model.output_shape[0])
