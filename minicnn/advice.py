"""The line of code that fixes data of a wrong kind, for the end of an error message.

Each function returns such a line, or "" if none is certain to be right. ``images`` and ``labels`` in it are
the arrays that the message is about.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

COLORS = 1, 3, 4  # channels of a stored image: gray, color, color with transparency
# The largest pixel of scikit-learn's digits, of uint8, and of cameras of 10, 12, 14 and 16 bits.
WHITES = 16, 255, 1023, 4095, 16_383, 65_535

Shape = tuple[int, ...]


def ending(line: str) -> str:
    """Return a line as the end of a message."""
    return f": write {line}" if line else ""


def array_line(value: Any, name: str) -> str:
    """Return the line that makes an array of a list, a tensor or a table."""
    try:
        found = np.asarray(value)
    except Exception:  # of another library, or of NumPy for rows of different lengths
        return ""
    return f"{name} = np.asarray({name})" if found.ndim and found.dtype.kind in "buifUSO" else ""


def shape_line(shape: Shape, fits: Callable[[Shape], bool], side: tuple[int, int] | None = None) -> str:
    """Return the line that gives images of that shape one that ``fits``.

    ``side`` is the height and width of the images; by default, rows of pixels are taken as squares.
    """
    if len(shape) == 4:  # channels first, or images last as in Matlab
        lines = ["images.transpose(0, 2, 3, 1)", "images.transpose(3, 0, 1, 2)"]
    elif len(shape) == 3:
        lines = ["images[..., None]", "images[None]"]
        lines += ["images.transpose(1, 2, 0)[None]", "images.transpose(2, 0, 1)[..., None]"]
    elif len(shape) == 2:
        lines = [] if 1 in shape else ["images[None, ..., None]"]
        # A row or a column for each image; N rows of N pixels may be either, and are taken for rows.
        lines += _rows("images", shape[1], side)
        lines += _rows("images.T", shape[0], side) if shape[0] != shape[1] else []
    else:
        lines = _rows("images", shape[0], side) if len(shape) == 1 else []
    images = np.broadcast_to(np.uint8(0), shape)  # takes no memory
    return next((f"images = {line}" for line in lines if fits(eval(line, {"images": images}).shape)), "")


def _rows(name: str, pixels: int, side: tuple[int, int] | None) -> list[str]:
    """Return the line that makes gray images of rows of ``pixels`` pixels, if a row may be one image."""
    H, W = side or (math.isqrt(pixels),) * 2
    return [f"{name}.reshape(-1, {H}, {W}, 1)"] if pixels == H * W > 0 else []


def channels_first(shape: Shape) -> bool:
    """Whether the shape is (N, C, H, W), and not (N, H, W, C) of images 1 to 4 pixels high."""
    return len(shape) == 4 and shape[1] in COLORS and min(shape[2:]) >= 8 and shape[3] not in COLORS


def channel_line(images: np.ndarray, channels: int) -> str:
    """Return the line that gives images (N, H, W, C) this number of channels without losing content."""
    C = images.shape[-1]
    if C == 1 and channels == 3:
        return "images = images.repeat(3, axis=3)"
    opaque = C == 4 and bool((images[..., 3] == (255 if images.dtype == np.uint8 else 1)).all())
    if C != 3 and not opaque:
        return ""
    if channels == 3:
        return "images = images[..., :3]"
    gray = bool((images[..., :1] == images[..., 1:3]).all())
    return "images = images[..., :1]" if gray and channels == 1 else ""


def pixel_line(images: np.ndarray) -> str:
    """Return the line that makes pixels uint8 on 0…255, or floating on 0…1 or around 0."""
    kind = images.dtype.kind
    if kind == "c":
        return "images = images.real" if not np.imag(images).any() else ""
    if kind in "OUS":
        try:
            images.astype(float)
        except (ValueError, TypeError):
            return ""
        return "images = images.astype(float)"
    if kind not in "buif":
        return ""
    low, high = float(images.min()), float(images.max())
    if low < 0:  # perhaps uint8 less their mean; other scales are unknown
        centered = kind == "f" and max(-low, high) <= 255
        return "images = images / 255" if centered else ""
    if high <= 1:
        return "images = images.astype(np.uint8) * np.uint8(255)"
    whole = kind != "f" or is_whole(images)
    if whole and high <= 255 and (high > 16 or (high < 16 and kind != "f")):
        return "images = images.astype(np.uint8)"
    white = next((white for white in WHITES if high <= white), 0)
    return f"images = images / {white}" if white and high >= 16 else ""


def stack_line(images: np.ndarray) -> str:
    """Return the line that makes one array of images, objects (N,), if they have the same size."""
    shapes = {getattr(image, "shape", None) for image in images}
    return "images = np.stack(images)" if len(shapes) == 1 and None not in shapes else ""


def label_line(labels: np.ndarray, n: int) -> str:
    """Return the line that makes labels an integer for each of n images, or a first step toward it."""
    if labels.ndim == 2 and len(labels) == n and _is_one_hot(labels):
        return "labels = labels.argmax(axis=1)"
    if labels.ndim != 1:
        return "labels = labels.ravel()" if labels.size == n else ""
    kind = labels.dtype.kind
    if kind == "b" or (kind == "f" and is_whole(labels)):
        return "labels = labels.astype(int)"
    if kind == "S":
        return "labels = labels.astype(str)"
    if kind == "U":
        numbers = all(text.strip().isdecimal() for text in labels)
        named = "class_names, labels = np.unique(labels, return_inverse=True)"
        return "labels = labels.astype(int)" if numbers else named
    if kind == "O":
        kinds = {"str": str, "int": (int, np.integer, np.bool_), "float": (int, float, np.number)}
        for name, types in kinds.items():
            if all(isinstance(label, types) for label in labels):
                return f"labels = labels.astype({name})"
    return ""


def _is_one_hot(labels: np.ndarray) -> bool:
    """Whether each row, of at least two numbers, holds a single 1 and otherwise 0."""
    if labels.dtype.kind not in "buif" or labels.shape[1] < 2:
        return False
    return bool(((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all())


def is_whole(values: np.ndarray) -> bool:
    """Whether floating values are finite whole numbers."""
    return bool(np.isfinite(values).all() and (values == np.rint(values)).all())


def counting_line(labels: np.ndarray, classes: int) -> str:
    """Return the line that renumbers integer labels from 0 to classes − 1."""
    low, high = int(labels.min()), int(labels.max())
    if low >= 1 and high == classes:
        return "labels = labels - 1"
    if classes == 2 and low == -1 and high == 1 and not (labels == 0).any():
        return "labels = (labels + 1) // 2"
    return ""
