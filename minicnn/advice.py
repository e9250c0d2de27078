"""The line of code that mends data of another kind, for the message that refuses them.

Each function returns such a line, or "" where none is sure to be right: what is followed to the letter must
give what was meant. ``images`` and ``labels`` in it are the arrays that were refused.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

COLORS = 1, 3, 4
"""Gray, colors, colors with transparency: how many channels a stored image has."""
WHITES = 16, 255, 1023, 4095, 16_383, 65_535
"""The largest pixel of scikit-learn's digits, of bytes, and of cameras of 10, 12, 14 and 16 bits."""

Shape = tuple[int, ...]


def told(line: str) -> str:
    """Return a line as the end of a message."""
    return f": write {line}" if line else ""


def array_line(value: Any, name: str) -> str:
    """Return the line that makes an array of a list, a tensor, a table."""
    try:
        found = np.asarray(value)
    except Exception:  # whatever another library raises, and NumPy for rows of several lengths
        return ""
    return f"{name} = np.asarray({name})" if found.ndim and found.dtype.kind in "buifUSO" else ""


def shape_line(shape: Shape, fits: Callable[[Shape], bool], side: tuple[int, int] | None = None) -> str:
    """Return the line after which images of that shape have one that ``fits``.

    Parameters
    ----------
    side : (int, int), optional
        Height and width of the images; by default rows of pixels are taken for squares.
    """
    images = np.broadcast_to(np.uint8(0), shape)  # which takes no memory
    for line, change in _reshapings(shape, side):
        try:
            result = change(images).shape
        except ValueError:  # so many pixels are no such images
            continue
        if fits(result):
            return f"images = {line}"
    return ""


def _reshapings(shape: Shape, side: tuple[int, int] | None) -> list[tuple[str, Callable]]:
    """Return the lines that may have been meant for images of that shape, and what they do."""
    if len(shape) == 4:
        return [
            ("images.transpose(0, 2, 3, 1)", lambda x: x.transpose(0, 2, 3, 1)),  # channels first
            ("images.transpose(3, 0, 1, 2)", lambda x: x.transpose(3, 0, 1, 2)),  # images last, as in Matlab
        ]
    if len(shape) == 3:
        return [
            ("images[..., None]", lambda x: x[..., None]),
            ("images[None]", lambda x: x[None]),
            ("images.transpose(1, 2, 0)[None]", lambda x: x.transpose(1, 2, 0)[None]),
            ("images.transpose(2, 0, 1)[..., None]", lambda x: x.transpose(2, 0, 1)[..., None]),
        ]
    if len(shape) == 1:
        return [_rows("images", shape[0], side)]
    if len(shape) == 2:
        single = ("images[None, ..., None]", lambda x: x[None, ..., None])
        # A row or a column for each image; of N rows of N pixels nobody knows.
        rows = [_rows("images", shape[1], side), _rows("images.T", shape[0], side)]
        return [single] * (1 not in shape) + rows[: 1 + (shape[0] != shape[1])]
    return []


def _rows(name: str, pixels: int, side: tuple[int, int] | None) -> tuple[str, Callable]:
    """Return the line that makes gray images of rows of so many pixels."""
    H, W = side or (math.isqrt(pixels),) * 2

    def change(x: np.ndarray) -> np.ndarray:
        if pixels != H * W:
            raise ValueError("a row is not one image")
        return (x.T if name == "images.T" else x).reshape(-1, H, W, 1)

    return f"{name}.reshape(-1, {H}, {W}, 1)", change


def channels_first(shape: Shape) -> bool:
    """Whether (N, C, H, W) was given: a height of 1 or 3 with that many channels is no image's."""
    return len(shape) == 4 and shape[1] in COLORS and min(shape[2:]) >= 8 and shape[3] not in COLORS


def channel_line(images: np.ndarray, channels: int) -> str:
    """Return the line after which images (N, H, W, C) have so many channels, and show the same."""
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
    """Return the line after which pixels are uint8 on 0…255, or floating on 0…1 or around 0."""
    kind = images.dtype.kind
    if kind == "c":
        return "images = images.real" if not images.imag.any() else ""
    if kind in "OUS":
        return _unpacked_line(images)
    if kind not in "buif":
        return ""
    low, high = float(images.min()), float(images.max())
    if low < 0:
        # Bytes less their mean; of other scales nobody knows.
        centered = kind == "f" and max(-low, high) <= 255
        return "images = images / 255" if centered else ""
    if high <= 1:
        return "images = images.astype(np.uint8) * np.uint8(255)"
    whole = kind != "f" or is_whole(images)
    if whole and high <= 255 and (high > 16 or (high < 16 and kind != "f")):
        return "images = images.astype(np.uint8)"
    if high < 16:
        return ""
    white = next((white for white in WHITES if high <= white), 0)
    return f"images = images / {white}" if white else ""


def _unpacked_line(images: np.ndarray) -> str:
    """Return the line that makes numbers of objects or of text."""
    try:
        images.astype(float)
    except (ValueError, TypeError):
        return ""
    return "images = images.astype(float)"


def stack_line(images: np.ndarray) -> str:
    """Return the line that makes one array of images, objects (N,), if they have one size."""
    shapes = {getattr(image, "shape", None) for image in images}
    return "images = np.stack(images)" if len(shapes) == 1 and None not in shapes else ""


def label_line(labels: np.ndarray, n: int) -> str:
    """Return the line after which labels are a whole number for each of n images, or nearer to it."""
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
    return _object_line(labels) if kind == "O" else ""


def _is_one_hot(labels: np.ndarray) -> bool:
    """Whether each row, of at least two, holds a single 1 and else 0."""
    if labels.dtype.kind not in "buif" or labels.shape[1] < 2:
        return False
    return bool(((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all())


def _object_line(labels: np.ndarray) -> str:
    for name, kinds in (
        ("str", str),
        ("int", (int, np.integer, np.bool_)),
        ("float", (int, float, np.number)),
    ):
        if all(isinstance(label, kinds) for label in labels):
            return f"labels = labels.astype({name})"
    return ""


def is_whole(values: np.ndarray) -> bool:
    """Whether floating values are finite whole numbers."""
    return bool(np.isfinite(values).all() and (values == np.rint(values)).all())


def counting_line(labels: np.ndarray, classes: int) -> str:
    """Return the line after which whole labels, numbered otherwise, are 0 … classes − 1."""
    low, high = int(labels.min()), int(labels.max())
    if low >= 1 and high == classes:
        return "labels = labels - 1"
    if classes == 2 and low == -1 and high == 1 and not (labels == 0).any():
        return "labels = (labels + 1) // 2"
    return ""
