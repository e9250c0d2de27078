"""What a block is: one layer, or several that are computed together, over arrays made once."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

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


EMPTY = zeros(0)
"""Passed to a kernel for an array that is not needed."""


def share(n: int, part: int, parts: int) -> tuple[int, int]:
    """Return the first and one past the last of n things that belong to ``part``."""
    return n * part // parts, n * (part + 1) // parts


def laid_out(arrays: dict[str, np.ndarray] | list[np.ndarray], key: str | int) -> np.ndarray:
    """Put the array ``key`` into the order that kernels read, if it is in another; return it flat."""
    if not arrays[key].flags.carray:
        arrays[key] = np.require(arrays[key], requirements="CAW")
    return arrays[key].reshape(-1)


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
    weights : dict
        The layer's parameters as flat numbers, as they were when the step began: see ``take_weights``.
    own_gradients : dict
        The arrays that ``gradients`` leaves the gradients of the parameters in, if this block computes them.
    """

    def __init__(self, layers: list[Layer], parts: int) -> None:
        self.layer = layers[0]
        self.layers = layers
        self.parts = parts
        self.weights: dict[str, np.ndarray] = {}
        self.own_gradients: dict[str, np.ndarray] = {}
        self.input_size = math.prod(layers[0].input_shape)
        self.output_size = math.prod(layers[-1].output_shape)

    def connect(self, capacity: int, x: np.ndarray, y: np.ndarray) -> None:
        """Take the arrays for x and y of up to ``capacity`` images."""
        self.capacity, self.x, self.y = capacity, x, y

    def connect_gradients(self, dx: np.ndarray | None, dy: np.ndarray) -> None:
        """Take the arrays for dx, or None where it is not needed, and dy."""
        self.dx, self.dy = dx, dy

    def take_weights(self, training: bool) -> None:
        """Take the layer's parameters, which have been checked: kernels see no others until the next step.

        In training the layer is given its own in the order that kernels read and write; a prediction
        leaves them as they are.
        """
        params = self.layer.params if training else dict(self.layer.params)
        self.weights = {name: laid_out(params, name) for name in params}

    def begin(self, N: int, training: bool) -> None:
        """Prepare a training step on N images, or a prediction; one thread does this for all."""
        if training:
            self.N = N
            self.layer.grads.update(self.own_gradients)

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
