"""Pools of any kind, activations and dropout on a GPU, each on its own."""

import zlib
from collections.abc import Sequence

import numpy as np

from minicnn import layers as L
from minicnn.backend import Array
from minicnn.engine.cuda.blocks.base import Block, Device, Launch, ints
from minicnn.layers import Layer


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
        self.sizes = ints(H, W, C, OH, OW, *kernel, *stride, top, left)
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
                kernel, size, self.x, self.y, np.float32(self.layer.negative_slope), *ints(size)
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
                kernel, size, self.dy, self.x, self.dx, np.float32(self.layer.negative_slope), *ints(size)
            )
        ]


class DropoutBlock(Block):
    """Dropout: see ``elementwise.cu``. Its masks are not the layer's own, but distributed as these."""

    def __init__(self, device: Device, group: Sequence[Layer]) -> None:
        super().__init__(device, group)
        self.module = device.compile("records", "elementwise")

    def _launch(self, N: int, step: Array, rate: float, x: Array, y: Array) -> Launch:
        size, salt = N * self.input_size, np.uint32(zlib.crc32(self.layer.name.encode()))
        numbers = salt, np.float32(rate), np.float32(1 / (1 - rate)), *ints(size)
        return self._elementwise(self.module.get_function("dropout"), size, x, y, step, *numbers)

    def forward(self, N: int, step: Array, training: bool) -> list[Launch]:
        """Return the launch that computes y; a prediction is training with rate 0."""
        return [self._launch(N, step, self.layer.rate if training else 0, self.x, self.y)]

    def backward(self, N: int, step: Array) -> list[Launch]:
        """Return the launch that computes dx."""
        return [] if self.dx is None else [self._launch(N, step, self.layer.rate, self.dy, self.dx)]
