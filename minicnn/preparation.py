"""How the training images were prepared; saved with the model, so that a picture is prepared the same way.

MNIST's digits fill 20 of 28 pixels, garments all of them, and photographs have no plain background. This is
measured on the images.
"""

from dataclasses import dataclass

import numpy as np

from minicnn.checks import flag, number

SAMPLE = 1000  # how many images are measured
PLAIN = 0.05  # a pixel of the background differs from black or white by at most this share
LIT = 0.2  # a pixel of the object is at least this light, on the scale 0…1
SECOND = 0.3  # a part with less than this share of the largest part's ink is not a second object
SLACK = 0.05  # an image may have so much less or more ink than any training image


@dataclass(frozen=True)
class Preparation:
    """What the training images have in common, so that a picture can be made like them.

    Parameters
    ----------
    margin : float, optional
        The share of height and width, below 0.5, that an object leaves empty on each side. None: the
        images do not show one object on a black or white background.
    negative : bool
        Whether the objects are dark on white.
    least_ink, most_ink : float
        The mean of an image, on the scale 0…1 and light on black: the 0.1 % and the 99.9 % quantile of the
        training images.
    second_part : float
        The ink of an image's second largest part, as a share of the largest part's: the 99.5 % quantile of
        the training images.
    """

    margin: float | None = 0.0
    negative: bool = False
    least_ink: float = 0.0
    most_ink: float = 1.0
    second_part: float = 1.0

    def __post_init__(self) -> None:
        if self.margin is not None:
            number(self.margin, "margin", "[0, 1)")
        flag(self.negative, "negative")
        for name in ("least_ink", "most_ink", "second_part"):
            number(getattr(self, name), name, "[0, 1]")

    @classmethod
    def of(cls, images: np.ndarray) -> "Preparation":
        """Return how images, (N, H, W, C) uint8 or floating on the scale 0…1, were prepared.

        The margin is the median of what the longer side of an object leaves empty.
        """
        sample = images[:: -(-len(images) // SAMPLE)]
        if sample.shape[-1] != 1:
            return cls(margin=None)
        x = sample[..., 0].astype(np.float64) / (255 if sample.dtype == np.uint8 else 1)
        edges = np.concatenate([x[:, [0, -1]].ravel(), x[:, :, [0, -1]].ravel()])
        black, white = np.mean(edges <= PLAIN), np.mean(edges >= 1 - PLAIN)
        if white > black:
            x = 1 - x
        objects = x[(x > LIT).any(axis=(1, 2))]
        if max(black, white) < 0.5 or len(objects) == 0:
            return cls(margin=None)
        least, most = np.quantile(objects.mean(axis=(1, 2)), (0.001, 0.999)).clip(0, 1)
        second = np.quantile([_second_part(image) for image in objects], 0.995)
        margin = (1 - np.median(_extent(objects > LIT))) / 2
        return cls(float(margin), bool(white > black), float(least), float(most), float(second))

    def remarks(self, image: np.ndarray) -> list[str]:
        """Return in which ways an image, (H, W, C) uint8, differs from the training images."""
        if image.min() == image.max():
            return ["nothing stands out: the prediction means nothing"]
        if self.margin is None or image.shape[-1] != 1:
            return []
        x = image[..., 0] / 255
        x = 1 - x if self.negative else x
        found = []
        if _second_part(x) > max(SECOND, self.second_part):
            found.append("several objects stand out, and are taken as one: crop the picture")
        if not (1 - SLACK) * self.least_ink <= x.mean() <= (1 + SLACK) * self.most_ink:
            less = "less" if x.mean() < self.least_ink else "more"
            found.append(f"it has {less} ink than the training images: the prediction may mean nothing")
        return found


def _extent(lit: np.ndarray) -> np.ndarray:
    """Return the longer side of the lit pixels, (N, H, W) bool, as a share of the image's: (N,)."""

    def longest(along: np.ndarray) -> np.ndarray:
        first, last = along.argmax(axis=1), along.shape[1] - along[:, ::-1].argmax(axis=1)
        return (last - first) / along.shape[1]

    return np.maximum(longest(np.any(lit, axis=2)), longest(np.any(lit, axis=1)))


def _second_part(image: np.ndarray) -> float:
    """Return the ink of the second largest part of an image (H, W), as a share of the largest part's."""
    from scipy import ndimage

    labels, parts = ndimage.label(image > LIT, np.ones((3, 3)))
    if parts < 2:
        return 0.0
    ink = np.sort(np.bincount(labels.ravel(), image.ravel())[1:])
    return float(ink[-2] / ink[-1])
