"""From a picture file to at most 512 × 512 upright pixels of 8 bits, in a bounded amount of memory.

A small file may hold a large picture, so the size is checked before anything is decoded. Large JPEG files are
decoded at a half, a quarter or an eighth of their size. Pixels are converted and shrunk a strip at a time.
"""

import warnings
from os import PathLike

import numpy as np
from PIL import Image, ImageOps

from minicnn.errors import DataError, DataNotFoundError, MiniCNNError, PictureWarning

MAX_PIXELS = 40_000_000  # of a decoded picture: 160 MB at four bytes a pixel
# Their decoders hold the picture once; others hold it several times, and may have a quarter of the pixels.
LEAN_FORMATS = ("BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF")
PROGRAMS = ("EPS",)  # Pillow has another program execute these
STRIP = 2_000_000  # how many pixels are converted at a time
WORKING_SIDE = 512  # larger pictures are shrunk to it: more than a model sees, and averaging removes noise

_ORIENTATION = 0x0112


def decode(path: str | PathLike[str]) -> Image.Image:
    """Read a file as an upright, opaque RGB picture of at most ``WORKING_SIDE``²; see `read_picture`."""
    try:
        with _open(path) as file:
            _check_size(file, path)
            # The other pictures in an MPO file are views and previews of the same.
            if getattr(file, "is_animated", False) and file.format != "MPO":
                warnings.warn(
                    f"{path} holds several pictures: the first is used", PictureWarning, stacklevel=3
                )
            picture = _shrink(file)
            picture.getexif()[_ORIENTATION] = file.getexif().get(_ORIENTATION, 1)
        picture = _eight_bits(ImageOps.exif_transpose(picture), path)
    except MiniCNNError:
        raise
    except FileNotFoundError as error:
        raise DataNotFoundError(f"{path}: there is no such file; check the path") from error
    except Exception as error:  # Pillow's decoders raise errors of many types
        raise DataError(
            f"{path}: expected a whole picture, such as a PNG or JPEG file; {error}: check the path, or save "
            "the picture again"
        ) from error
    picture.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX)
    return _flatten(picture)


def _open(path: str | PathLike[str]) -> Image.Image:
    """Open a picture file; only its header is read."""
    Image.init()
    with warnings.catch_warnings():
        # Our own limit is lower.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            return Image.open(path, formats=[kind for kind in Image.ID if kind not in PROGRAMS])
        except Image.DecompressionBombError as error:
            raise DataError(
                f"{path}: expected at most {MAX_PIXELS:,} pixels; {error}: make the picture smaller"
            ) from error


def _check_size(file: Image.Image, path: str | PathLike[str]) -> None:
    """Check how many pixels a picture has once it is decoded; choose a reduced size for a JPEG file."""
    size = w, h = file.size
    most = MAX_PIXELS if file.format in LEAN_FORMATS else MAX_PIXELS // 4
    # A progressive file is always decoded at full size.
    if file.format in ("JPEG", "MPO") and not file.info.get("progressive"):
        scale = 2 * WORKING_SIDE / max(size)
        file.draft(None, (max(1, round(w * scale)), max(1, round(h * scale))))
    if file.width * file.height > most:
        raise DataError(
            f"{path}: expected at most {most:,} pixels; the picture has {w:,} × {h:,}: make it smaller, "
            f"{WORKING_SIDE} × {WORKING_SIDE} is enough"
        )


def _shrink(file: Image.Image) -> Image.Image:
    """Decode a picture and shrink it by a whole number, a strip at a time, to a few ``WORKING_SIDE``."""
    file.load()
    factor = max(1, max(file.size) // (2 * WORKING_SIDE))
    rows = factor * max(1, STRIP // (factor * file.width))
    strips = []
    for top in range(0, file.height, rows):
        strip = file.crop((0, top, file.width, min(top + rows, file.height)))
        strips.append(_averageable(strip).reduce(factor))
    small = Image.new(strips[0].mode, (strips[0].width, -(-file.height // factor)))
    for i, strip in enumerate(strips):
        small.paste(strip, (0, i * (rows // factor)))
    return small.convert("RGBA") if small.mode == "RGBa" else small


def _averageable(picture: Image.Image) -> Image.Image:
    """Return a picture in a mode that can be averaged; 32-bit pixels are unchanged."""
    if picture.mode in ("I", "F"):
        return picture
    if picture.mode.startswith("I;16"):  # Pillow's own conversion clips
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        return picture.convert("RGBA").convert("RGBa")  # colors weighted by their opacity
    return picture.convert("RGB")


def _eight_bits(picture: Image.Image, path: str | PathLike[str]) -> Image.Image:
    """Stretch a picture of 32 bits a pixel, which has no fixed black and white, to 8 bits."""
    if picture.mode not in ("I", "F"):
        return picture
    gray = np.asarray(picture, np.float64)
    if not np.isfinite(gray).all():
        raise DataError(f"{path}: expected finite pixels; some are NaN or infinite: replace them")
    gray = gray - gray.min()
    return Image.fromarray((gray * (255 / (gray.max() or 1))).round().astype(np.uint8)).convert("RGB")


def _flatten(picture: Image.Image) -> Image.Image:
    """Put a picture with transparency on black if its visible part is light, else on white."""
    if picture.mode != "RGBA":
        return picture
    gray = np.asarray(picture.convert("L"), np.float64)
    opacity = np.asarray(picture.getchannel("A"), np.float64)
    light = (gray * opacity).sum() > 127.5 * opacity.sum()
    background = Image.new("RGBA", picture.size, "black" if light else "white")
    return Image.alpha_composite(background, picture).convert("RGB")
