"""Reading kernel sizes, strides and paddings; the size of a sliding window's output."""

from collections.abc import Sequence
from typing import Any

from minicnn.checks import size
from minicnn.errors import ConfigError, ShapeError
from minicnn.ops.reference import Padding, Pair, output_size
from minicnn.text import shown

PairLike = int | Sequence[int]
PaddingLike = str | int | Sequence[int] | Sequence[Sequence[int]]


def pair(value: Any, name: str, minimum: int = 1) -> Pair:
    """Return (height, width), each at least ``minimum``: 3 becomes (3, 3). Raises ConfigError."""
    is_pair = isinstance(value, Sequence) and not isinstance(value, str)
    values: Any = value if is_pair else (value, value)
    if len(values) != 2:
        raise ConfigError(f"{name} must be one whole number or a pair (height, width), got {shown(value)}")
    return size(values[0], name, minimum), size(values[1], name, minimum)


def padding_rule(value: PaddingLike) -> str | Padding:
    """Return "same", "valid" or ((top, bottom), (left, right)), also for a number or (height, width).

    Raises ConfigError for anything else.
    """
    if isinstance(value, str):
        if value not in ("same", "valid"):
            raise ConfigError(
                f'unknown padding {shown(value)}: expected "same", "valid", a whole number, (height, width), '
                "or ((top, bottom), (left, right))"
            )
        return value
    sides = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(sides) != 2:
        raise ConfigError(f"padding must be one number, (height, width) or two pairs, got {shown(value)}")
    return pair(sides[0], "padding", 0), pair(sides[1], "padding", 0)


def resolve_padding(
    rule: str | Padding, size: tuple[int, ...], kernel: Pair, stride: Pair, dilation: Pair
) -> Padding:
    """Return the padding in pixels, ((top, bottom), (left, right)), for an image of ``size`` (H, W).

    ``"same"`` gives ⌈size / stride⌉ outputs; an odd pixel goes to the bottom and the right, as in Keras.
    """
    if rule == "valid":
        return (0, 0), (0, 0)
    if isinstance(rule, str):  # "same"
        total = [
            max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            for n, k, s, d in zip(size, kernel, stride, dilation, strict=True)
        ]
        return (total[0] // 2, -(-total[0] // 2)), (total[1] // 2, -(-total[1] // 2))
    return rule


def window_output(
    layer: str, input_shape: tuple[int, ...], kernel: Pair, stride: Pair, dilation: Pair, padding: Padding
) -> Pair:
    """Return (OH, OW); raise ShapeError if the window does not fit into the image, (H, W, C)."""
    out = output_size(input_shape[:2], kernel, stride, dilation, padding)
    if min(out) < 1:
        reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
        raise ShapeError(
            f"layer {layer!r}: a window of {reach[0]}×{reach[1]} does not fit into an input of "
            f"{input_shape[0]}×{input_shape[1]} with padding {padding}: "
            'use a smaller kernel, padding="same", or fewer pooling layers before it'
        )
    return out


def check_image(layer: str, input_shape: tuple[int, ...]) -> None:
    """Raise ShapeError if ``input_shape`` is not (H, W, C)."""
    if len(input_shape) != 3:
        raise ShapeError(f"layer {layer!r}: expected images of shape (H, W, C), got {input_shape}")
