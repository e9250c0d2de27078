"""The base class of all blocks."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from minicnn.layers import Layer

_CACHE_LINE = 64  # bytes


class Stage(NamedTuple):
    """``run(part, first, last)`` computes images ``first`` to ``last`` with workspace ``part``.

    A ``whole`` stage runs once for all images; any other runs in a thread for each part of the batch.
    """

    run: Callable[[int, int, int], None]
    whole: bool = False


class Piece(NamedTuple):
    """Numbers ``first`` to ``last`` of the flat parameter ``name``."""

    name: str
    first: int
    last: int


def zeros(size: int, dtype: type = np.float32) -> np.ndarray:
    """Return ``size`` zeros, aligned to a cache line: a load across two lines is slower."""
    line = _CACHE_LINE // np.dtype(dtype).itemsize
    array = np.zeros(size + line, dtype)
    start = -(array.ctypes.data // array.itemsize) % line
    return array[start : start + size]


EMPTY = zeros(0)
"""Passed to a kernel for an array that is not needed."""


def contiguous(arrays: dict[str, np.ndarray] | list[np.ndarray], key: str | int) -> np.ndarray:
    """Make ``arrays[key]`` contiguous and writable, as kernels need it, and return it flat."""
    if not arrays[key].flags.carray:
        arrays[key] = np.require(arrays[key], requirements="CAW")
    return arrays[key].reshape(-1)


class Block:
    """A layer and the layers after it that are computed together with it.

    A block reads and writes flat float32 arrays of the whole batch: x and y, and their gradients dx and dy.

    Attributes
    ----------
    layer : Layer
        The first layer, the only one that may have parameters.
    parts : int
        The number of workspaces: the most parts that a batch is split into.
    weights : dict
        The layer's parameters, flat: see ``take_weights``.
    own_gradients : dict
        The arrays that ``gradients`` writes to; empty if the layer computes its gradients itself.
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
        """Set the arrays for x and y of up to ``capacity`` images."""
        self.capacity, self.x, self.y = capacity, x, y

    def connect_gradients(self, dx: np.ndarray | None, dy: np.ndarray) -> None:
        """Set the arrays for dx (None if it is not needed) and dy, and allocate what only training needs."""
        self.dx, self.dy = dx, dy

    def take_weights(self, training: bool) -> None:
        """Set ``weights`` to the layer's checked parameters, contiguous; only training changes the layer."""
        params = self.layer.params if training else dict(self.layer.params)
        self.weights = {name: contiguous(params, name) for name in params}

    def begin(self, N: int, training: bool) -> None:
        """Prepare a training step on N images, or a prediction, before any thread starts."""
        if training:
            self.N = N
            self.layer.grads.update(self.own_gradients)

    def pack(self, part: int, training: bool) -> None:
        """Pack the weights for the kernels of this part."""

    def forward(self, training: bool) -> list[Stage]:
        """Return the stages that compute y."""
        raise NotImplementedError

    def backward(self) -> list[Stage]:
        """Return the stages that compute dx."""
        raise NotImplementedError

    def gradients(self, part: int, parts: int, N: int) -> Iterator[Piece]:
        """Complete this part of ``layer.grads`` after the backward pass, and yield its pieces one by one."""
        if part == 0:
            for name, w in self.layer.params.items():
                yield Piece(name, 0, w.size)

    def commit(self) -> None:
        """Update the layer's state after a step with a finite loss."""
