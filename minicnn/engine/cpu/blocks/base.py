"""What a block is: one layer, or several that are computed together, over arrays made once."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from minicnn.layers import Layer

_CACHE_LINE = 64  # bytes


class Stage(NamedTuple):
    """A piece of a step.

    ``run(part, first, last)`` computes images ``first`` to ``last`` of the batch with workspace ``part``. A
    whole stage runs once, for all images; any other runs for each part of the batch in another thread.
    """

    run: Callable[[int, int, int], None]
    whole: bool = False


class Piece(NamedTuple):
    """Numbers ``first`` to ``last`` of the flat parameter ``name``."""

    name: str
    first: int
    last: int


def zeros(size: int, dtype: type = np.float32) -> np.ndarray:
    """Return ``size`` zeros aligned to a cache line: a register across two lines is loaded twice."""
    line = _CACHE_LINE // np.dtype(dtype).itemsize
    array = np.zeros(size + line, dtype)
    start = -(array.ctypes.data // array.itemsize) % line
    return array[start : start + size]


EMPTY = zeros(0)
"""Passed to a kernel for an array that is not needed."""


def share(n: int, part: int, parts: int) -> tuple[int, int]:
    """Return where the share of ``part`` in n things begins and ends."""
    return n * part // parts, n * (part + 1) // parts


def laid_out(arrays: dict[str, np.ndarray] | list[np.ndarray], key: str | int) -> np.ndarray:
    """Make the array ``key`` contiguous and writable, as kernels need it, and return it flat."""
    if not arrays[key].flags.carray:
        arrays[key] = np.require(arrays[key], requirements="CAW")
    return arrays[key].reshape(-1)


class Block:
    """A layer with the layers behind it that are computed together with it.

    A block reads and writes flat float32 arrays, which hold the whole batch: x and y, and their
    gradients dx and dy. It computes what the layers do.

    Attributes
    ----------
    layer : Layer
        The first, which alone may have parameters.
    parts : int
        The number of workspaces, the most parts that a batch is cut into.
    weights : dict
        The layer's flat parameters at the beginning of the step: see ``take_weights``.
    own_gradients : dict
        The arrays that ``gradients`` writes to, for the parameters whose gradient this block computes.
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

        In training the layer gets contiguous arrays, if its own are not; a prediction does not change it.
        """
        params = self.layer.params if training else dict(self.layer.params)
        self.weights = {name: laid_out(params, name) for name in params}

    def begin(self, N: int, training: bool) -> None:
        """Prepare a training step on N images, or a prediction, in one thread for all."""
        if training:
            self.N = N
            self.layer.grads.update(self.own_gradients)

    def pack(self, part: int, training: bool) -> None:
        """Pack the weights for the kernels of this part: they may have changed."""

    def forward(self, training: bool) -> list[Stage]:
        """Return the stages that compute y."""
        raise NotImplementedError

    def backward(self) -> list[Stage]:
        """Return the stages that compute dx."""
        raise NotImplementedError

    def gradients(self, part: int, parts: int, N: int) -> Iterator[Piece]:
        """Finish this part of the gradients of the parameters, in ``layer.grads``, piece by piece.

        Called when all dx are known. Each piece is yielded at once, to be used while it is in the cache.
        """
        if part == 0:
            for name, w in self.layer.params.items():
                yield Piece(name, 0, w.size)

    def commit(self) -> None:
        """Update the layer's state after the step, now that the loss is known to be finite."""
