"""The scores of a classifier, computed from its probabilities on a labeled set."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from minicnn.checks import whole_number
from minicnn.errors import ConfigError

CONFIDENCE = 0.95  # of intervals
TOP = 2, 5  # the k of the top-k accuracies that are reported, if there are more classes


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count, (classes, classes) int64: row is the true class, column the predicted one."""
    counts = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes)


class Scores(NamedTuple):
    """Precision, recall and F1: arrays (classes,), or floats for averages over the classes.

    ``precision``: share of the images predicted as a class that belong to it. ``recall``: share of a class's
    images that were found. ``f1``: their harmonic mean. A ratio without any image to count is 0.
    """

    precision: np.ndarray | float
    recall: np.ndarray | float
    f1: np.ndarray | float


def class_scores(confusion: np.ndarray) -> Scores:
    """Compute the scores of each class from a confusion matrix."""
    right = np.diagonal(confusion).astype(float)
    predicted, support = confusion.sum(axis=0), confusion.sum(axis=1)
    return Scores(_ratio(right, predicted), _ratio(right, support), _ratio(2 * right, predicted + support))


def wilson_interval(right: int, N: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a share, of which ``right`` of N were counted.

    With p = right / N and z = 1.96, the 97.5 % quantile of the normal distribution::

        (p + z²/2N ± z·√(p(1 − p)/N + z²/4N²)) / (1 + z²/N)

    Unlike p ± z·√(p(1 − p)/N) it stays between 0 and 1, and has a width even if all or none were right. It is
    about new images for this trained model, not about other seeds.

    Source: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22,
    1927; compared with others by Brown, Cai & DasGupta, "Interval Estimation for a Binomial Proportion",
    Statistical Science 16, 2001, section 3.1.1.
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    p = right / N
    middle, reach = p + z**2 / (2 * N), z * math.sqrt(p * (1 - p) / N + z**2 / (4 * N**2))
    # The exact ends, which rounding would miss.
    low = 0.0 if right == 0 else (middle - reach) / (1 + z**2 / N)
    high = 1.0 if right == N else (middle + reach) / (1 + z**2 / N)
    return low, high


@dataclass(frozen=True)
class Calibration:
    """Confidence and accuracy in bins of confidence; all arrays are (bins,) except ``edges``.

    ``edges``, (bins + 1,): equally spaced between 0 and 1. ``confidence``, ``accuracy``: means over the
    images whose highest probability is in the bin, 0 if there are none. ``count``: their number.
    ``error``: the expected calibration error, Σ count · |accuracy − confidence| / N.
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
    """A model's predictions on a labeled set, and the scores that follow from them.

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
        """Share of images classified correctly."""
        return float((self.predicted == self.labels).mean())

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the accuracy; see ``wilson_interval``."""
        return wilson_interval(int((self.predicted == self.labels).sum()), len(self.labels))

    def interval_text(self) -> str:
        """Return ``accuracy_interval`` in percent."""
        low, high = self.accuracy_interval
        return f"{low:.2%} to {high:.2%}"

    @property
    def most_frequent(self) -> tuple[str, float]:
        """The most frequent class and its share, which is the accuracy of always answering it."""
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        return self.class_names[int(counts.argmax())], float(counts.max() / len(self.labels))

    @property
    def learned(self) -> bool:
        """Whether the confidence interval of the accuracy is above ``most_frequent``, or all are right."""
        return self.accuracy_interval[0] > self.most_frequent[1] or self.accuracy == 1

    def failure(self) -> str:
        """Return a message if nothing was learned, else an empty string."""
        if self.learned:
            return ""
        name, share = self.most_frequent
        return (
            f"nothing was learned: of {len(self.labels):,} images {self.accuracy:.2%} are right, "
            f"and always answering {name}, the most frequent class, gets {share:.2%} right"
        )

    @property
    def confusion(self) -> np.ndarray:
        """See ``confusion_matrix``."""
        return confusion_matrix(self.labels, self.predicted, len(self.class_names))

    def _average(self, weights: np.ndarray) -> Scores:
        scores = class_scores(self.confusion)
        return Scores(*(float(np.average(score, weights=weights)) for score in scores))

    @property
    def macro(self) -> Scores:
        """The mean scores of the classes that have images; a class never predicted has precision 0.

        Source: Sokolova & Lapalme 2009, "A systematic analysis of performance measures for classification
        tasks", table 3; F1 is the mean of the classes' F1.
        """
        return self._average(self.confusion.sum(axis=1) > 0)

    @property
    def weighted(self) -> Scores:
        """The mean scores of the classes, weighted by their numbers of images; the recall is the accuracy."""
        return self._average(self.confusion.sum(axis=1))

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that have images; guessing gives 1 / their number.

        Source: Brodersen et al. 2010, "The balanced accuracy and its posterior distribution", section 2.
        """
        return float(self.macro.recall)

    @property
    def log_loss(self) -> float:
        """−mean log p, with p the probability of an image's own class, at least 2⁻⁵².

        It equals ``loss``, which is computed from the logits, unless a probability is rounded to 0.

        Source: Bishop 2006, "Pattern Recognition and Machine Learning", equation 4.108, over N.
        """
        p = self.probabilities[np.arange(len(self.labels)), self.labels]
        return float(-np.log(np.maximum(p, np.finfo(np.float64).eps)).mean())

    def top_k_accuracy(self, k: int) -> float:
        """Return the share of images whose class is among the k most probable; 1 ≤ k ≤ number of classes.

        Of equally probable classes the one with the lower number comes first, as in ``predicted``.

        Source: Russakovsky et al. 2015, "ImageNet Large Scale Visual Recognition Challenge", section 4.1,
        where the top-k error is 1 minus this share.
        """
        classes = self.probabilities.shape[1]
        if whole_number(k, "k") > classes:
            raise ConfigError(f"k must be at most {classes}, the number of classes, got {k}")
        order = np.argsort(-self.probabilities, axis=1, kind="stable")  # (N, classes)
        return float((order[:, :k] == self.labels[:, None]).any(axis=1).mean())

    def calibration(self, bins: int = 10) -> Calibration:
        """Compare confidence with accuracy, in at least one bin of confidence.

        Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.
        """
        bins = whole_number(bins, "bins")
        confidence, right = self.probabilities.max(axis=1), self.predicted == self.labels
        place = np.minimum((confidence * bins).astype(int), bins - 1)
        count, sum_confidence, sum_right = (
            np.bincount(place, weights, bins) for weights in (None, confidence, right)
        )
        error = float(np.abs(sum_right - sum_confidence).sum() / len(self.labels))
        confidence, accuracy = _ratio(sum_confidence, count), _ratio(sum_right, count)
        return Calibration(np.linspace(0, 1, bins + 1), confidence, accuracy, count, error)

    def scores(self) -> dict[str, Any]:
        """Return all scores except loss and accuracy, as plain values for JSON."""
        return {
            "accuracy_interval": list(self.accuracy_interval),
            "most_frequent_share": self.most_frequent[1],
            "learned": self.learned,
            "balanced_accuracy": self.balanced_accuracy,
            "macro": self.macro._asdict(),
            "weighted": self.weighted._asdict(),
            **{f"top_{k}_accuracy": self.top_k_accuracy(k) for k in TOP if k < len(self.class_names)},
            "log_loss": self.log_loss,
            "calibration_error": self.calibration().error,
        }

    def mistakes(self) -> np.ndarray:
        """Return the indices of the misclassified images, the most confident mistake first."""
        wrong = np.flatnonzero(self.predicted != self.labels)
        confidence = self.probabilities[wrong].max(axis=1)
        return wrong[np.argsort(-confidence, kind="stable")]

    def class_rows(self, decimals: int) -> list[tuple[str, ...]]:
        """Return name, precision, recall, F1 (in percent) and number of images of each class, as text.

        A score without any image to count is "–".
        """
        confusion = self.confusion
        support = confusion.sum(axis=1)
        counts = confusion.sum(axis=0), support, support
        columns = [
            [f"{share:.{decimals}%}" if n else "–" for share, n in zip(np.asarray(score), count, strict=True)]
            for score, count in zip(class_scores(confusion), counts, strict=True)
        ]
        return list(zip(self.class_names, *columns, map("{:,}".format, support), strict=True))

    def average_rows(self, decimals: int) -> list[tuple[str, ...]]:
        """Return the same for the macro and the weighted average."""
        averages = ("macro average", self.macro), ("weighted average", self.weighted)
        images = f"{len(self.labels):,}"
        return [(name, *(f"{share:.{decimals}%}" for share in mean), images) for name, mean in averages]

    def table(self) -> str:
        """Return the scores and numbers of images of each class, and the averages, as a text table."""
        rows = self.class_rows(decimals=2) + self.average_rows(decimals=2)
        width = max(len(row[0]) for row in rows)
        lines = [f"{'class':<{width}}  precision   recall       F1  images"]
        for name, precision, recall, f1, images in rows:
            lines.append(f"{name:<{width}}  {precision:>9}  {recall:>7}  {f1:>7}  {images:>6}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return f"loss {self.loss:.4f}, accuracy {self.accuracy:.2%} (95% interval {self.interval_text()})"

    def __repr__(self) -> str:
        return f"Evaluation({len(self.labels):,} images of {len(self.class_names)} classes: {self})"
