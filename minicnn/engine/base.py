"""What every engine is: it takes training steps, on batches or on rows of a data set."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from minicnn import advice
from minicnn.data import Augmentation
from minicnn.errors import ShapeError
from minicnn.losses import SoftmaxCrossEntropy, check_labels
from minicnn.model import Sequential
from minicnn.optimizers import Optimizer


class StepResult(NamedTuple):
    """The batch's mean loss, and how many of its images were classified rightly."""

    loss: float
    correct: int


class Seen(NamedTuple):
    """What some steps have seen: images, the sum of their losses, how many were classified rightly."""

    images: int
    loss_sum: float
    correct: int


class Engine:
    """Base: takes its batches from arrays in main memory, and knows the result of each step at once."""

    name: str
    model: Sequential
    loss: SoftmaxCrossEntropy
    optimizer: Optimizer

    def train_step(self, images: np.ndarray, labels: np.ndarray) -> StepResult:
        """Take one step on a batch, images (N, H, W, C) as stored and labels (N,)."""
        raise NotImplementedError(f"{type(self).__name__} must define train_step")

    def load(
        self, images: np.ndarray, labels: np.ndarray, augmentation: Augmentation | None = None, seed: int = 0
    ) -> None:
        """Take the data set from whose rows ``step`` makes its batches, and what changes them each time."""
        self._data = images, labels
        self._augmentation, self._rng = augmentation, np.random.default_rng(seed)

    def step(self, rows: np.ndarray) -> Seen | None:
        """Take one step on these rows of the data set.

        Returns
        -------
        Seen or None
            What the steps since the last answer have seen; None if that will be known later.
        """
        images, labels = (array[rows] for array in self._data)
        if self._augmentation is not None:
            images = self._augmentation(images, self._rng)
        result = self.train_step(images, labels)
        return Seen(len(rows), result.loss * len(rows), result.correct)

    def launch(self) -> None:
        """Begin the steps that wait for others, so that the model is seen as they leave it."""

    def finish(self) -> Seen | None:
        """Wait for all steps, and return what those since the last answer have seen, if there are any."""
        return None

    def unload(self) -> None:
        """Let go of the data set."""
        self._data = None


@contextmanager
def put_back_if_refused(model: Sequential) -> Iterator[None]:
    """Give the layers their running averages and gradients back if what is done in here raises an error."""
    kept = [(layer, dict(layer.state), dict(layer.grads)) for layer in model.layers]
    try:
        yield
    except Exception:
        for layer, state, grads in kept:
            layer.state, layer.grads = state, grads
            layer.forget()
        raise


def check_data(model: Sequential, images: np.ndarray, labels: np.ndarray) -> None:
    """Refuse images and labels that a classifier cannot be trained on.

    Raises
    ------
    ShapeError, DTypeError, DataError
        If images are not (N ≥ 1, *input_shape), labels not (N,) whole numbers from 0 to K − 1, or the model's
        output is not (K,).
    """
    N, expected = len(images), model.input_shape
    if len(model.output_shape) != 1:
        raise ShapeError(
            f"expected a model whose output is (K,) logits, this one's is {model.output_shape}: "
            "end it with Flatten and Dense"
        )
    if N == 0 or images.shape[1:] != expected or labels.shape != (N,):
        line = advice.label_line(labels, N) if labels.shape != (N,) else ""
        raise ShapeError(
            f"expected images (N ≥ 1, {', '.join(map(str, expected))}) and labels (N,), got "
            f"{images.shape} and {labels.shape}{advice.told(line)}"
        )
    check_labels(labels, model.output_shape[0])
