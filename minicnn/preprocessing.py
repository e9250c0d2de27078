"""Preprocessing of images before the first layer; saved with the model, so it is the same everywhere."""

# pyright: reportAttributeAccessIssue=false
# Scale and Standardize define mean and std, which the base class uses.

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from minicnn import advice
from minicnn.backend import Array, array_module
from minicnn.checks import number
from minicnn.errors import ConfigError, DataError, DTypeError, NonFiniteError, ShapeError
from minicnn.text import shown


@dataclass(frozen=True)
class Preprocessing:
    """(x − mean) / std: the base class of `Scale` and `Standardize`.

    x is on the scale 0…1: uint8 pixels are divided by 255, floats are unchanged.

    Parameters
    ----------
    trained_on : (float, float), optional
        The smallest and the largest pixel that the model was trained on, uint8 divided by 255. The trainer
        sets it; from then on images on another scale are an error.
    """

    mean: float = field(init=False)
    std: float = field(init=False)
    trained_on: tuple[float, float] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if type(self) is Preprocessing:
            raise ConfigError("Preprocessing is a base class: write Scale() or Standardize.fit(images)")
        if self.trained_on is not None:
            if not isinstance(self.trained_on, tuple | list) or len(self.trained_on) != 2:
                raise ConfigError(
                    f"trained_on must be two numbers such as (0, 1), got {shown(self.trained_on)}"
                )
            span = tuple(number(pixel, "each of trained_on", "(−∞, ∞)") for pixel in self.trained_on)
            object.__setattr__(self, "trained_on", span)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "Preprocessing":
        """Return the preprocessing that ``dataclasses.asdict`` described, as a model file holds it."""
        loaded = Standardize(**{"mean": 0.0, "std": 1.0, **values})
        return Scale(trained_on=loaded.trained_on) if (loaded.mean, loaded.std) == (0, 1) else loaded

    def trained(self, images: Array) -> "Preprocessing":
        """Return the preprocessing of a model trained on these images, unless it was trained before."""
        if self.trained_on is not None:
            return self
        scale = 255 if images.dtype == np.uint8 else 1
        return replace(self, trained_on=tuple(float(pixel) / scale for pixel in (images.min(), images.max())))

    def __call__(self, images: Array, dtype: np.dtype, out: Array | None = None) -> Array:
        """Return ``images``, (N, H, W, C) uint8 or floating, as network input in ``dtype``, or in ``out``."""
        scale = 1 / self.std if images.dtype.kind == "f" else 1 / (255 * self.std)
        with np.errstate(under="ignore"):  # tiny pixels may become 0
            if out is None:
                x = images.astype(dtype, subok=False)
            else:
                x = out
                x[...] = images
            x *= scale
            x -= self.mean / self.std
        return x

    def check(self, images: Array, image_shape: tuple[int, ...]) -> None:
        """Check that a model for ``image_shape`` (H, W, C) can take these images.

        Raises ShapeError if their shape is not (N, H, W, C); DataError if there are none, or if they are
        clearly on another scale: uint8 of 0 and 1 only, floats on 0…255, or not the scale that the model was
        trained on; and the errors of ``check_pixels``.
        """
        try:
            array_module(images)
        except DTypeError as reason:
            kind = type(images).__name__
            line = "images = images.images" if kind == "Dataset" else advice.array_line(images, "images")
            raise DTypeError(f"expected a NumPy or CuPy array, got {kind}{advice.ending(line)}") from reason
        if images.shape[1:] != image_shape:
            expected = ", ".join(["N", *map(str, image_shape)])
            line = _model_line(images, image_shape)
            raise ShapeError(
                f"expected images of shape ({expected}), got {images.shape}{advice.ending(line)}"
            )
        if len(images) == 0:
            raise DataError("expected at least one image, got none")
        low, high = check_pixels(images)
        _check_range(images, low, high)
        if self.trained_on is not None:
            _check_scale(images, low, high, self.trained_on)


@dataclass(frozen=True)
class Scale(Preprocessing):
    """Pixels on the scale 0…1: the default of a model."""

    mean: float = field(default=0.0, init=False)
    std: float = field(default=1.0, init=False)


@dataclass(frozen=True)
class Standardize(Preprocessing):
    """Pixels with mean 0 and standard deviation 1: (x − mean) / std.

    Parameters
    ----------
    mean, std : float
        Finite, on the scale 0…1; std above 0. For Fashion-MNIST, mean 0.286 and std 0.353. See `fit`.
    """

    mean: float
    std: float

    def __post_init__(self) -> None:
        super().__post_init__()
        # Plain floats, for the model file. The dataclass is frozen, so it cannot assign to its fields.
        object.__setattr__(self, "mean", number(self.mean, "mean", "(−∞, ∞)"))
        object.__setattr__(self, "std", number(self.std, "std", "(0, ∞)"))

    @classmethod
    def fit(cls, images: np.ndarray) -> "Standardize":
        """Return the preprocessing that gives these images mean 0 and standard deviation 1.

        Parameters
        ----------
        images : (N, H, W, C) uint8, or floating on the scale 0…1
            The training images, never the test images.

        Raises
        ------
        ShapeError, DTypeError, NonFiniteError, DataError
            See ``check``; DataError also if all pixels are equal.
        """
        array_module(images)  # raises if it is not an array
        Scale().check(images, images.shape[1:])
        if images.min() == images.max():
            raise DataError(
                f"expected images with some contrast to standardize by; every pixel of all {len(images):,} "
                f"is {images.min()}: check the data"
            )
        return cls(*pixel_moments(images))


def pixel_moments(images: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation of all pixels, (N, H, W, C) uint8 or floating, on the scale 0…1."""
    scale = 1 / 255 if images.dtype == np.uint8 else 1.0
    mean = sum(piece.sum() for piece in _pieces(images)) / images.size
    std = (sum(((piece - mean) ** 2).sum() for piece in _pieces(images)) / images.size) ** 0.5
    return float(mean * scale), float(std * scale)


def check_pixels(images: Array) -> tuple[float, float]:
    """Return the smallest and the largest pixel of images (N, H, W, C).

    Raises DTypeError if they are neither uint8 nor floating, NonFiniteError if a pixel is NaN or infinite
    (also in float32), and DataError if some are masked.
    """
    if isinstance(images, np.ma.MaskedArray) and np.ma.is_masked(images):
        raise DataError(
            f"images must not be masked; {np.ma.count_masked(images):,} of {images.size:,} pixels are: fill "
            "them, with black for example: write images = images.filled(0)"
        )
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        line = advice.pixel_line(images) if isinstance(images, np.ndarray) else ""
        seen = f", from {images.min()} to {images.max()}" if images.dtype.kind in "bui" else ""
        raise DTypeError(
            f"images must be uint8 or floating (0…255 or 0…1); got {images.dtype}{seen}{advice.ending(line)}"
        )
    # The minimum and maximum are NaN if any pixel is: no array of booleans is needed.
    low, high = float(images.min()), float(images.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        finite = array_module(images).isfinite(images)
        place = tuple(int(i) for i in np.unravel_index(int(finite.argmin()), images.shape))
        raise NonFiniteError(
            f"image {place[0]} holds NaN or infinity: images{list(place)} is {images[place]}; every pixel "
            "must be finite: remove or repair that image"
        )
    if max(-low, high) > float(np.finfo(np.float32).max):
        raise NonFiniteError(f"pixels from {low:g} to {high:g} are infinite in float32: scale them to 0…1")
    return low, high


def _check_range(images: Array, low: float, high: float) -> None:
    """Check that pixels from ``low`` to ``high`` are uint8 on 0…255, or floats on 0…1 or standardized.

    Raises DataError if uint8 pixels are only 0 and 1; if non-negative floats are whole numbers above 1, or
    exceed 16; if other floats exceed 16 and their quadratic mean (1 if standardized) is at least 10.
    """
    if images.dtype == np.uint8:
        if high == 1:
            raise DataError(
                "uint8 images are on 0…255, these are 0 and 1 only, almost black"
                f"{advice.ending(advice.pixel_line(images))}"
            )
        return
    if low >= 0:
        first = images[:8]
        raw = high > 16 or (high >= 2 and bool((first == array_module(images).rint(first)).all()))
    else:
        squares = sum(float((piece**2).sum()) for piece in _pieces(images)) if max(-low, high) > 16 else 0
        raw = squares >= 10**2 * images.size
    if raw:
        line = advice.ending(advice.pixel_line(images)) or ": divide them by the largest value of a pixel"
        raise DataError(
            f"floating images are on 0…1, or standardized; these go from {low:g} to {high:g}, like raw pixels"
            f"{line}"
        )


def _check_scale(images: Array, low: float, high: float, trained_on: tuple[float, float]) -> None:
    """Raise if images from ``low`` to ``high`` are clearly on another scale than the training images."""
    black, white = trained_on
    floating, minus_one_to_one = images.dtype.kind == "f", (black, white) == (-1, 1)
    if not floating:
        low, high = low / 255, high / 255
    line = ""
    if not floating and black < 0:
        line = "images = images / 127.5 - 1" if minus_one_to_one else ""
    elif floating and low < 0 <= black and _plain_background(images, low):
        line = "images = (images + 1) / 2" if low == -1 and high <= 1 else ""
    elif floating and black < 0 == low and _plain_background(images, 0):
        line = "images = images * 2 - 1" if minus_one_to_one and high <= 1 else ""
    elif floating and low >= 0 and 0 < high < white / 100:
        line = "images = images * 255" if high <= 1 / 255 else ""
    elif high <= 16 * white or max(black, low) < 0:  # of standardized pixels, a few may be large
        return
    raise DataError(
        f"the model was trained on pixels from {black:g} to {white:g}, these go from {low:g} to {high:g}"
        f"{advice.ending(line) or ': prepare them as the training images were'}"
    )


def _plain_background(images: Array, value: float) -> bool:
    """Whether many pixels have exactly this value, as those of a background do, but noise does not."""
    return int((images == value).sum()) >= max(2, images.size / 1000)


def _model_line(images: Array, image_shape: tuple[int, ...]) -> str:
    """Return the line that gives the images the shape that a model takes, or ""."""
    if len(image_shape) != 3:
        return ""
    if images.shape[1:3] == image_shape[:2] and images.ndim == 4:
        return advice.channel_line(images, image_shape[2])
    return advice.shape_line(images.shape, lambda shape: shape[1:] == image_shape, image_shape[:2])


def _pieces(images: Array) -> Iterator[Array]:
    """Yield the images in float64, 1000 at a time: all of them would take eight times their memory."""
    for first in range(0, len(images), 1000):
        yield images[first : first + 1000].astype(np.float64)
