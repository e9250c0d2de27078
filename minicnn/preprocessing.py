"""From stored images to what a network is fed; saved with the model, so that it always gets the same."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from minicnn.backend import Array, array_module
from minicnn.checks import number
from minicnn.errors import DataError, DTypeError, NonFiniteError, ShapeError


def pixel_moments(images: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation of all pixels, (N, H, W, C) uint8 or floating, on the scale 0…1."""

    def pieces() -> Iterator[np.ndarray]:
        # One at a time: all images in float64 would take eight times the memory of the images.
        return (np.asarray(images[i : i + 1000], np.float64) for i in range(0, len(images), 1000))

    scale = 1 / 255 if images.dtype == np.uint8 else 1.0
    mean = sum(piece.sum() for piece in pieces()) / images.size
    std = (sum(((piece - mean) ** 2).sum() for piece in pieces()) / images.size) ** 0.5
    return float(mean * scale), float(std * scale)


@dataclass(frozen=True)
class Preprocessing:
    """(x − mean) / std, with x on the scale 0…1: uint8 pixels are divided by 255, floats taken as they are.

    Parameters
    ----------
    mean, std : float
        On the scale 0…1; std above 0. For Fashion-MNIST, mean 0.286 and std 0.353.

    Raises
    ------
    ConfigError
        If one of them is not a finite number, or std not above 0.
    """

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        # Plain floats, which go into a model file; the dataclass is frozen, hence the long way.
        object.__setattr__(self, "mean", number(self.mean, "mean", "(−∞, ∞)"))
        object.__setattr__(self, "std", number(self.std, "std", "(0, ∞)"))

    @classmethod
    def standardising(cls, images: np.ndarray) -> "Preprocessing":
        """Return the preprocessing that gives these images mean 0 and standard deviation 1.

        Parameters
        ----------
        images : (N, H, W, C) uint8, or floating on the scale 0…1
            The training images, never the test images.

        Raises
        ------
        DataError
            If all pixels are equal.
        ShapeError, DTypeError, NonFiniteError, DataError
            See ``check``.
        """
        array_module(images)  # refuses lists
        cls().check(images, images.shape[1:])
        if images.min() == images.max():
            raise DataError(
                f"expected images with some contrast to standardise by; every pixel of all {len(images):,} "
                f"is {images.min()}: look at the data"
            )
        return cls(*pixel_moments(images))

    def __call__(self, images: Array, dtype: np.dtype, out: Array | None = None) -> Array:
        """Return ``images``, (N, H, W, C) uint8 or floating, as network input in ``dtype``, or in ``out``."""
        if out is None:
            x = images.astype(dtype)
        else:
            x = out
            x[...] = images
        scale = 1 / self.std if images.dtype.kind == "f" else 1 / (255 * self.std)
        x *= scale
        x -= self.mean / self.std
        return x

    def check(self, images: Array, image_shape: tuple[int, ...]) -> None:
        """Refuse images that are not what a model for ``image_shape`` (H, W, C) takes.

        Raises
        ------
        ShapeError
            If their shape is not (N, H, W, C), N ≥ 1.
        DTypeError
            If they are neither uint8 nor floating.
        NonFiniteError
            If a floating image holds NaN or infinity, or a number that float32 cannot hold.
        DataError
            If there are none, or floating images hold raw pixels, 0…255.
        """
        array_module(images)  # refuses lists
        if images.shape[1:] != image_shape:
            hint = ""
            if images.shape == image_shape:
                hint = ": for a single image pass image[None]"
            elif images.shape[1:] == image_shape[:-1] and image_shape[-1] == 1:
                hint = ": add the channel axis with images[..., None]"
            expected = ", ".join(["N", *map(str, image_shape)])
            raise ShapeError(f"expected images of shape ({expected}), got {images.shape}{hint}")
        if len(images) == 0:
            raise DataError("expected at least one image, got none")
        if images.dtype == np.uint8:
            return
        if images.dtype.kind != "f":
            raise DTypeError(f"expected images in uint8 (0…255) or floating (0…1), got {images.dtype}")
        self._check_floats(images)

    def _check_floats(self, images: Array) -> None:
        xp = array_module(images)
        # The minimum and maximum are NaN if any pixel is: no array of booleans is needed.
        low, high = float(images.min()), float(images.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            bad = int(xp.argmin(xp.isfinite(images).reshape(len(images), -1).all(axis=1)))
            raise NonFiniteError(f"image {bad} holds NaN or infinity; every pixel must be finite")
        if max(-low, high) > float(np.finfo(np.float32).max):
            raise NonFiniteError(
                f"pixels from {low:g} to {high:g} are infinite in float32: scale them to 0…1"
            )
        if low >= 0 and high >= 2 and bool((images[:8] == xp.rint(images[:8])).all()):
            raise DataError(
                f"these floating images look like raw pixels (0…255, maximum {high:g}): pass them as uint8, "
                "or divide them by 255"
            )
