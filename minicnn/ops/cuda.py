"""The kernels in CUDA C++: the same functions as ``reference``, for CuPy arrays.

Each of these functions allocates its result and launches the kernel of the same name from
``windows.cu``, one thread for each number of the result. Sums are added in the reference's order, so
the results are equal to the last bit; only ``matmul`` and ``sum_rows``, which CuPy computes, are
equal to rounding.
"""

from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np

from minicnn.backend import Array, array_module
from minicnn.ops.reference import Padding, Pair, matmul, output_size, sum_rows
from minicnn.runtime.cuda import compiled, source

__all__ = [
    "avg_pool_backward", "avg_pool_forward", "col2im", "im2col", "matmul", "max_pool_backward",
    "max_pool_forward", "relu_backward", "relu_forward", "sum_rows",
]  # fmt: skip

THREADS = 256  # of a block
MOST_BLOCKS = 65_536  # each thread then has several numbers


@lru_cache
def _windows(xp: ModuleType, dtype: str) -> Any:
    real = {"float32": "float", "float64": "double"}[dtype]
    # --fmad=false: a multiplication and an addition stay two operations, as in the reference.
    return compiled(xp, source("windows", REAL=real), "--fmad=false")


def _launch(name: str, result: Array, *arguments: Any) -> None:
    """Run a kernel whose arguments are arrays, the size of ``result``, and sizes of 32 bits."""
    if result.size == 0:
        return
    kernel = _windows(array_module(result), result.dtype.name).get_function(name)
    blocks = min(-(-result.size // THREADS), MOST_BLOCKS)
    arrays = [array for array in arguments if hasattr(array, "dtype")]
    sizes = [np.int32(size) for size in arguments[len(arrays) :]]
    kernel((blocks,), (THREADS,), (*arrays, np.int64(result.size), *sizes))


def _origin(padding: Padding) -> Pair:
    """Return how far the first window begins outside the image."""
    return padding[0][0], padding[1][0]


def im2col(x: Array, kernel: Pair, stride: Pair, dilation: Pair, padding: Padding) -> Array:
    """See ``reference.im2col``."""
    xp = array_module(x)
    N, H, W, C = x.shape
    OH, OW = output_size((H, W), kernel, stride, dilation, padding)
    cols = xp.empty((N * OH * OW, kernel[0] * kernel[1] * C), x.dtype)
    x = xp.ascontiguousarray(x)
    _launch("im2col", cols, x, cols, H, W, C, OH, OW, *kernel, *stride, *dilation, *_origin(padding))
    return cols


def col2im(
    cols: Array, x_shape: tuple[int, ...], kernel: Pair, stride: Pair, dilation: Pair, padding: Padding
) -> Array:
    """See ``reference.col2im``."""
    xp = array_module(cols)
    _, H, W, C = x_shape
    OH, OW = output_size((H, W), kernel, stride, dilation, padding)
    dx = xp.empty(x_shape, cols.dtype)
    cols = xp.ascontiguousarray(cols)
    _launch("col2im", dx, cols, dx, H, W, C, OH, OW, *kernel, *stride, *dilation, *_origin(padding))
    return dx


def max_pool_forward(x: Array, kernel: Pair, stride: Pair, padding: Padding) -> tuple[Array, Array]:
    """See ``reference.max_pool_forward``."""
    xp = array_module(x)
    N, H, W, C = x.shape
    OH, OW = output_size((H, W), kernel, stride, (1, 1), padding)
    y, argmax = xp.empty((N, OH, OW, C), x.dtype), xp.empty((N, OH, OW, C), np.int32)
    x = xp.ascontiguousarray(x)
    _launch("max_pool_forward", y, x, y, argmax, H, W, C, OH, OW, *kernel, *stride, *_origin(padding))
    return y, argmax


def max_pool_backward(
    dy: Array, argmax: Array, x_shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Padding
) -> Array:
    """See ``reference.max_pool_backward``."""
    xp = array_module(dy)
    (_, H, W, C), (_, OH, OW, _) = x_shape, dy.shape
    dx = xp.empty(x_shape, dy.dtype)
    dy = xp.ascontiguousarray(dy)
    _launch("max_pool_backward", dx, dy, argmax, dx, H, W, C, OH, OW, *kernel, *stride, *_origin(padding))
    return dx


def avg_pool_forward(x: Array, kernel: Pair, stride: Pair, padding: Padding) -> Array:
    """See ``reference.avg_pool_forward``."""
    xp = array_module(x)
    N, H, W, C = x.shape
    OH, OW = output_size((H, W), kernel, stride, (1, 1), padding)
    y = xp.empty((N, OH, OW, C), x.dtype)
    x = xp.ascontiguousarray(x)
    _launch("avg_pool_forward", y, x, y, H, W, C, OH, OW, *kernel, *stride, *_origin(padding))
    return y


def avg_pool_backward(
    dy: Array, x_shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Padding
) -> Array:
    """See ``reference.avg_pool_backward``."""
    xp = array_module(dy)
    (_, H, W, C), (_, OH, OW, _) = x_shape, dy.shape
    dx = xp.empty(x_shape, dy.dtype)
    dy = xp.ascontiguousarray(dy)
    _launch("avg_pool_backward", dx, dy, dx, H, W, C, OH, OW, *kernel, *stride, *_origin(padding))
    return dx


def relu_forward(x: Array) -> Array:
    """See ``reference.relu_forward``."""
    x = array_module(x).ascontiguousarray(x)
    y = array_module(x).empty_like(x)
    _launch("relu_forward", y, x, y)
    return y


def relu_backward(dy: Array, y: Array) -> Array:
    """See ``reference.relu_backward``."""
    dy = array_module(dy).ascontiguousarray(dy)
    dx = array_module(dy).empty_like(dy)
    _launch("relu_backward", dx, dy, y, dx)
    return dx
