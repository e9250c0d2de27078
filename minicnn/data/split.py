"""Splitting a data set in two, with the same mix of classes in both parts."""

import numpy as np

from minicnn.checks import whole_number
from minicnn.data.dataset import Dataset
from minicnn.errors import ConfigError


def split(dataset: Dataset, fraction: float, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Split off a random part in which each class keeps its share.

    The part has ``round(fraction · N)`` images. Each class gives ``fraction`` of its images, rounded
    down; what is still missing comes, one image each, from the classes that lost most to rounding
    (largest remainder). Both results keep the order of the original.

    Parameters
    ----------
    dataset : Dataset
    fraction : float
        The share of the part, between 0 and 1.
    seed : int
        The same seed gives the same split.

    Returns
    -------
    rest, part : Dataset
        Copies; every image is in exactly one of them.

    Raises
    ------
    ConfigError
        When the fraction is not between 0 and 1, or leaves either result without an image,
        or when the seed is no integer of at least 0.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"split: fraction must be between 0 and 1, both excluded; got {fraction!r}")
    whole_number(seed, "seed", 0)
    size = round(fraction * len(dataset))
    if size in (0, len(dataset)):
        raise ConfigError(
            f"split: both results must hold an image; fraction {fraction} of {len(dataset)} images "
            f"is {size}: choose another fraction or a larger data set"
        )
    chosen = np.zeros(len(dataset), bool)
    rng = np.random.default_rng(seed)
    for label, share in enumerate(_shares(dataset.class_counts(), size)):
        members = np.flatnonzero(dataset.labels == label)
        chosen[rng.permutation(members)[:share]] = True
    return dataset.subset(~chosen), dataset.subset(chosen)


def _shares(counts: np.ndarray, size: int) -> np.ndarray:
    """Divide ``size`` among the classes in proportion to their counts, by largest remainder."""
    # In whole numbers: floats would let rounding errors decide between equal remainders.
    shares, remainders = np.divmod(counts * size, counts.sum())
    missing = size - shares.sum()
    shares[np.argsort(-remainders, kind="stable")[:missing]] += 1
    return shares
