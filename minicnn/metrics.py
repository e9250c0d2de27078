"""The numbers that judge a classifier, computed from its probabilities on a labeled set."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from minicnn.checks import whole_number
from minicnn.errors import ConfigError

CONFIDENCE = 0.95  # of intervals
TOP = 2, 5  # the k whose top-k accuracy is told, as far as there are more classes


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
class Averages:
    """Means over the classes, of shares. Classes without an image in the set are left out."""

    precision: float
    recall: float
    f1: float


def average(scores: ClassScores, weights: np.ndarray) -> Averages:
    """Return Σ w_c·s_c / Σ w_c of each score, with a weight w for each class, (classes,)."""
    return Averages(
        *(float(np.average(score, weights=weights)) for score in (scores.precision, scores.recall, scores.f1))
    )


def wilson_interval(right: int, N: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a share of which ``right`` of N were counted.

    With p = right / N and z = 1.96, the 97.5 % quantile of the normal distribution::

        (p + z²/2N ± z·√(p(1 − p)/N + z²/4N²)) / (1 + z²/N)

    Unlike p ± z·√(p(1 − p)/N) it stays between 0 and 1 and has a width where all or none were right. It is
    the interval of a share on new images, for this one trained model: another seed is another model.

    Source: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22,
    1927; compared with others by Brown, Cai & DasGupta, "Interval Estimation for a Binomial Proportion",
    Statistical Science 16, 2001, section 3.1.1.
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    p = right / N
    middle, reach = p + z**2 / (2 * N), z * math.sqrt(p * (1 - p) / N + z**2 / (4 * N**2))
    # Of none right the lower end is 0, of all the upper one is 1, which rounding would miss.
    low = 0.0 if right == 0 else (middle - reach) / (1 + z**2 / N)
    high = 1.0 if right == N else (middle + reach) / (1 + z**2 / N)
    return low, high


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
    """A model's answers on a labeled set, and what follows from them. Printed: loss, accuracy, its interval.

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
    def accuracy_interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the accuracy; see ``wilson_interval``."""
        return wilson_interval(int((self.predicted == self.labels).sum()), len(self.labels))

    def interval_text(self) -> str:
        """Return ``accuracy_interval`` in per cent."""
        low, high = self.accuracy_interval
        return f"{low:.2%} to {high:.2%}"

    @property
    def most_frequent(self) -> tuple[str, float]:
        """The class that most images have, and its share: what always answering it would get right."""
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        return self.class_names[int(counts.argmax())], float(counts.max() / len(self.labels))

    @property
    def learned(self) -> bool:
        """Whether the answers are better than always the most frequent class, by more than chance.

        They are if the 95 % confidence interval of the accuracy is above that class's share, or all are
        right.
        """
        return self.accuracy_interval[0] > self.most_frequent[1] or self.accuracy == 1

    def failure(self) -> str:
        """Return what there is to say where nothing was learned, and "" else."""
        if self.learned:
            return ""
        name, share = self.most_frequent
        return (
            f"nothing was learned that shows: of {len(self.labels):,} images {self.accuracy:.2%} are right, "
            f"and always answering {name}, the most frequent class, gets {share:.2%} right"
        )

    @property
    def macro(self) -> Averages:
        """Precision, recall and F1 as means over the classes: each class counts the same.

        A class without an image is left out: nothing of it could be found. One that was never predicted
        counts with a precision of 0.

        Source: Sokolova & Lapalme 2009, "A systematic analysis of performance measures for classification
        tasks", table 3; F1 is the mean of the classes' F1.
        """
        scores = class_scores(self.confusion)
        return average(scores, scores.support > 0)

    @property
    def weighted(self) -> Averages:
        """Precision, recall and F1 as means over the images: each class counts by its number n_c of them.

        Σ n_c·s_c / N, so a class without an image counts nothing; the recall is the accuracy.
        """
        scores = class_scores(self.confusion)
        return average(scores, scores.support)

    @property
    def balanced_accuracy(self) -> float:
        """The mean of the recalls of all classes that have an image: guessing is 1 / their number.

        Source: Brodersen et al. 2010, "The balanced accuracy and its posterior distribution", section 2.
        """
        return self.macro.recall

    @property
    def log_loss(self) -> float:
        """−mean log p, p the probability of an image's own class, at least 2⁻⁵².

        It is ``loss`` as far as the probabilities tell: where one rounds to 0, the logits tell more.

        Source: Bishop 2006, "Pattern Recognition and Machine Learning", equation 4.108, over N.
        """
        p = self.probabilities[np.arange(len(self.labels)), self.labels]
        return float(-np.log(np.maximum(p, np.finfo(np.float64).eps)).mean())

    def top_k_accuracy(self, k: int) -> float:
        """Return the share of images whose class is among the k most probable ones.

        Of equally probable classes the one with the lower number comes first, as in ``predicted``: with
        k = 1 this is the accuracy.

        Source: Russakovsky et al. 2015, "ImageNet Large Scale Visual Recognition Challenge", section 4.1,
        where 1 less this share is the top-k error.

        Raises
        ------
        ConfigError
            If k is not a whole number from 1 to the number of classes.
        """
        classes = self.probabilities.shape[1]
        if whole_number(k, "k") > classes:
            raise ConfigError(f"k must be at most {classes}, the number of classes, got {k}")
        order = np.argsort(-self.probabilities, axis=1, kind="stable")  # (N, classes)
        return float((order[:, :k] == self.labels[:, None]).any(axis=1).mean())

    def scores(self) -> dict[str, Any]:
        """Return all numbers besides loss and accuracy, as plain values for JSON."""
        top = [k for k in TOP if k < len(self.class_names)]
        return {
            "accuracy_interval": list(self.accuracy_interval),
            "most_frequent_share": self.most_frequent[1],
            "learned": self.learned,
            "balanced_accuracy": self.balanced_accuracy,
            "macro": asdict(self.macro),
            "weighted": asdict(self.weighted),
            **{f"top_{k}_accuracy": self.top_k_accuracy(k) for k in top},
            "log_loss": self.log_loss,
            "calibration_error": self.calibration().error,
        }

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

    def average_rows(self, decimals: int) -> list[tuple[str, str, str, str, str]]:
        """Return the same of the macro and the weighted average, and the number of all images."""
        averages = ("macro average", self.macro), ("weighted average", self.weighted)
        return [
            (
                name,
                *(f"{share:.{decimals}%}" for share in (mean.precision, mean.recall, mean.f1)),
                f"{len(self.labels):,}",
            )
            for name, mean in averages
        ]

    def table(self) -> str:
        """Return precision, recall, F1 and number of images as text, of each class and on average."""
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
