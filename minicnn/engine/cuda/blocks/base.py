"""What a CUDA block is: which kernels are launched, with which grid, over arrays that never move."""

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minicnn import layers as L
from minicnn.backend import Array
from minicnn.layers import Layer
from minicnn.runtime import cuda

# As many blocks of threads as keep a large GPU busy: a product with fewer tiles is cut into parts.
BUSY = 256
TILE_M, TILE_K, THREADS = 64, 16, 256


class Launch(NamedTuple):
    """One kernel, as it is launched."""

    kernel: Any
    grid: tuple[int, ...]
    threads: int
    arguments: tuple[Any, ...]

    def __call__(self) -> None:
        """Launch it on the current stream."""
        self.kernel(self.grid, (self.threads,), self.arguments)


class Gradient(NamedTuple):
    """A parameter and its gradient, the sum of ``count`` arrays that begin ``stride`` numbers apart."""

    layer: Layer
    name: str
    first: Array  # the first of them, where the sum will be left
    stride: int
    count: int


class Device:
    """The array module, and the compiler of kernels for it."""

    def __init__(self, xp: ModuleType, precision: str) -> None:
        self.xp = xp
        self.precision = precision

    def zeros(self, *shape: int, dtype: Any = np.float32) -> Array:
        """Return an array on the device."""
        return self.xp.zeros(shape, dtype)

    def laid_out(self, array: Array) -> Array:
        """Return the array in the order that kernels read: itself, or a copy."""
        return array if array.flags.c_contiguous else self.xp.ascontiguousarray(array)

    def compile(self, *files: str, **constants: int | str) -> Any:
        """Return the kernels of these files, one behind the other, for these constants."""
        return cuda.compiled(self.xp, cuda.source(*files, precision=self.precision, **constants))


def grid_of(*sizes: tuple[int, int]) -> tuple[int, ...]:
    """Return how many tiles cover each size."""
    return tuple(-(-size // tile) for size, tile in sizes)


def most_parts(depth: int, tiles: int) -> int:
    """Return into how many parts a sum over ``depth`` is cut at most: several if there are few tiles."""
    return max(1, min(BUSY // tiles, depth // (4 * TILE_K)))


def share_of(depth: int, tiles: int) -> tuple[int, int]:
    """Cut a sum over ``depth`` into parts: their number, and the length of one."""
    share = -(-depth // (most_parts(depth, tiles) * TILE_K)) * TILE_K
    return -(-depth // share), share


def ints(*values: int) -> tuple[np.int32, ...]:
    """Return the numbers as kernels take them."""
    return tuple(np.int32(value) for value in values)


class Block:
    """One layer, or several, over x and y (capacity, …), and their gradients dx and dy."""

    def __init__(self, device: Device, group: Sequence[Layer]) -> None:
        self.device, self.layer = device, group[0]
        self.input_size = math.prod(group[0].input_shape)
        self.output_size = math.prod(group[-1].output_shape)

    def connect(self, capacity: int, x: Array, y: Array) -> None:
        """Take the arrays for x and y, and make what is needed in between."""
        self.capacity, self.x, self.y = capacity, x, y

    def connect_gradients(self, dx: Array | None, dy: Array) -> None:
        """Take the arrays for dx, or None where it is not needed, and dy; make what training needs."""
        self.dx, self.dy = dx, dy

    def forward(self, N: int, step: Array, training: bool) -> list[Launch]:
        """Return the launches that compute y; ``step`` is the step's record, see ``records.cu``."""
        raise NotImplementedError

    def backward(self, N: int, step: Array) -> list[Launch]:
        """Return the launches that compute dx, and the parts of the parameters' gradients."""
        raise NotImplementedError

    def gradients(self, N: int) -> list[Gradient]:
        """Return the parameters' gradients, as ``backward(N)`` leaves them."""
        return []

    def commit(self, N: int, totals: Array) -> list[Launch]:
        """Return the launches that keep what forward has found out, if the loss was finite."""
        return []

    def _elementwise(self, kernel: Any, size: int, *arguments: Any) -> Launch:
        return Launch(kernel, grid_of((size, THREADS)), THREADS, arguments)


def pool_constants(group: Sequence[Layer], shape: tuple[int, ...]) -> dict[str, int]:
    """Return the constants of ``pool.cu`` for the ReLU and the pool behind an array of ``shape``."""
    OH, OW, OC = shape if len(shape) == 3 else (1, 1, *shape)
    kinds = {type(layer) for layer in group}
    pool, relu = 2 if L.MaxPool2D in kinds else 1, int(L.ReLU in kinds)
    return {"OH": OH, "OW": OW, "OC": OC, "POOL": pool, "RELU": relu}


def product_gradients(layer: Layer, parts: Array, count: int) -> list[Gradient]:
    """Return the gradients of W and b in parts (…, rows of W + 1, columns): b's is the last row."""
    _, rows, columns = parts.shape
    dW = Gradient(layer, "W", parts[0, :-1].reshape(layer.params["W"].shape), rows * columns, count)
    db = Gradient(layer, "b", parts[0, -1], rows * columns, count)
    return [dW, db] if layer.use_bias else [dW]
