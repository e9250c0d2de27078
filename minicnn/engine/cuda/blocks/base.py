"""The base class of all CUDA blocks."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from minicnn import layers as L
from minicnn.backend import Array
from minicnn.engine.cuda.device import THREADS, Device, Launch
from minicnn.layers import Layer

# Blocks of threads that keep a large GPU busy: sums are split into parts up to this many.
BUSY = 256


class Gradient(NamedTuple):
    """A parameter's gradient, the sum of ``count`` parts that start ``stride`` numbers apart."""

    layer: Layer
    name: str
    first: Array  # the first part; the sum replaces it
    stride: int
    count: int


class Block:
    """One or more layers as kernel launches, over flat arrays x and y and their gradients dx and dy."""

    threads = THREADS

    def __init__(self, device: Device, group: Sequence[Layer]) -> None:
        self.device, self.layer = device, group[0]
        self.input_size = math.prod(group[0].input_shape)
        self.output_size = math.prod(group[-1].output_shape)

    def connect(self, capacity: int, x: Array, y: Array) -> None:
        """Set the arrays for x and y, for ``capacity`` images, and allocate what the forward pass needs."""
        self.capacity, self.x, self.y = capacity, x, y

    def connect_gradients(self, dx: Array | None, dy: Array) -> None:
        """Set the arrays for dx (None if it is not needed) and dy, and allocate what training needs."""
        self.dx, self.dy = dx, dy

    def forward(self, N: int, step: Array, training: bool) -> list[Launch]:
        """Return the launches that compute y; ``step`` is a ``Step``, see ``step.cu``."""
        raise NotImplementedError

    def backward(self, N: int, step: Array) -> list[Launch]:
        """Return the launches that compute dx and the parts of the parameters' gradients."""
        raise NotImplementedError

    def gradients(self, N: int) -> list[Gradient]:
        """Return the parameters' gradients, as ``backward(N)`` leaves them."""
        return []

    def commit(self, N: int, totals: Array) -> list[Launch]:
        """Return the launches that update the layer's state if the loss was finite."""
        return []

    def _compile(self, *files: str, **constants: int) -> None:
        self._launch = self.device.compile(*files, threads=self.threads, **constants).launch

    def _each(self, kernel: str, size: int, *arguments: Any) -> Launch:
        """Return a launch with one thread for each of ``size`` results."""
        return self._launch(kernel, -(-size // self.threads), *arguments)


def as_image(shape: Sequence[int]) -> tuple[int, ...]:
    """Return (H, W, C), also for the shape (C,) of one pixel."""
    return (1, 1, *shape)[-3:]


def epilogue(group: Sequence[Layer], shape: Sequence[int]) -> dict[str, int]:
    """Return the constants of ``epilogue.cu`` for a group whose first layer computes ``shape``."""
    OH, OW, OC = as_image(shape)
    kinds = {type(layer) for layer in group}
    return {"OH": OH, "OW": OW, "OC": OC, "POOL": 1 + (L.MaxPool2D in kinds), "RELU": int(L.ReLU in kinds)}
