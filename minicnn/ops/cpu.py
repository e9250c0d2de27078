"""The operations in Numba: the same functions as ``reference``, for NumPy arrays.

Each public function allocates its result and runs the loop of the same name on ranges of images, one per
thread. Pixels outside the image are skipped, without a padded copy. Sums are in the order of the reference,
so results are bitwise equal; ``matmul`` and ``sum_rows``, which use BLAS, are equal up to rounding.
"""

import numpy as np

from minicnn.ops.reference import Padding, Pair, Shape, output_size
from minicnn.runtime.blas import single_threaded
from minicnn.runtime.compiled import compiled
from minicnn.runtime.threads import for_ranges


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """See ``reference.matmul``; each thread computes a range of rows."""
    product = np.empty((len(a), b.shape[1]), a.dtype)

    def multiply(start: int, stop: int) -> None:
        single_threaded(lambda: np.matmul(a[start:stop], b, out=product[start:stop]))

    for_ranges(multiply, len(a))
    return product


def sum_rows(x: np.ndarray) -> np.ndarray:
    """See ``reference.sum_rows``; a matrix product is faster than NumPy's sum."""
    total = np.empty(x.shape[1], x.dtype)
    single_threaded(lambda: np.matmul(np.ones(len(x), x.dtype), x, out=total))
    return total


def im2col(x: np.ndarray, kernel: Pair, stride: Pair, dilation: Pair, padding: Padding) -> np.ndarray:
    """See ``reference.im2col``."""
    N, H, W, C = x.shape
    OH, OW = output_size((H, W), kernel, stride, dilation, padding)
    cols = np.empty((N, OH, OW, *kernel, C), x.dtype)
    x = np.ascontiguousarray(x)
    origin = padding[0][0], padding[1][0]
    for_ranges(lambda a, b: _im2col(x[a:b], cols[a:b], stride, dilation, origin), N)
    return cols.reshape(N * OH * OW, -1)


@compiled
def _im2col(x, cols, stride, dilation, origin):
    N, H, W, C = x.shape
    _, OH, OW, KH, KW, _ = cols.shape
    for n in range(N):
        for oh in range(OH):
            for ow in range(OW):
                for i in range(KH):
                    h = oh * stride[0] + i * dilation[0] - origin[0]
                    for j in range(KW):
                        w = ow * stride[1] + j * dilation[1] - origin[1]
                        if 0 <= h < H and 0 <= w < W:
                            for c in range(C):
                                cols[n, oh, ow, i, j, c] = x[n, h, w, c]
                        else:
                            for c in range(C):
                                cols[n, oh, ow, i, j, c] = 0


def col2im(
    cols: np.ndarray, x_shape: Shape, kernel: Pair, stride: Pair, dilation: Pair, padding: Padding
) -> np.ndarray:
    """See ``reference.col2im``."""
    N, H, W, C = x_shape
    OH, OW = output_size((H, W), kernel, stride, dilation, padding)
    cols = np.ascontiguousarray(cols).reshape(N, OH, OW, *kernel, C)
    dx = np.empty(x_shape, cols.dtype)
    origin = padding[0][0], padding[1][0]
    for_ranges(lambda a, b: _col2im(cols[a:b], dx[a:b], stride, dilation, origin), N)
    return dx


@compiled
def _col2im(cols, dx, stride, dilation, origin):
    N, H, W, C = dx.shape
    _, OH, OW, KH, KW, _ = cols.shape
    for n in range(N):
        dx[n] = 0
        # Backward over the windows, so that a pixel's terms are added by ascending (i, j), as in reference.
        for oh in range(OH - 1, -1, -1):
            for ow in range(OW - 1, -1, -1):
                for i in range(KH):
                    h = oh * stride[0] + i * dilation[0] - origin[0]
                    for j in range(KW):
                        w = ow * stride[1] + j * dilation[1] - origin[1]
                        if 0 <= h < H and 0 <= w < W:
                            for c in range(C):
                                dx[n, h, w, c] += cols[n, oh, ow, i, j, c]


def max_pool_forward(
    x: np.ndarray, kernel: Pair, stride: Pair, padding: Padding
) -> tuple[np.ndarray, np.ndarray]:
    """See ``reference.max_pool_forward``."""
    N, H, W, C = x.shape
    y = np.empty((N, *output_size((H, W), kernel, stride, (1, 1), padding), C), x.dtype)
    argmax = np.empty(y.shape, np.int32)
    x = np.ascontiguousarray(x)
    origin = padding[0][0], padding[1][0]
    for_ranges(lambda a, b: _max_pool_forward(x[a:b], y[a:b], argmax[a:b], kernel, stride, origin), N)
    return y, argmax


@compiled
def _max_pool_forward(x, y, argmax, kernel, stride, origin):
    N, H, W, C = x.shape
    _, OH, OW, _ = y.shape
    for n in range(N):
        for oh in range(OH):
            for ow in range(OW):
                y[n, oh, ow] = -np.inf
                # The first pixel inside the image wins if all of them are −∞.
                first = max(origin[0] - oh * stride[0], 0), max(origin[1] - ow * stride[1], 0)
                argmax[n, oh, ow] = first[0] * kernel[1] + first[1]
                for i in range(kernel[0]):
                    for j in range(kernel[1]):
                        h = oh * stride[0] + i - origin[0]
                        w = ow * stride[1] + j - origin[1]
                        if not (0 <= h < H and 0 <= w < W):
                            continue
                        for c in range(C):
                            value, best = x[n, h, w, c], y[n, oh, ow, c]
                            # value ≠ value if it is NaN; the first NaN wins.
                            wins = (value > best) | ((value != value) & (best == best))
                            y[n, oh, ow, c] = value if wins else best
                            argmax[n, oh, ow, c] = i * kernel[1] + j if wins else argmax[n, oh, ow, c]


def max_pool_backward(
    dy: np.ndarray, argmax: np.ndarray, x_shape: Shape, kernel: Pair, stride: Pair, padding: Padding
) -> np.ndarray:
    """See ``reference.max_pool_backward``."""
    dx = np.empty(x_shape, dy.dtype)
    dy = np.ascontiguousarray(dy)
    origin = padding[0][0], padding[1][0]
    for_ranges(
        lambda a, b: _max_pool_backward(dy[a:b], argmax[a:b], dx[a:b], kernel, stride, origin), len(dx)
    )
    return dx


@compiled
def _max_pool_backward(dy, argmax, dx, kernel, stride, origin):
    N, OH, OW, C = dy.shape
    for n in range(N):
        dx[n] = 0
        for oh in range(OH - 1, -1, -1):  # backward, as in _col2im
            for ow in range(OW - 1, -1, -1):
                for c in range(C):
                    h = oh * stride[0] + argmax[n, oh, ow, c] // kernel[1] - origin[0]
                    w = ow * stride[1] + argmax[n, oh, ow, c] % kernel[1] - origin[1]
                    dx[n, h, w, c] += dy[n, oh, ow, c]


def avg_pool_forward(x: np.ndarray, kernel: Pair, stride: Pair, padding: Padding) -> np.ndarray:
    """See ``reference.avg_pool_forward``."""
    N, H, W, C = x.shape
    y = np.empty((N, *output_size((H, W), kernel, stride, (1, 1), padding), C), x.dtype)
    x = np.ascontiguousarray(x)
    origin = padding[0][0], padding[1][0]
    for_ranges(lambda a, b: _avg_pool_forward(x[a:b], y[a:b], kernel, stride, origin), N)
    return y


@compiled
def _inside(o, kernel, stride, origin, size):
    """Return the range of pixels of window ``o`` inside the image, along one axis."""
    start = o * stride - origin
    return max(start, 0), min(start + kernel, size)


@compiled
def _avg_pool_forward(x, y, kernel, stride, origin):
    N, H, W, C = x.shape
    _, OH, OW, _ = y.shape
    for n in range(N):
        for oh in range(OH):
            top, bottom = _inside(oh, kernel[0], stride[0], origin[0], H)
            for ow in range(OW):
                left, right = _inside(ow, kernel[1], stride[1], origin[1], W)
                y[n, oh, ow] = 0
                for h in range(top, bottom):
                    for w in range(left, right):
                        for c in range(C):
                            y[n, oh, ow, c] += x[n, h, w, c]
                count = y.dtype.type((bottom - top) * (right - left))
                for c in range(C):
                    y[n, oh, ow, c] /= count


def avg_pool_backward(
    dy: np.ndarray, x_shape: Shape, kernel: Pair, stride: Pair, padding: Padding
) -> np.ndarray:
    """See ``reference.avg_pool_backward``."""
    dx = np.empty(x_shape, dy.dtype)
    dy = np.ascontiguousarray(dy)
    origin = padding[0][0], padding[1][0]
    for_ranges(lambda a, b: _avg_pool_backward(dy[a:b], dx[a:b], kernel, stride, origin), len(dx))
    return dx


@compiled
def _avg_pool_backward(dy, dx, kernel, stride, origin):
    N, OH, OW, C = dy.shape
    _, H, W, _ = dx.shape
    for n in range(N):
        dx[n] = 0
        for oh in range(OH - 1, -1, -1):  # backward, as in _col2im
            top, bottom = _inside(oh, kernel[0], stride[0], origin[0], H)
            for ow in range(OW - 1, -1, -1):
                left, right = _inside(ow, kernel[1], stride[1], origin[1], W)
                count = dy.dtype.type((bottom - top) * (right - left))
                for h in range(top, bottom):
                    for w in range(left, right):
                        for c in range(C):
                            dx[n, h, w, c] += dy[n, oh, ow, c] / count


def relu_forward(x: np.ndarray) -> np.ndarray:
    """See ``reference.relu_forward``."""
    x = np.ascontiguousarray(x)
    y = np.empty_like(x)
    for_ranges(lambda a, b: _relu_forward(x[a:b].reshape(-1), y[a:b].reshape(-1)), len(x))
    return y


@compiled
def _relu_forward(x, y):
    for k in range(x.size):
        y[k] = 0 if x[k] <= 0 else x[k]  # NaN ≤ 0 is false, so NaN stays


def relu_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """See ``reference.relu_backward``."""
    dy = np.ascontiguousarray(dy)
    dx = np.empty_like(dy)
    for_ranges(
        lambda a, b: _relu_backward(dy[a:b].reshape(-1), y[a:b].reshape(-1), dx[a:b].reshape(-1)), len(dy)
    )
    return dx


@compiled
def _relu_backward(dy, y, dx):
    for k in range(dy.size):
        dx[k] = dy[k] if y[k] > 0 else 0
