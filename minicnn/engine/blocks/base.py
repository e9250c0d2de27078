"""What a block is: one layer, or several that are computed together, over arrays made once."""

import math
from collections.abc import Callable, Iterator
from typing import ClassVar, NamedTuple

import numpy as np

from minicnn.errors import ShapeError
from minicnn.layers import Layer

_CACHE_LINE = 64  # bytes


class Stage(NamedTuple):
    """A piece of a step.

    ``run(part, first, last)`` computes images ``first`` to ``last`` of the batch. A whole stage is
    run once, for all images; any other once for each part of the batch, in threads of their own, with
    workspace number ``part``.
    """

    run: Callable[[int, int, int], None]
    whole: bool = False


class Piece(NamedTuple):
    """Numbers ``first`` to ``last`` of the parameter ``name``, seen flat."""

    name: str
    first: int
    last: int


def zeros(size: int, dtype: type = np.float32) -> np.ndarray:
    """Return ``size`` zeros that begin at a cache line: a register across two lines is loaded twice."""
    line = _CACHE_LINE // np.dtype(dtype).itemsize
    array = np.zeros(size + line, dtype)
    start = -(array.ctypes.data // array.itemsize) % line
    return array[start : start + size]


def share(n: int, part: int, parts: int) -> tuple[int, int]:
    """Return the first and one past the last of n things that belong to ``part``."""
    return n * part // parts, n * (part + 1) // parts


def weights(layer: Layer, name: str) -> np.ndarray:
    """Return a layer's parameter as flat numbers: after ``Block.own`` its own, else maybe a copy."""
    return np.require(layer.params[name], np.float32, "CW").reshape(-1)


class Block:
    """A layer that has a fast way to be computed, with the layers behind it that can be computed along.

    A block reads and writes flat float32 arrays, which hold the whole batch: x and y, and their
    gradients dx and dy. What is computed is said by the layers.

    Attributes
    ----------
    layer : Layer
        The first, the only one that may have parameters.
    parts : int
        The largest number of parts that a batch is cut into: as many workspaces there are.
    shapes : dict
        The shapes that the kernels take the layer's parameters to have.
    """

    shapes: ClassVar[dict[str, tuple[int, ...]]] = {}

    def __init__(self, layers: list[Layer], parts: int) -> None:
        self.layer = layers[0]
        self.layers = layers
        self.parts = parts
        self.input_size = math.prod(layers[0].input_shape)
        self.output_size = math.prod(layers[-1].output_shape)

    def connect(self, capacity: int, x: np.ndarray, y: np.ndarray) -> None:
        """Take the arrays for x and y of up to ``capacity`` images."""
        self.capacity, self.x, self.y = capacity, x, y

    def connect_gradients(self, dx: np.ndarray | None, dy: np.ndarray) -> None:
        """Take the arrays for dx, or None where it is not needed, and dy."""
        self.dx, self.dy = dx, dy

    def own(self) -> None:
        """Give the layer its parameters as kernels can write to them, if somebody has set others."""
        params = self.layer.params
        for name in params:
            params[name] = np.require(params[name], np.float32, "CW")

    def check(self) -> None:
        """Refuse parameters of other shapes: the kernels would read past their end.

        Raises
        ------
        ShapeError
            Naming the layer and the shapes.
        """
        for name, w in self.layer.params.items():
            shape = self.shapes.get(name, w.shape)
            if w.shape != shape:
                where = f"layer {self.layer.name!r}"
                raise ShapeError(f"{where}: expected a parameter {name} of shape {shape}, it is {w.shape}")

    def begin(self, N: int, training: bool) -> None:
        """Prepare a training step on N images, or a prediction; one thread does this for all."""

    def pack(self, part: int, training: bool) -> None:
        """Lay out the weights as the kernels of this part read them: they may have changed."""

    def forward(self, training: bool) -> list[Stage]:
        """Return the stages that compute y."""
        raise NotImplementedError

    def backward(self) -> list[Stage]:
        """Return the stages that compute dx."""
        raise NotImplementedError

    def gradients(self, part: int, parts: int, N: int) -> Iterator[Piece]:
        """Finish this part of the parameters' gradients, which are in ``layer.grads``, piece by piece.

        Called when all dx are known. Each piece is yielded as soon as it is there, to be used while
        it is in the cache.
        """
        if part == 0:
            for name, w in self.layer.params.items():
                yield Piece(name, 0, w.size)

    def commit(self) -> None:
        """Keep what the forward pass has found out, now that the loss is known to be finite."""
