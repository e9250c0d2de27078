"""Augmentation: each time an image is trained on, it is a little different."""

from dataclasses import dataclass

import numpy as np

from minicnn.checks import flag, whole_number


@dataclass(frozen=True)
class Augmentation:
    """Mirror half of the images, and move each by up to ``shift`` pixels; what comes in at the border is 0.

    Parameters
    ----------
    flip : bool
        Mirror left and right: right for clothes, wrong for digits.
    shift : int
        The most pixels that an image is moved, in each direction, all distances being equally probable.

    Notes
    -----
    For images as they are stored, before the preprocessing. Source: Simard, Steinkraus & Platt 2003, "Best
    Practices for Convolutional Neural Networks Applied to Visual Document Analysis", section 2.
    """

    flip: bool = False
    shift: int = 0

    def __post_init__(self) -> None:
        flag(self.flip, "flip")
        whole_number(self.shift, "shift", 0)

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return new images, (N, H, W, C) of the same dtype."""
        N, H, W, _ = images.shape
        down, right = rng.integers(-self.shift, self.shift + 1, (2, N, 1))
        h, w = np.arange(H) - down, np.arange(W) - right  # (N, H), (N, W): where each pixel comes from
        inside = _inside(h, H)[:, :, None] & _inside(w, W)[:, None, :]
        if self.flip:
            w = np.where(rng.integers(0, 2, (N, 1)) == 1, W - 1 - w, w)
        h, w = h.clip(0, H - 1)[:, :, None], w.clip(0, W - 1)[:, None, :]
        moved = images[np.arange(N)[:, None, None], h, w]
        moved[~inside] = 0
        return moved


def _inside(at: np.ndarray, size: int) -> np.ndarray:
    return (at >= 0) & (at < size)
