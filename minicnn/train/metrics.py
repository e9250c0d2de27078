"""The numbers that judge a classifier, computed from its probabilities on a labelled set."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minicnn.checks import whole_number


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count, (classes, classes) int64: row is the true class, column the predicted one."""
    counts = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes)


@dataclass(frozen=True)
class ClassScores:
    """How well each class is found; every array is (classes,).

    ``precision``: share of the images called this class that are it. ``recall``: share of this
    class's images that were called it. ``f1``: their harmonic mean. ``support``: the class's images.
    A ratio without any image to count is 0.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


def class_scores(confusion: np.ndarray) -> ClassScores:
    """Compute precision, recall and F1 of each class from a confusion matrix."""
    right = np.diagonal(confusion).astype(float)
    called, support = confusion.sum(axis=0), confusion.sum(axis=1)
    return ClassScores(
        precision=_ratio(right, called),
        recall=_ratio(right, support),
        f1=_ratio(2 * right, called + support),
        support=support,
    )


@dataclass(frozen=True)
class Calibration:
    """Whether a confidence of 80 % is right in 80 % of the cases; every array is (bins,).

    ``edges`` (bins + 1,): of equal width between 0 and 1. ``confidence``, ``accuracy``: means over the images
    whose highest probability is in the bin, 0 where there are none. ``count``: their number. ``error``: the
    expected calibration error, Σ count · |accuracy − confidence| / N.
    """

    edges: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray
    error: float


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)


@dataclass(frozen=True)
class Evaluation:
    """A model's answers on a labelled set, and what follows from them. Printed: loss and accuracy.

    Attributes
    ----------
    loss : float
        The cross-entropy, mean over all images.
    labels : (N,) int64
    probabilities : (N, K)
    class_names : tuple of str
    """

    loss: float
    labels: np.ndarray
    probabilities: np.ndarray
    class_names: Sequence[str]

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each image, (N,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def accuracy(self) -> float:
        """Share of images classified rightly."""
        return float((self.predicted == self.labels).mean())

    @property
    def confusion(self) -> np.ndarray:
        """See ``confusion_matrix``."""
        return confusion_matrix(self.labels, self.predicted, len(self.class_names))

    def mistakes(self) -> np.ndarray:
        """Return the indices of the images classified wrongly, the most confident mistake first."""
        wrong = np.flatnonzero(self.predicted != self.labels)
        confidence = self.probabilities[wrong].max(axis=1)
        return wrong[np.argsort(-confidence, kind="stable")]

    def calibration(self, bins: int = 10) -> Calibration:
        """Compare confidence with accuracy, in bins of confidence.

        Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.

        Raises
        ------
        ConfigError
            If ``bins`` is not a whole number of at least 1.
        """
        bins = whole_number(bins, "bins")
        confidence, right = self.probabilities.max(axis=1), self.predicted == self.labels
        which = np.minimum((confidence * bins).astype(int), bins - 1)
        count, sum_confidence, sum_right = (
            np.bincount(which, weights, bins) for weights in (None, confidence, right)
        )
        error = float(np.abs(sum_right - sum_confidence).sum() / len(self.labels))
        edges = np.linspace(0, 1, bins + 1)
        confidence, accuracy = (_ratio(total, count) for total in (sum_confidence, sum_right))
        return Calibration(edges, confidence, accuracy, count, error)

    def class_rows(self, decimals: int) -> list[tuple[str, str, str, str, str]]:
        """Return name, precision, recall, F1 and number of images of each class, as text.

        The scores are in per cent; "–" is the precision of a class that was never predicted, and recall and
        F1 of a class without images.
        """
        scores, called = class_scores(self.confusion), self.confusion.sum(axis=0)
        ratios = (scores.precision, called), (scores.recall, scores.support), (scores.f1, scores.support)
        columns = [
            [f"{ratio:.{decimals}%}" if count else "–" for ratio, count in zip(*pair, strict=True)]
            for pair in ratios
        ]
        return list(zip(self.class_names, *columns, map("{:,}".format, scores.support), strict=True))

    def table(self) -> str:
        """Return the per-class table as text: precision, recall, F1 and number of images."""
        width = max(len("class"), *map(len, self.class_names))
        lines = [f"{'class':<{width}}  precision   recall       F1  images"]
        for name, precision, recall, f1, images in self.class_rows(decimals=2):
            lines.append(f"{name:<{width}}  {precision:>9}  {recall:>7}  {f1:>7}  {images:>6}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return f"loss {self.loss:.4f}, accuracy {self.accuracy:.2%}"

    def __repr__(self) -> str:
        return f"Evaluation({len(self.labels):,} images of {len(self.class_names)} classes: {self})"
