"""Reading a picture file as an image like those of a data set.

A model only knows images like those of MNIST and Fashion-MNIST: one light object on a black background,
trimmed to its edges, scaled to one size, centered. So a photograph goes through the same steps.

Sources: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-Based Learning Applied to Document
Recognition", 1998, section III.A (MNIST: a box of 20 × 20 pixels within 28 × 28); H. Xiao, K. Rasul,
R. Vollgraf, "Fashion-MNIST", 2017, section 2 (trimmed within 5 % of the corners' color, the longer side
28 pixels, centered, negated).
"""

from os import PathLike

import numpy as np

from minicnn import checks
from minicnn.errors import ConfigError, ShapeError


def read_picture(
    path: str | PathLike[str],
    image_shape: tuple[int, ...] = (28, 28, 1),
    invert: bool | None = None,
    margin: float | None = 0.0,
    negative: bool = False,
) -> np.ndarray:
    """Read a picture file as an image of a data set: a light object on black, trimmed and centered.

    With one channel, the object is what differs from the background::

        object = picture − background    or    background − picture, the stronger of the two

    The background may be unevenly lit, and shadows, specks, and anything beside the sheet are not part of the
    object; see ``foreground``. The object is cut to its bounding box, scaled until it fills ``image_shape``
    except for the margin, and brightened to 255. The box is centered, with an odd pixel above it or on its
    left, as in Fashion-MNIST; then the center of mass is moved to pixel (H // 2, W // 2), as in MNIST, as far
    as the margin allows. A picture of one color, or of noise alone, becomes 0 everywhere.

    With three channels, or without a margin, the whole picture is scaled and centered on the color of its
    border.

    Parameters
    ----------
    path : str or path
        A picture in any format that Pillow reads, of any depth and color. It is rotated by its EXIF data.
        32-bit pixels, integer or floating, have no fixed black and white, so they are stretched to
        0…255. Transparent parts become black behind a light object and white behind a dark one.
    image_shape : tuple of int
        The shape of the result, (H, W, C), with C = 1 or 3.
    invert : bool, optional
        Whether the object is darker than its background; by default judged by the picture. For C = 1 only.
    margin : float, optional
        The share of the height and width that stays empty on each side, below 0.5: 0 as in
        Fashion-MNIST, 4/28 as in MNIST. None: the picture is used whole.
    negative : bool
        Whether the image is to show a dark object on white.

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
        If the file is not a picture, is damaged or truncated, has too many pixels (40 million, in some
        formats a quarter of that; more in JPEG files that are not progressive), or one is NaN or infinite.

    Warns
    -----
    PictureWarning
        If the file holds several pictures; the first is used.
    """
    H, W, C = _check_shape(image_shape)
    margins = _margins(H, W, 0 if margin is None else margin)
    whole = C == 3 or margin is None
    if invert is not None and whole:
        raise ConfigError(
            "invert is for images of one channel that show an object within a margin: leave it out"
        )
    invert = None if invert is None else checks.flag(invert, "invert")
    negative = checks.flag(negative, "negative")
    try:
        from minicnn.data.decode import decode
    except ImportError as error:
        raise ConfigError('reading a picture needs Pillow: pip install "minicnn[image]"') from error
    pixels = np.asarray(decode(path).convert("RGB" if C == 3 else "L"), np.float32)
    if whole:
        image = _whole(np.atleast_3d(pixels), (H, W), margins)
    else:
        from minicnn.data.foreground import foreground  # SciPy is slow to import

        image = _trimmed(foreground(pixels, invert), (H, W), margins)
    image = image.round().astype(np.uint8)
    return 255 - image if negative and not whole else image


def _check_shape(image_shape: tuple[int, ...]) -> tuple[int, ...]:
    shape = checks.shape(image_shape, "image_shape")
    if len(shape) != 3 or shape[2] not in (1, 3):
        raise ShapeError(
            f"a picture becomes an image of shape (H, W, 1), gray, or (H, W, 3), in color; got "
            f"image_shape {shape}: use a model that takes one of these"
        )
    return shape


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


def _whole(pixels: np.ndarray, size: tuple[int, int], margins: tuple[int, int]) -> np.ndarray:
    """Scale a whole picture (h, w, C), and center it on the color of its border."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    return _frame(_scale(pixels, size, margins), size, np.median(border, axis=0))


def _trimmed(found: np.ndarray, size: tuple[int, int], margins: tuple[int, int]) -> np.ndarray:
    """Cut an object (h, w) to its bounding box, scale and brighten it, and center it on black."""
    rows, columns = np.nonzero(found)
    if len(rows):
        found = found[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scaled = _scale(found[..., None], size, margins)
    return _center_mass(_frame(scaled * (255 / max(scaled.max(), 1)), size, 0), margins)


def _scale(pixels: np.ndarray, size: tuple[int, int], margins: tuple[int, int]) -> np.ndarray:
    """Resize a picture (h, w, C), keeping its aspect ratio, to the largest one that the margins allow."""
    from PIL import Image

    h, w, _ = pixels.shape
    scale = min((size[0] - 2 * margins[0]) / h, (size[1] - 2 * margins[1]) / w)
    scaled = max(1, round(w * scale)), max(1, round(h * scale))
    channels = [Image.fromarray(channel) for channel in np.moveaxis(pixels, -1, 0).astype(np.float32)]
    resized = [np.asarray(channel.resize(scaled, Image.Resampling.LANCZOS)) for channel in channels]
    # The filter overshoots at edges, so its ripples are cut off.
    return np.stack(resized, axis=-1).clip(pixels.min(), pixels.max())


def _frame(pixels: np.ndarray, size: tuple[int, int], background: float | np.ndarray) -> np.ndarray:
    """Return an image of ``size`` on the background, with a picture (h, w, C) in its middle."""
    h, w, C = pixels.shape
    # Rounded up: Fashion-MNIST has the wider gap above and on the left.
    top, left = (size[0] - h + 1) // 2, (size[1] - w + 1) // 2
    image = np.full((*size, C), background, np.float32)
    image[top : top + h, left : left + w] = pixels
    return image


def _center_mass(image: np.ndarray, margins: tuple[int, int]) -> np.ndarray:
    """Move the center of mass of an image (H, W, 1) to pixel (H // 2, W // 2), as far as its margins allow.

    MNIST has it there, half a pixel below and to the right of the middle of an image of even size.
    """
    if not image.any():
        return image
    for axis, margin in enumerate(margins):
        mass = image.sum(axis=(1 - axis, 2))
        center = np.average(np.arange(len(mass)), weights=mass)
        shift = round(np.clip(len(mass) // 2 - center, -margin, margin))
        image = np.roll(image, shift, axis)  # only empty rows wrap around
    return image
