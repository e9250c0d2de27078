"""ReLU, LeakyReLU and Dropout on a GPU, unless another block includes them: see ``elementwise.cu``."""

import zlib
from collections.abc import Sequence

import numpy as np

from minicnn.backend import Array
from minicnn.engine.cuda.blocks.base import Block
from minicnn.engine.cuda.device import Device, Launch
from minicnn.layers import Layer


class _ElementwiseBlock(Block):
    def __init__(self, device: Device, group: Sequence[Layer]) -> None:
        super().__init__(device, group)
        self._compile("step", "elementwise")


class ActivationBlock(_ElementwiseBlock):
    """LeakyReLU, and ReLU as a LeakyReLU with slope 0."""

    @property
    def slope(self) -> float:
        """The slope for negative numbers."""
        return getattr(self.layer, "negative_slope", 0.0)

    def forward(self, N: int, step: Array, training: bool) -> list[Launch]:
        """Return the launch that computes y."""
        size = N * self.input_size
        return [self._each("leaky_relu_forward", size, self.x, self.y, self.slope, size)]

    def backward(self, N: int, step: Array) -> list[Launch]:
        """Return the launch that computes dx."""
        if self.dx is None:
            return []
        size = N * self.input_size
        return [self._each("leaky_relu_backward", size, self.dy, self.x, self.dx, self.slope, size)]


class DropoutBlock(_ElementwiseBlock):
    """Dropout. Its masks are drawn on the GPU, so they differ from the layer's."""

    def _dropout(self, N: int, x: Array, y: Array, step: Array, rate: float) -> Launch:
        size, salt = N * self.input_size, np.uint32(zlib.crc32(self.layer.name.encode()))
        return self._each("dropout", size, x, y, step, salt, rate, size)

    def forward(self, N: int, step: Array, training: bool) -> list[Launch]:
        """Return the launch that computes y; a prediction has rate 0."""
        return [self._dropout(N, self.x, self.y, step, self.layer.rate if training else 0.0)]

    def backward(self, N: int, step: Array) -> list[Launch]:
        """Return the launch that computes dx."""
        return [] if self.dx is None else [self._dropout(N, self.dy, self.dx, step, self.layer.rate)]
