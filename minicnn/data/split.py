"""Stratified splits and samples of a data set."""

from collections.abc import Iterator

import numpy as np

from minicnn.checks import number, whole_number
from minicnn.data.dataset import Dataset, check_dataset
from minicnn.errors import ConfigError


def split(dataset: Dataset, fraction: float, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Split off a random part in which each class keeps its share.

    The part has ``round(fraction · N)`` images. Each class gives ``fraction`` of its images, rounded down;
    the classes with the largest remainders give one more. Both results keep the original order.

    Parameters
    ----------
    dataset : Dataset
    fraction : float
        The share of the part, between 0 and 1; both results must have an image.
    seed : int
        At least 0; the same seed gives the same split.

    Returns
    -------
    rest, part : Dataset
        Copies; every image is in exactly one of them.
    """
    check_dataset(dataset)
    fraction = number(fraction, "fraction", "(0, 1)")
    whole_number(seed, "seed", 0)
    size = round(fraction * len(dataset))
    if size in (0, len(dataset)):
        raise ConfigError(
            f"split: both results must hold an image; fraction {fraction} of {len(dataset)} images "
            f"is {size}: choose another fraction, or give more images"
        )
    chosen = np.zeros(len(dataset), bool)
    rng = np.random.default_rng(seed)
    for label, share in enumerate(_shares(dataset.class_counts(), size)):
        members = np.flatnonzero(dataset.labels == label)
        chosen[rng.permutation(members)[:share]] = True
    return dataset.subset(~chosen), dataset.subset(chosen)


def sample(dataset: Dataset, size: int) -> Dataset:
    """Return the first images of each class, ``size`` in all or the whole data set, in the original order.

    Each class keeps its share, as in ``split``, and has at least one image if ``size`` allows it, even if the
    data set is sorted by class.
    """
    if whole_number(size, "size") >= len(dataset):
        return dataset
    counts = dataset.class_counts()
    one = np.minimum(counts, 1) if size >= np.count_nonzero(counts) else np.zeros_like(counts)
    shares = one if one.sum() == size else one + _shares(counts - one, size - one.sum())
    chosen = np.zeros(len(dataset), bool)
    for label, share in enumerate(shares):
        chosen[np.flatnonzero(dataset.labels == label)[:share]] = True
    return dataset.subset(chosen)


def k_folds(dataset: Dataset, k: int = 5, seed: int = 0) -> Iterator[tuple[Dataset, Dataset]]:
    """Split k times, for cross-validation: each image is in the validation part once.

    The images are shuffled, ordered by class, and dealt to the k folds in turn, so two folds differ by at
    most one image, in all and in each class. Every part keeps the original order.

    Parameters
    ----------
    dataset : Dataset
    k : int
        From 2 to the number of images.
    seed : int
        At least 0; the same seed gives the same folds.

    Returns
    -------
    iterator of (train, validation) : Dataset, Dataset
        Copies, made one pair at a time: memory holds the images twice, not k times.
    """
    check_dataset(dataset)
    if whole_number(k, "k", 2) > len(dataset):
        raise ConfigError(
            f"k_folds: each of {k} folds needs an image; got {len(dataset)}: choose a smaller k"
        )
    shuffled = np.random.default_rng(whole_number(seed, "seed", 0)).permutation(len(dataset))
    by_class = shuffled[np.argsort(dataset.labels[shuffled], kind="stable")]
    fold = np.empty(len(dataset), int)
    fold[by_class] = np.arange(len(dataset)) % k
    return ((dataset.subset(fold != i), dataset.subset(fold == i)) for i in range(k))


def _shares(counts: np.ndarray, size: int) -> np.ndarray:
    """Divide ``size`` among the classes in proportion to their counts, by largest remainder."""
    # In integers: with floats, rounding errors would decide between equal remainders.
    shares, remainders = np.divmod(counts * size, counts.sum())
    missing = size - shares.sum()
    shares[np.argsort(-remainders, kind="stable")[:missing]] += 1
    return shares
