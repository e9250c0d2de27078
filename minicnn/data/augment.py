"""Augmentation: random changes to the training images."""

import math
from dataclasses import dataclass

import numpy as np

from minicnn.backend import array_module
from minicnn.checks import flag, number, size
from minicnn.errors import ShapeError
from minicnn.hints import Hinted
from minicnn.runtime.loading import load


@dataclass(frozen=True)
class Augmentation(Hinted):
    """Mirror half of the images, shift each by up to ``shift`` pixels, and erase a rectangle of some.

    Pixels that move in at the border and erased ones are 0.

    Parameters
    ----------
    flip : bool
        Mirror left and right: right for clothes, wrong for digits.
    shift : int
        The most pixels that an image is shifted along each axis, at least 0; all distances are equally
        probable.
    erase : float
        The probability, from 0 to 1, that a rectangle of an image is erased. Its height and width are between
        an eighth and half of the image's.

    Notes
    -----
    Applied to stored images, before the preprocessing.

    Sources: Simard, Steinkraus & Platt 2003, "Best Practices for Convolutional Neural Networks Applied to
    Visual Document Analysis", section 2; Zhong et al. 2020, "Random Erasing Data Augmentation", algorithm 1
    (which draws an area and an aspect ratio, and fills with noise).
    """

    flip: bool = False
    shift: int = 0
    erase: float = 0.0

    def __post_init__(self) -> None:
        flag(self.flip, "flip")
        size(self.shift, "shift", 0)
        number(self.erase, "erase", "[0, 1]")

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return new images of the same dtype; ``images`` is (N, H, W, C)."""
        array_module(images)  # raises if it is not an array
        if images.ndim != 4:
            raise ShapeError(f"expected images of shape (N, H, W, C), got {images.shape}")
        N = len(images)
        down, right = rng.integers(-self.shift, self.shift + 1, (2, N))
        mirrored = rng.integers(0, 1 + self.flip, N) == 1
        images = np.ascontiguousarray(images)
        changed = np.empty_like(images)
        # Moved as signed integers (Numba makes uint64, or 0, a float64): 0 is all bits 0 in every dtype.
        bits = np.dtype(f"i{math.gcd(images.dtype.itemsize, 8)}")
        load("minicnn.ops.augment").move(images.view(bits), mirrored, down, right, changed.view(bits))
        if self.erase:
            _erase(changed, np.flatnonzero(rng.random(N) < self.erase), rng)
        return changed


def sides(length: int) -> tuple[int, int]:
    """Return the smallest and the largest side of an erased rectangle on an image of that height or width."""
    return max(length // 8, 1), max(length // 2, 1)


def _erase(images: np.ndarray, chosen: np.ndarray, rng: np.random.Generator) -> None:
    """Set a rectangle of each chosen image to 0."""
    H, W = images.shape[1:3]
    h, w = (rng.integers(*sides(length), len(chosen), endpoint=True) for length in (H, W))
    top, left = rng.integers(0, H - h, endpoint=True), rng.integers(0, W - w, endpoint=True)
    for n, t, b, l, r in zip(chosen, top, top + h, left, left + w, strict=True):  # noqa: E741
        images[n, t:b, l:r] = 0
