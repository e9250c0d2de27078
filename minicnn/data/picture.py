"""A person's own picture, made into what a data set would hold of it.

The images of MNIST and Fashion-MNIST were prepared before anyone could train on them, and a model knows
nothing else: one light object on a black ground, trimmed to its edges, brought to one size, centred. A
photograph is none of this, so it goes through the same steps.

Sources: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-Based Learning Applied to Document
Recognition", 1998, section III.A (MNIST: a box of 20 × 20 pixels within 28 × 28); H. Xiao, K. Rasul,
R. Vollgraf, "Fashion-MNIST", 2017, section 2 (trimmed within 5 % of the corners' colour, the longer side
28 pixels, centred, negated).
"""

import warnings
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from minicnn import checks
from minicnn.errors import ConfigError, DataError, DataNotFoundError, MiniCNNError, ShapeError

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 40_000_000
"""Of a picture that is read; more than the cameras of most telephones give."""

WORKING_SIDE = 512
"""Larger pictures are shrunk to it first: more than a model sees, and averaging removes noise."""

FAINTEST = 0.05 * 255
"""An object differs from its ground by more than this, as in Fashion-MNIST."""

EDGE = 0.2
"""The object's edge, as a share of its contrast: shadows and what JPEG leaves beside edges are fainter."""

NOISE = 6
"""The object differs from its ground by more than this many standard deviations of the ground's noise."""


def read_picture(
    path: str | PathLike,
    image_shape: tuple[int, int, int] = (28, 28, 1),
    invert: bool | None = None,
    margin: float = 0.0,
) -> np.ndarray:
    """Read a picture file as an image of a data set: a light object on black, trimmed and centred.

    With one channel, the ground is taken to be a plane through the picture's border, which allows for
    uneven light, and what differs from it is the object::

        object = picture − ground    or    ground − picture, whichever is the stronger

    What is hardly visible becomes 0. The rest is cut to its bounding box, scaled until it fills
    ``image_shape`` but for the margin, and brightened to 255. The box is put in the middle, an odd pixel
    that remains above it or on its left, as in Fashion-MNIST; then the centre of mass is moved to pixel
    (H // 2, W // 2), as in MNIST, as far as the margin allows. A picture of one colour, or of noise alone,
    becomes 0 everywhere.

    With three channels the picture keeps its colours: it is only scaled as a whole and centred, on the
    colour of its border.

    Parameters
    ----------
    path : str or path
        A picture in any format that Pillow reads, of any depth and colour. It is turned upright as its
        EXIF data say. Numbers of 32 bits, floating or not, which have no fixed black and white, are
        stretched so that the lowest becomes black and the highest white. Transparent parts become black
        behind a light object and white behind a dark one.
    image_shape : tuple of int
        Of the result, (H, W, C), where C is 1 or 3.
    invert : bool, optional
        Whether the object is darker than its ground; None decides by the picture. For C = 1 only.
    margin : float
        The share of the height and width that stays empty on each side, below 0.5: 0 as in
        Fashion-MNIST, 4/28 as in MNIST.

    Returns
    -------
    image : (H, W, C) uint8

    Raises
    ------
    ConfigError
        If an argument is unusable, or Pillow is not installed.
    ShapeError
        If ``image_shape`` is not (H, W, 1) or (H, W, 3).
    DataNotFoundError
        If there is no such file.
    DataError
        If the file is no picture, is damaged or cut short, has more than 40 million pixels, or one that
        is NaN or infinite.
    """
    H, W, C = _checked_shape(image_shape)
    margins = _margins(H, W, margin)
    inner = H - 2 * margins[0], W - 2 * margins[1]
    if invert is not None:
        checks.flag(invert, "invert")
        if C == 3:
            raise ConfigError("invert is for images of one channel, where the ground is black: leave it out")
    picture = _read(path)
    if C == 3:
        pixels = np.asarray(picture, np.float32)
        image = _frame(_scale(pixels, inner), (H, W), np.median(pixels[_border(pixels)], axis=0))
    else:
        found = _trim(_object(np.asarray(picture.convert("L"), np.float32), invert))
        image = _frame(_brighten(_scale(found[..., None], inner)), (H, W), 0)
        image = _centre_mass(image, margins)
    return image.round().astype(np.uint8)


def _checked_shape(image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    image_shape = checks.shape(image_shape, "image_shape")
    if len(image_shape) != 3 or image_shape[2] not in (1, 3):
        raise ShapeError(
            f"a picture becomes an image of shape (H, W, 1), grey, or (H, W, 3), in colour; got "
            f"image_shape {image_shape}: use a model that takes one of these"
        )
    return image_shape


def _margins(H: int, W: int, margin: float) -> tuple[int, int]:
    """Return how many pixels stay empty above and below, left and right."""
    margin = checks.number(margin, "margin", "[0, 1)")
    margins = round(H * margin), round(W * margin)
    if 2 * margins[0] >= H or 2 * margins[1] >= W:
        raise ConfigError(
            f"margin, which is left on each side, must be below 0.5 and leave a pixel; {margin} of {H} × {W} "
            "leaves none: choose a smaller one"
        )
    return margins


def _read(path: str | PathLike) -> "Image.Image":
    """Read a file as an upright RGB picture of at most ``WORKING_SIDE`` each way, nothing transparent."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ConfigError('reading a picture needs Pillow: pip install "minicnn[image]"') from error
    try:
        with _open(path) as file:
            _check_size(file, path)
            picture = _eight_bits(ImageOps.exif_transpose(file), path)
            picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    except MiniCNNError:
        raise
    except FileNotFoundError as error:
        raise DataNotFoundError(f"{path}: there is no such file; check the path") from error
    except Exception as error:  # Pillow lets through whatever its decoders stumble over
        raise DataError(
            f"{path}: expected a whole picture, such as a PNG or JPEG file; {error}: check the path, or save "
            "the picture again"
        ) from error
    picture.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX)
    return _flatten(picture)


def _open(path: str | PathLike) -> "Image.Image":
    """Open a picture file, of which only the header is read yet."""
    from PIL import Image

    with warnings.catch_warnings():
        # Our own limit is lower, and refuses.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            return Image.open(path)
        except Image.DecompressionBombError as error:
            raise DataError(
                f"{path}: expected at most {MAX_PIXELS:,} pixels; {error}: make the picture smaller"
            ) from error


def _check_size(file: "Image.Image", path: str | PathLike) -> None:
    """Refuse a picture of too many pixels."""
    if file.width * file.height > MAX_PIXELS:
        raise DataError(
            f"{path}: expected at most {MAX_PIXELS:,} pixels; the picture has {file.width:,} × "
            f"{file.height:,}: make it smaller, {WORKING_SIDE} × {WORKING_SIDE} is enough"
        )


def _eight_bits(picture: "Image.Image", path: str | PathLike) -> "Image.Image":
    """Return a picture of 16 or 32 bits a pixel as one of 8: Pillow's own conversion clips."""
    from PIL import Image

    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode not in ("I", "F"):
        return picture
    grey = np.asarray(picture, np.float64)
    if not np.isfinite(grey).all():
        raise DataError(f"{path}: expected finite pixels; some are NaN or infinite: replace them")
    grey = grey - grey.min()
    return Image.fromarray((grey * (255 / (grey.max() or 1))).round().astype(np.uint8))


def _flatten(picture: "Image.Image") -> "Image.Image":
    """Lay a picture with transparency on black if what is seen of it is light, else on white."""
    from PIL import Image

    if picture.mode != "RGBA":
        return picture
    grey = np.asarray(picture.convert("L"), np.float64)
    opacity = np.asarray(picture.getchannel("A"), np.float64)
    light = (grey * opacity).sum() > 127.5 * opacity.sum()
    ground = Image.new("RGBA", picture.size, "black" if light else "white")
    return Image.alpha_composite(ground, picture).convert("RGB")


def _border(pixels: np.ndarray) -> np.ndarray:
    """Return where an array (h, w, …) has its outermost pixels, (h, w) bool."""
    border = np.ones(pixels.shape[:2], bool)
    border[1:-1, 1:-1] = False
    return border


def _ground(grey: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit a plane to the border of a picture (h, w); return the plane, (h, w), and the noise around it.

    Least trimmed squares: the plane fits the better half of the border, so it does not matter when the
    object touches the other half. The noise is the standard deviation, from the median residual.

    Source: P. Rousseeuw, K. van Driessen, "Computing LTS Regression for Large Data Sets", 2006, the
    C-step in section 2.
    """
    rows, columns = np.indices(grey.shape)
    terms = np.stack([np.ones(grey.shape), rows / len(grey), columns / len(grey[0])], axis=-1)
    border = _border(grey)
    seen, at = grey[border], terms[border]
    plane = np.array([np.median(seen), 0, 0])
    for _ in range(10):
        residuals = np.abs(seen - at @ plane)
        better = residuals <= np.median(residuals)
        plane = np.linalg.lstsq(at[better], seen[better])[0]
    return terms @ plane, 1.4826 * np.median(np.abs(seen - at @ plane))


def _object(grey: np.ndarray, invert: bool | None) -> np.ndarray:
    """Return how far each pixel of a picture (h, w) differs from the ground; 0 is the ground."""
    ground, noise = _ground(grey)
    difference = grey - ground
    if invert is None:
        invert = -difference.min() > difference.max()
    if invert:
        difference = -difference
    least = max(FAINTEST, EDGE * difference.max(), NOISE * noise)
    return np.where(difference > least, difference, 0)


def _trim(found: np.ndarray) -> np.ndarray:
    """Cut an object (h, w) to its bounding box; a picture without one stays as it is."""
    rows, columns = np.nonzero(found)
    if len(rows) == 0:
        return found
    return found[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def _scale(pixels: np.ndarray, inner: tuple[int, int]) -> np.ndarray:
    """Resize a picture (h, w, C), keeping its aspect, to the largest size within ``inner``."""
    from PIL import Image

    h, w, _ = pixels.shape
    scale = min(inner[0] / h, inner[1] / w)
    size = max(1, round(w * scale)), max(1, round(h * scale))
    channels = [Image.fromarray(channel) for channel in np.moveaxis(pixels, -1, 0).astype(np.float32)]
    resized = [np.asarray(channel.resize(size, Image.Resampling.LANCZOS)) for channel in channels]
    # The filter overshoots beside an edge: its ripples are not in the picture.
    return np.stack(resized, axis=-1).clip(pixels.min(), pixels.max())


def _brighten(pixels: np.ndarray) -> np.ndarray:
    """Stretch an image on black so that its lightest pixel is 255."""
    return pixels * (255 / max(pixels.max(), 1))


def _frame(pixels: np.ndarray, size: tuple[int, int], ground: float | np.ndarray) -> np.ndarray:
    """Return an image of ``size`` on the ground, with a picture (h, w, C) in its middle."""
    h, w, C = pixels.shape
    # Rounded up: Fashion-MNIST has the wider gap above and on the left.
    top, left = (size[0] - h + 1) // 2, (size[1] - w + 1) // 2
    image = np.full((*size, C), ground, np.float32)
    image[top : top + h, left : left + w] = pixels
    return image


def _centre_mass(image: np.ndarray, margins: tuple[int, int]) -> np.ndarray:
    """Move the centre of mass of an image (H, W, 1) to pixel (H // 2, W // 2), as far as its margins allow.

    MNIST has it there, half a pixel below and to the right of the middle of an image of even size.
    """
    if not image.any():
        return image
    for axis, margin in enumerate(margins):
        mass = image.sum(axis=(1 - axis, 2))
        centre = np.average(np.arange(len(mass)), weights=mass)
        shift = round(np.clip(len(mass) // 2 - centre, -margin, margin))
        image = np.roll(image, shift, axis)  # only empty rows come round
    return image
