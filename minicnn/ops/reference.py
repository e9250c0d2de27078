"""The operations in plain array code: their definition, and the oracle for the fast ones.

Activations are NHWC. A *window* slides over the image: ``kernel`` (KH, KW) is its size, ``stride``
the step from one window to the next, ``dilation`` the step from one of its pixels to the next, and
``padding`` ((top, bottom), (left, right)) the pixels added around the image. All functions work on
NumPy and on CuPy arrays.
"""

from typing import Any

from minicnn.backend import Array, array_module

Pair = tuple[int, int]
Shape = tuple[int, ...]
Padding = tuple[Pair, Pair]


def output_size(size: Shape, kernel: Pair, stride: Pair, dilation: Pair, padding: Padding) -> Pair:
    """Return (OH, OW), how many windows fit: ``(H + top + bottom − (KH − 1)·dilation − 1) // stride + 1``."""
    oh, ow = (
        (n + sum(p) - (k - 1) * d - 1) // s + 1
        for n, k, s, d, p in zip(size, kernel, stride, dilation, padding, strict=True)
    )
    return oh, ow


def _pixel(i: int, j: int, out: Pair, stride: Pair, dilation: Pair) -> tuple[slice, slice, slice]:
    """Index, in the padded image, pixel (i, j) of every window: a strided view of (N, OH, OW, C)."""
    top, left = i * dilation[0], j * dilation[1]
    rows = slice(top, top + (out[0] - 1) * stride[0] + 1, stride[0])
    columns = slice(left, left + (out[1] - 1) * stride[1] + 1, stride[1])
    return slice(None), rows, columns


def _crop(x: Array, padding: Padding) -> Array:
    """Take the padding off again."""
    (top, bottom), (left, right) = padding
    return x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]


def _padded_shape(x_shape: tuple[int, ...], padding: Padding) -> tuple[int, ...]:
    N, H, W, C = x_shape
    return N, H + sum(padding[0]), W + sum(padding[1]), C


def matmul(a: Array, b: Array) -> Array:
    """Return the matrix product a @ b, (M, K) @ (K, N) → (M, N)."""
    return a @ b


def sum_rows(x: Array) -> Array:
    """Return the sum of all rows, (M, C) → (C,)."""
    return x.sum(axis=0)


def im2col(x: Array, kernel: Pair, stride: Pair, dilation: Pair, padding: Padding) -> Array:
    """Lay every window out as a row: (N, H, W, C) → (N·OH·OW, KH·KW·C). Padding is 0.

    Source: Chellapilla, Puri & Simard 2006, "High Performance Convolutional Neural Networks for
    Document Processing", section 2.1.
    """
    xp = array_module(x)
    N, H, W, C = x.shape
    KH, KW = kernel
    OH, OW = output_size((H, W), kernel, stride, dilation, padding)
    padded = xp.pad(x, ((0, 0), *padding, (0, 0)))
    cols = xp.empty((N, OH, OW, KH, KW, C), x.dtype)
    for i in range(KH):
        for j in range(KW):
            cols[:, :, :, i, j] = padded[_pixel(i, j, (OH, OW), stride, dilation)]
    return cols.reshape(N * OH * OW, KH * KW * C)


def col2im(
    cols: Array, x_shape: tuple[int, ...], kernel: Pair, stride: Pair, dilation: Pair, padding: Padding
) -> Array:
    """Add every row back to the pixels it came from: the adjoint, ⟨im2col(x), y⟩ = ⟨x, col2im(y)⟩."""
    xp = array_module(cols)
    N, H, W, C = x_shape
    KH, KW = kernel
    OH, OW = output_size((H, W), kernel, stride, dilation, padding)
    cols = cols.reshape(N, OH, OW, KH, KW, C)
    padded = xp.zeros(_padded_shape(x_shape, padding), cols.dtype)
    for i in range(KH):
        for j in range(KW):
            padded[_pixel(i, j, (OH, OW), stride, dilation)] += cols[:, :, :, i, j]
    return xp.ascontiguousarray(_crop(padded, padding))


def max_pool_forward(x: Array, kernel: Pair, stride: Pair, padding: Padding) -> tuple[Array, Array]:
    """Return the maximum of each window and where it is.

    Padding is −∞, so it never wins. Of equal maxima the first wins, row by row; NaN beats every number.

    Returns
    -------
    y : (N, OH, OW, C), dtype of ``x``
    argmax : (N, OH, OW, C), int32
        Position i·KW + j inside the window.
    """
    xp = array_module(x)
    KH, KW = kernel
    out = output_size(x.shape[1:3], kernel, stride, (1, 1), padding)
    padded = xp.pad(x, ((0, 0), *padding, (0, 0)), constant_values=-xp.inf)
    inside = xp.pad(xp.ones((1, *x.shape[1:3], 1), bool), ((0, 0), *padding, (0, 0)))
    pixels = [_pixel(i, j, out, stride, (1, 1)) for i in range(KH) for j in range(KW)]
    windows = xp.stack([padded[pixel] for pixel in pixels])  # (KH·KW, N, OH, OW, C)
    is_maximum = (windows == windows.max(axis=0)) | xp.isnan(windows)
    # A window of nothing but −∞ equals its padding: only pixels of the image may win.
    argmax = (is_maximum & xp.stack([inside[pixel] for pixel in pixels])).argmax(axis=0)
    y = xp.take_along_axis(windows, argmax[None], axis=0)[0]
    return y, argmax.astype(xp.int32)


def max_pool_backward(
    dy: Array, argmax: Array, x_shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Padding
) -> Array:
    """Send each dy to the pixel that was the maximum; where windows overlap, the gradients add up."""
    xp = array_module(dy)
    KH, KW = kernel
    out = dy.shape[1], dy.shape[2]
    padded = xp.zeros(_padded_shape(x_shape, padding), dy.dtype)
    for i in range(KH):
        for j in range(KW):
            padded[_pixel(i, j, out, stride, (1, 1))] += xp.where(argmax == i * KW + j, dy, 0)
    return xp.ascontiguousarray(_crop(padded, padding))


def _pixels_in_window(
    size: Shape, out: Pair, kernel: Pair, stride: Pair, padding: Padding, like: Array
) -> Array:
    """Count the pixels of the image, padding left out, in every window: (OH, OW, 1)."""
    xp = array_module(like)
    inside = xp.pad(xp.ones((1, *size, 1), like.dtype), ((0, 0), *padding, (0, 0)))
    KH, KW = kernel
    count: Any = sum(inside[_pixel(i, j, out, stride, (1, 1))] for i in range(KH) for j in range(KW))
    return count[0]


def avg_pool_forward(x: Array, kernel: Pair, stride: Pair, padding: Padding) -> Array:
    """Return the mean of each window over its pixels inside the image: (N, OH, OW, C)."""
    xp = array_module(x)
    KH, KW = kernel
    out = output_size(x.shape[1:3], kernel, stride, (1, 1), padding)
    padded = xp.pad(x, ((0, 0), *padding, (0, 0)))
    total = xp.zeros((x.shape[0], *out, x.shape[3]), x.dtype)
    for i in range(KH):
        for j in range(KW):
            total += padded[_pixel(i, j, out, stride, (1, 1))]
    return total / _pixels_in_window(x.shape[1:3], out, kernel, stride, padding, x)


def avg_pool_backward(
    dy: Array, x_shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Padding
) -> Array:
    """Share each dy equally among the pixels of its window that are inside the image."""
    xp = array_module(dy)
    KH, KW = kernel
    out = dy.shape[1], dy.shape[2]
    share = dy / _pixels_in_window(x_shape[1:3], out, kernel, stride, padding, dy)
    padded = xp.zeros(_padded_shape(x_shape, padding), dy.dtype)
    for i in range(KH):
        for j in range(KW):
            padded[_pixel(i, j, out, stride, (1, 1))] += share
    return xp.ascontiguousarray(_crop(padded, padding))


def relu_forward(x: Array) -> Array:
    """Return max(x, 0); NaN stays NaN."""
    return array_module(x).maximum(x, 0)


def relu_backward(dy: Array, y: Array) -> Array:
    """Return dy where y > 0, else 0; ``y`` is what ``relu_forward`` returned."""
    return array_module(dy).where(y > 0, dy, 0)
