"""The operations in plain array code, for NumPy and CuPy: the specification of the fast ones.

Activations are NHWC. A *window* slides over the image: ``kernel`` (KH, KW) is its size, ``stride`` the step
from one window to the next, ``dilation`` the step from one of its pixels to the next, and ``padding`` ((top,
bottom), (left, right)) the pixels added around the image.
"""

from collections.abc import Iterator
from typing import Any

from minicnn.backend import Array, array_module

Pair = tuple[int, int]
Shape = tuple[int, ...]
Padding = tuple[Pair, Pair]


def output_size(size: Shape, kernel: Pair, stride: Pair, dilation: Pair, padding: Padding) -> Pair:
    """Return the number of windows (OH, OW): ``(H + top + bottom − (KH − 1)·dilation − 1) // stride + 1``."""
    oh, ow = (
        (n + sum(p) - (k - 1) * d - 1) // s + 1
        for n, k, s, d, p in zip(size, kernel, stride, dilation, padding, strict=True)
    )
    return oh, ow


Index = tuple[slice, slice, slice]


def _pixels(
    kernel: Pair, out: Shape, stride: Pair, dilation: Pair = (1, 1)
) -> Iterator[tuple[int, int, Index]]:
    """Yield (i, j, index): ``padded[index]``, (N, OH, OW, C), is pixel (i, j) of all windows."""
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = i * dilation[0], j * dilation[1]
            rows = slice(top, top + (out[0] - 1) * stride[0] + 1, stride[0])
            columns = slice(left, left + (out[1] - 1) * stride[1] + 1, stride[1])
            yield i, j, (slice(None), rows, columns)


def _pad(x: Array, padding: Padding, value: float = 0) -> Array:
    return array_module(x).pad(x, ((0, 0), *padding, (0, 0)), constant_values=value)


def _crop(x: Array, padding: Padding) -> Array:
    """Remove the padding."""
    (top, bottom), (left, right) = padding
    return array_module(x).ascontiguousarray(x[:, top : x.shape[1] - bottom, left : x.shape[2] - right])


def _padded_shape(x_shape: Shape, padding: Padding) -> Shape:
    N, H, W, C = x_shape
    return N, H + sum(padding[0]), W + sum(padding[1]), C


def matmul(a: Array, b: Array) -> Array:
    """Return the matrix product a @ b, (M, K) @ (K, N) → (M, N)."""
    return a @ b


def sum_rows(x: Array) -> Array:
    """Return the sum of all rows, (M, C) → (C,)."""
    return x.sum(axis=0)


def im2col(x: Array, kernel: Pair, stride: Pair, dilation: Pair, padding: Padding) -> Array:
    """Copy each window to a row: (N, H, W, C) → (N·OH·OW, KH·KW·C). Padding is 0.

    Source: Chellapilla, Puri & Simard 2006, "High Performance Convolutional Neural Networks for
    Document Processing", section 2.1.
    """
    N, H, W, C = x.shape
    OH, OW = output_size((H, W), kernel, stride, dilation, padding)
    padded = _pad(x, padding)
    cols = array_module(x).empty((N, OH, OW, *kernel, C), x.dtype)
    for i, j, pixel in _pixels(kernel, (OH, OW), stride, dilation):
        cols[:, :, :, i, j] = padded[pixel]
    return cols.reshape(N * OH * OW, -1)


def col2im(
    cols: Array, x_shape: Shape, kernel: Pair, stride: Pair, dilation: Pair, padding: Padding
) -> Array:
    """Add each row to the pixels it was copied from: the adjoint, ⟨im2col(x), y⟩ = ⟨x, col2im(y)⟩."""
    N, H, W, C = x_shape
    OH, OW = output_size((H, W), kernel, stride, dilation, padding)
    cols = cols.reshape(N, OH, OW, *kernel, C)
    padded = array_module(cols).zeros(_padded_shape(x_shape, padding), cols.dtype)
    for i, j, pixel in _pixels(kernel, (OH, OW), stride, dilation):
        padded[pixel] += cols[:, :, :, i, j]
    return _crop(padded, padding)


def max_pool_forward(x: Array, kernel: Pair, stride: Pair, padding: Padding) -> tuple[Array, Array]:
    """Return the maximum of each window and its position.

    Padding is −∞, so it never wins. Ties go to the first pixel in row-major order; NaN beats every number.

    Returns
    -------
    y : (N, OH, OW, C), dtype of ``x``
    argmax : (N, OH, OW, C), int32
        Position i·KW + j inside the window.
    """
    xp = array_module(x)
    out = output_size(x.shape[1:3], kernel, stride, (1, 1), padding)
    padded, inside = _pad(x, padding, -xp.inf), _pad(xp.ones((1, *x.shape[1:3], 1), bool), padding)
    pixels = [pixel for _, _, pixel in _pixels(kernel, out, stride)]
    windows = xp.stack([padded[pixel] for pixel in pixels])  # (KH·KW, N, OH, OW, C)
    is_maximum = (windows == windows.max(axis=0)) | xp.isnan(windows)
    # If all pixels are −∞, the padding is equal to them but must not win.
    argmax = (is_maximum & xp.stack([inside[pixel] for pixel in pixels])).argmax(axis=0)
    y = xp.take_along_axis(windows, argmax[None], axis=0)[0]
    return y, argmax.astype(xp.int32)


def max_pool_backward(
    dy: Array, argmax: Array, x_shape: Shape, kernel: Pair, stride: Pair, padding: Padding
) -> Array:
    """Add each dy to the pixel that was the maximum of its window."""
    xp = array_module(dy)
    padded = xp.zeros(_padded_shape(x_shape, padding), dy.dtype)
    for i, j, pixel in _pixels(kernel, dy.shape[1:3], stride):
        padded[pixel] += xp.where(argmax == i * kernel[1] + j, dy, 0)
    return _crop(padded, padding)


def _pixels_in_window(
    size: Shape, out: Shape, kernel: Pair, stride: Pair, padding: Padding, like: Array
) -> Array:
    """Count the pixels of the image, without padding, in each window: (OH, OW, 1)."""
    inside = _pad(array_module(like).ones((1, *size, 1), like.dtype), padding)
    count: Any = sum(inside[pixel] for _, _, pixel in _pixels(kernel, out, stride))
    return count[0]


def avg_pool_forward(x: Array, kernel: Pair, stride: Pair, padding: Padding) -> Array:
    """Return the mean of each window over its pixels inside the image: (N, OH, OW, C)."""
    out = output_size(x.shape[1:3], kernel, stride, (1, 1), padding)
    padded = _pad(x, padding)
    total = array_module(x).zeros((x.shape[0], *out, x.shape[3]), x.dtype)
    for _, _, pixel in _pixels(kernel, out, stride):
        total += padded[pixel]
    return total / _pixels_in_window(x.shape[1:3], out, kernel, stride, padding, x)


def avg_pool_backward(dy: Array, x_shape: Shape, kernel: Pair, stride: Pair, padding: Padding) -> Array:
    """Divide each dy equally among the pixels of its window that are inside the image."""
    out = dy.shape[1:3]
    share = dy / _pixels_in_window(x_shape[1:3], out, kernel, stride, padding, dy)
    padded = array_module(dy).zeros(_padded_shape(x_shape, padding), dy.dtype)
    for _, _, pixel in _pixels(kernel, out, stride):
        padded[pixel] += share
    return _crop(padded, padding)


def relu_forward(x: Array) -> Array:
    """Return max(x, 0); NaN stays NaN."""
    return array_module(x).maximum(x, 0)


def relu_backward(dy: Array, y: Array) -> Array:
    """Return dy where y > 0, else 0; y is the result of ``relu_forward``."""
    return array_module(dy).where(y > 0, dy, 0)
