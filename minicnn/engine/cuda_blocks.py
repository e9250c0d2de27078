"""The layers as launches of CUDA kernels over arrays that never move: see ``kernels/*.cu``.

A block is one layer, or several that are computed together. It says which kernels are launched, with
which grid, for a batch of N images; nothing is launched here.
"""

import math
import zlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minicnn import layers as L
from minicnn.backend import Array
from minicnn.kernels import cuda
from minicnn.layers import Layer

# As many blocks of threads as keep a large GPU busy: a product with fewer tiles is cut into parts.
_BUSY = 256
_TILE_M, _TILE_K, _THREADS = 64, 16, 256


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

    def compile(self, *files: str, **constants: int | str) -> Any:
        """Return the kernels of these files, one behind the other, for these constants."""
        return cuda.compiled(self.xp, cuda.source(*files, precision=self.precision, **constants))


def _grid(*sizes: tuple[int, int]) -> tuple[int, ...]:
    """Return how many tiles cover each size."""
    return tuple(-(-size // tile) for size, tile in sizes)


def _most_parts(depth: int, tiles: int) -> int:
    """Return into how many parts a sum over ``depth`` is cut at most: several if there are few tiles."""
    return max(1, min(_BUSY // tiles, depth // (4 * _TILE_K)))


def _share(depth: int, tiles: int) -> tuple[int, int]:
    """Cut a sum over ``depth`` into parts: their number, and the length of one."""
    share = -(-depth // (_most_parts(depth, tiles) * _TILE_K)) * _TILE_K
    return -(-depth // share), share


def _ints(*values: int) -> tuple[np.int32, ...]:
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
        return Launch(kernel, _grid((size, _THREADS)), _THREADS, arguments)


def _pool_constants(group: Sequence[Layer], shape: tuple[int, ...]) -> dict[str, int]:
    """Return the constants of ``pool.cu`` for the ReLU and the pool behind an array of ``shape``."""
    OH, OW, OC = shape if len(shape) == 3 else (1, 1, *shape)
    kinds = {type(layer) for layer in group}
    pool, relu = 2 if L.MaxPool2D in kinds else 1, int(L.ReLU in kinds)
    return {"OH": OH, "OW": OW, "OC": OC, "POOL": pool, "RELU": relu}


class ConvBlock(Block):
    """Conv2D, and if they are there a ReLU and a 2 × 2 MaxPool2D: see ``convolution.cu``."""

    def __init__(self, device: Device, group: Sequence[Layer]) -> None:
        super().__init__(device, group)
        conv: L.Conv2D = self.layer
        H, W, self.C = conv.input_shape
        (KH, KW), (SH, SW), (DH, DW), ((top, _), (left, _)) = conv.window
        pool = _pool_constants(group, conv.output_shape)
        self.pixels, self.OC, self.depth = H * W, conv.filters, KH * KW * self.C
        self.outputs = pool["POOL"] ** 2 * (self.output_size // self.OC)  # those that a pool covers
        self.tile_n = 64 if self.OC > 32 else 32
        self.kernels = device.compile(
            "product", "pool", "convolution", H=H, W=W, C=self.C, KH=KH, KW=KW, SH=SH, SW=SW, DH=DH, DW=DW,
            TOP=top, LEFT=left, TILE_N=self.tile_n, **pool,
        )  # fmt: skip

    def connect(self, capacity: int, x: Array, y: Array) -> None:
        """Take the arrays for x and y, and make that of the codes."""
        super().connect(capacity, x, y)
        self.codes = self.device.zeros(capacity * self.output_size, dtype=np.uint8)
        self.bias = self.layer.params["b"] if self.layer.use_bias else self.device.zeros(self.OC)

    def connect_gradients(self, dx: Array | None, dy: Array) -> None:
        """Take the arrays for dx and dy, and make the parts of the gradients."""
        super().connect_gradients(dx, dy)
        self.grid = _grid((self.depth + 1, _TILE_M), (self.OC, self.tile_n))
        most = _most_parts(self.capacity * self.outputs, math.prod(self.grid))
        self.parts = self.device.zeros(most, self.depth + 1, self.OC)

    def forward(self, N: int, step: Array, training: bool) -> list[Launch]:
        """Return the launch that computes y and the codes."""
        grid = _grid((N * self.outputs, _TILE_M), (self.OC, self.tile_n))
        arguments = self.x, self.layer.params["W"], self.bias, self.y, self.codes, *_ints(N)
        return [Launch(self.kernels.get_function("forward"), grid, 128, arguments)]

    def backward(self, N: int, step: Array) -> list[Launch]:
        """Return the launches for the parts of dW and db, and for dx."""
        count, share = _share(N * self.outputs, math.prod(self.grid))
        arguments = self.x, self.dy, self.codes, self.parts, *_ints(N, share)
        launches = [
            Launch(self.kernels.get_function("weights_gradient"), (*self.grid, count), 128, arguments)
        ]
        if self.dx is not None:
            grid = _grid((N * self.pixels, _TILE_M), (self.C, self.tile_n))
            arguments = self.dy, self.codes, self.layer.params["W"], self.dx, *_ints(N)
            launches.append(Launch(self.kernels.get_function("input_gradient"), grid, 128, arguments))
        return launches

    def gradients(self, N: int) -> list[Gradient]:
        """Return those of W and b."""
        count, _ = _share(N * self.outputs, math.prod(self.grid))
        return _product_gradients(self.layer, self.parts, count)


def _product_gradients(layer: Layer, parts: Array, count: int) -> list[Gradient]:
    """Return the gradients of W and b in parts (…, rows of W + 1, columns): b's is the last row."""
    _, rows, columns = parts.shape
    dW = Gradient(layer, "W", parts[0, :-1].reshape(layer.params["W"].shape), rows * columns, count)
    db = Gradient(layer, "b", parts[0, -1], rows * columns, count)
    return [dW, db] if layer.use_bias else [dW]


class DenseBlock(Block):
    """Dense, with the ReLU behind it: see ``dense.cu``."""

    def __init__(self, device: Device, group: Sequence[Layer]) -> None:
        super().__init__(device, group)
        self.D, self.units = self.input_size, self.output_size
        self.tile_n = 64 if self.units > 32 else 32
        self.kernels = device.compile(
            "product", "dense", D=self.D, UNITS=self.units, RELU=int(len(group) > 1), TILE_N=self.tile_n
        )

    def connect(self, capacity: int, x: Array, y: Array) -> None:
        """Take the arrays for x and y, and make the parts of x @ W."""
        super().connect(capacity, x, y)
        self.bias = self.layer.params["b"] if self.layer.use_bias else self.device.zeros(self.units)
        # Fewer images have fewer tiles, and so more parts.
        most = max(self._forward_share(N)[0] * N for N in range(1, capacity + 1))
        self.sums = self.device.zeros(most * self.units)

    def _forward_grid(self, N: int) -> tuple[int, ...]:
        return _grid((N, _TILE_M), (self.units, self.tile_n))

    def _forward_share(self, N: int) -> tuple[int, int]:
        return _share(self.D, math.prod(self._forward_grid(N)))

    def connect_gradients(self, dx: Array | None, dy: Array) -> None:
        """Take the arrays for dx and dy, and make the parts of the gradients."""
        super().connect_gradients(dx, dy)
        self.grid = _grid((self.D + 1, _TILE_M), (self.units, self.tile_n))
        most = _most_parts(self.capacity, math.prod(self.grid))
        self.parts = self.device.zeros(most, self.D + 1, self.units)

    def forward(self, N: int, step: Array, training: bool) -> list[Launch]:
        """Return the launches that compute y."""
        count, share = self._forward_share(N)
        arguments = self.x, self.layer.params["W"], self.sums, *_ints(N, share)
        finish = self.sums, self.bias, self.y, *_ints(N, count)
        return [
            Launch(self.kernels.get_function("forward"), (*self._forward_grid(N), count), 128, arguments),
            Launch(self.kernels.get_function("finish"), _grid((N * self.units, 128)), 128, finish),
        ]

    def backward(self, N: int, step: Array) -> list[Launch]:
        """Return the launches for the parts of dW and db, and for dx."""
        count, share = _share(N, math.prod(self.grid))
        arguments = self.x, self.dy, self.y, self.parts, *_ints(N, share)
        launches = [
            Launch(self.kernels.get_function("weights_gradient"), (*self.grid, count), 128, arguments)
        ]
        if self.dx is not None:
            grid = _grid((self.D, self.tile_n), (N, _TILE_M))
            arguments = self.dy, self.y, self.layer.params["W"], self.dx, *_ints(N)
            launches.append(Launch(self.kernels.get_function("input_gradient"), grid, 128, arguments))
        return launches

    def gradients(self, N: int) -> list[Gradient]:
        """Return those of W and b."""
        count, _ = _share(N, math.prod(self.grid))
        return _product_gradients(self.layer, self.parts, count)


class NormBlock(Block):
    """BatchNorm, and if they are there a ReLU and a 2 × 2 MaxPool2D: see ``norm.cu``."""

    def __init__(self, device: Device, group: Sequence[Layer]) -> None:
        super().__init__(device, group)
        pool = _pool_constants(group, group[0].input_shape)
        self.C = pool["OC"]
        self.module = device.compile("records", "pool", "norm", **pool)

    def connect(self, capacity: int, x: Array, y: Array) -> None:
        """Take the arrays for x and y, and make that of the codes and those of the channels."""
        super().connect(capacity, x, y)
        zeros = self.device.zeros
        self.codes = zeros(capacity * self.output_size, dtype=np.uint8)
        self.mean, self.var, self.inv_std = zeros(self.C), zeros(self.C), zeros(self.C)

    def connect_gradients(self, dx: Array | None, dy: Array) -> None:
        """Take the arrays for dx and dy, and make the sums' parts and the gradients."""
        super().connect_gradients(dx, dy)
        zeros = self.device.zeros
        most = max(self._share(N)[0] for N in range(1, self.capacity + 1))
        self.parts, self.more_parts = zeros(most, self.C), zeros(most, self.C)
        self.dgamma, self.dbeta = zeros(self.C), zeros(self.C)

    def _rows(self, N: int) -> int:
        return N * (self.input_size // self.C)

    def _share(self, N: int) -> tuple[int, int]:
        """Cut the rows into shares, one for a block of threads: their number, and the length of one."""
        rows = self._rows(N)
        share = max(-(-rows // _BUSY), 16)
        return -(-rows // share), share

    def _launch(self, name: str, blocks: int, *arguments: Any) -> Launch:
        return Launch(self.module.get_function(name), (blocks,), _THREADS, arguments)

    def forward(self, N: int, step: Array, training: bool) -> list[Launch]:
        """Return the launches: the batch's moments in training, then y."""
        layer, epsilon = self.layer, np.float32(self.layer.epsilon)
        mean, launches = self.mean, []
        if training:
            M, (count, share) = self._rows(N), self._share(N)
            launches = [
                self._launch("sum", count, self.x, self.parts, *_ints(M, share)),
                self._launch("mean", 1, self.parts, mean, *_ints(M, count)),
                self._launch("sum_squares", count, self.x, mean, self.parts, *_ints(M, share)),
                self._launch("variance", 1, self.parts, self.var, self.inv_std, *_ints(M, count), epsilon),
            ]
        else:
            mean = layer.state["running_mean"]
            launches = [self._launch("invert", 1, layer.state["running_var"], self.inv_std, epsilon)]
        (blocks,) = _grid((N * self.output_size, _THREADS))
        gamma, beta = layer.params["gamma"], layer.params["beta"]
        arguments = self.x, mean, self.inv_std, gamma, beta, self.y, self.codes, *_ints(N)
        return [*launches, self._launch("forward", blocks, *arguments)]

    def backward(self, N: int, step: Array) -> list[Launch]:
        """Return the launches for dγ and dβ, and for dx."""
        M, (count, share) = self._rows(N), self._share(N)
        normed, back = (self.x, self.mean, self.inv_std), (self.dy, self.codes)
        launches = [
            self._launch("sum_gradients", count, *back, self.parts, *_ints(M, share)),
            self._launch("sum_products", count, *normed, *back, self.more_parts, *_ints(M, share)),
            self._launch(
                "finish_gradients", 1, self.parts, self.more_parts, self.dgamma, self.dbeta, *_ints(count)
            ),
        ]
        if self.dx is not None:
            (blocks,) = _grid((M * self.C, _THREADS))
            sums = self.layer.params["gamma"], self.dgamma, self.dbeta
            launches.append(self._launch("backward", blocks, *normed, *sums, *back, self.dx, *_ints(M)))
        return launches

    def gradients(self, N: int) -> list[Gradient]:
        """Return those of γ and β."""
        return [
            Gradient(self.layer, "gamma", self.dgamma, 0, 1),
            Gradient(self.layer, "beta", self.dbeta, 0, 1),
        ]

    def commit(self, N: int, totals: Array) -> list[Launch]:
        """Return the launch that moves the running averages."""
        if self._rows(N) == 1:
            return []  # one value has no variance
        layer, momentum = self.layer, self.layer.momentum
        running = layer.state["running_mean"], layer.state["running_var"]
        weights = np.float32(momentum), np.float32(1 - momentum)
        return [self._launch("move_running", 1, self.mean, self.var, *running, totals, *weights)]


class PoolBlock(Block):
    """A pool of any kind: see ``windows.cu``."""

    def __init__(self, device: Device, group: Sequence[Layer]) -> None:
        super().__init__(device, group)
        layer = self.layer
        H, W, C = layer.input_shape
        if isinstance(layer, L.GlobalAvgPool2D | L.GlobalMaxPool2D):
            (OH, OW), window = (1, 1), ((H, W), (1, 1), ((0, 0), (0, 0)))
        else:
            (OH, OW), window = layer.output_shape[:2], layer.window
        (kernel, stride, ((top, _), (left, _))) = window
        self.sizes = _ints(H, W, C, OH, OW, *kernel, *stride, top, left)
        self.maximum = isinstance(layer, L.MaxPool2D | L.GlobalMaxPool2D)
        self.module = device.compile("windows", REAL="float")

    def connect(self, capacity: int, x: Array, y: Array) -> None:
        """Take the arrays for x and y, and make that of the maxima's places."""
        super().connect(capacity, x, y)
        self.kept = [self.device.zeros(capacity * self.output_size, dtype=np.int32)] if self.maximum else []

    def _launch(self, name: str, size: int, *arrays: Array) -> Launch:
        kernel = self.module.get_function(f"{'max' if self.maximum else 'avg'}_pool_{name}")
        return self._elementwise(kernel, size, *arrays, np.int64(size), *self.sizes)

    def forward(self, N: int, step: Array, training: bool) -> list[Launch]:
        """Return the launch that computes y."""
        return [self._launch("forward", N * self.output_size, self.x, self.y, *self.kept)]

    def backward(self, N: int, step: Array) -> list[Launch]:
        """Return the launch that computes dx."""
        if self.dx is None:
            return []
        return [self._launch("backward", N * self.input_size, self.dy, *self.kept, self.dx)]


class ReluBlock(Block):
    """A ReLU that stands where no other block takes it along."""

    def __init__(self, device: Device, group: Sequence[Layer]) -> None:
        super().__init__(device, group)
        self.module = device.compile("windows", REAL="float")

    def forward(self, N: int, step: Array, training: bool) -> list[Launch]:
        """Return the launch that computes y."""
        size = N * self.input_size
        return [
            self._elementwise(self.module.get_function("relu_forward"), size, self.x, self.y, np.int64(size))
        ]

    def backward(self, N: int, step: Array) -> list[Launch]:
        """Return the launch that computes dx."""
        if self.dx is None:
            return []
        size, arrays = N * self.input_size, (self.dy, self.y, self.dx)
        return [self._elementwise(self.module.get_function("relu_backward"), size, *arrays, np.int64(size))]


class LeakyBlock(Block):
    """LeakyReLU: see ``elementwise.cu``."""

    def __init__(self, device: Device, group: Sequence[Layer]) -> None:
        super().__init__(device, group)
        self.module = device.compile("records", "elementwise")

    def forward(self, N: int, step: Array, training: bool) -> list[Launch]:
        """Return the launch that computes y."""
        size = N * self.input_size
        kernel = self.module.get_function("leaky_forward")
        return [
            self._elementwise(
                kernel, size, self.x, self.y, np.float32(self.layer.negative_slope), *_ints(size)
            )
        ]

    def backward(self, N: int, step: Array) -> list[Launch]:
        """Return the launch that computes dx."""
        if self.dx is None:
            return []
        size = N * self.input_size
        kernel = self.module.get_function("leaky_backward")
        return [
            self._elementwise(
                kernel, size, self.dy, self.x, self.dx, np.float32(self.layer.negative_slope), *_ints(size)
            )
        ]


class DropoutBlock(Block):
    """Dropout: see ``elementwise.cu``. Its masks are not the layer's own, but distributed as these."""

    def __init__(self, device: Device, group: Sequence[Layer]) -> None:
        super().__init__(device, group)
        self.module = device.compile("records", "elementwise")

    def _launch(self, N: int, step: Array, rate: float, x: Array, y: Array) -> Launch:
        size, salt = N * self.input_size, np.uint32(zlib.crc32(self.layer.name.encode()))
        numbers = salt, np.float32(rate), np.float32(1 / (1 - rate)), *_ints(size)
        return self._elementwise(self.module.get_function("dropout"), size, x, y, step, *numbers)

    def forward(self, N: int, step: Array, training: bool) -> list[Launch]:
        """Return the launch that computes y; a prediction is training with rate 0."""
        return [self._launch(N, step, self.layer.rate if training else 0, self.x, self.y)]

    def backward(self, N: int, step: Array) -> list[Launch]:
        """Return the launch that computes dx."""
        return [] if self.dx is None else [self._launch(N, step, self.layer.rate, self.dy, self.dx)]


# What a block may begin with, and what it then takes along: each at most once, in any order.
_BLOCKS: dict[type[Layer], tuple[type[Block], tuple[type[Layer], ...]]] = {
    L.Conv2D: (ConvBlock, (L.ReLU, L.MaxPool2D)),
    L.BatchNorm: (NormBlock, (L.ReLU, L.MaxPool2D)),
    L.Dense: (DenseBlock, (L.ReLU,)),
    L.MaxPool2D: (PoolBlock, ()),
    L.AvgPool2D: (PoolBlock, ()),
    L.GlobalMaxPool2D: (PoolBlock, ()),
    L.GlobalAvgPool2D: (PoolBlock, ()),
    L.ReLU: (ReluBlock, ()),
    L.LeakyReLU: (LeakyBlock, ()),
    L.Dropout: (DropoutBlock, ()),
}
_SIDE_BY_SIDE = (2, 2), (2, 2), ((0, 0), (0, 0))


def knows(layers: Sequence[Layer]) -> bool:
    """Whether there is a block for each layer: a subclass may compute something else."""
    return all(type(layer) in _BLOCKS or type(layer) is L.Flatten for layer in layers)


def cut(device: Device, layers: Sequence[Layer]) -> list[Block]:
    """Cut a model's layers into blocks. Flatten is another view of the same numbers, and no block at all."""
    blocks: list[Block] = []
    rest = [layer for layer in layers if type(layer) is not L.Flatten]
    while rest:
        kind, followers = _BLOCKS[type(rest[0])]
        group = [rest.pop(0)]
        while rest and _follows(rest[0], group, followers):
            group.append(rest.pop(0))
        blocks.append(kind(device, group))
    return blocks


def _follows(layer: Layer, group: list[Layer], followers: tuple[type[Layer], ...]) -> bool:
    if type(layer) not in followers or type(layer) in map(type, group):
        return False
    return type(layer) is not L.MaxPool2D or layer.window == _SIDE_BY_SIDE
