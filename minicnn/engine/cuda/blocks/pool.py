"""Pools on a GPU, with any window."""

from collections.abc import Sequence

import numpy as np

from minicnn import layers as L
from minicnn.backend import Array
from minicnn.engine.cuda.blocks.base import Block, as_image
from minicnn.engine.cuda.device import Device, Launch
from minicnn.layers import Layer


class PoolBlock(Block):
    """A pool, or a global pool: see ``pool.cu``."""

    def __init__(self, device: Device, group: Sequence[Layer]) -> None:
        super().__init__(device, group)
        H, W, C = self.layer.input_shape
        OH, OW, _ = as_image(self.layer.output_shape)
        (KH, KW), (SH, SW), ((top, _), (left, _)) = self.layer.window
        self.kind = "max" if isinstance(self.layer, L.MaxPool2D) else "avg"
        self._compile(
            "pool", H=H, W=W, C=C, OH=OH, OW=OW, KH=KH, KW=KW, SH=SH, SW=SW, TOP=top, LEFT=left
        )  # fmt: skip

    def connect(self, capacity: int, x: Array, y: Array) -> None:
        """Set the arrays for x and y, and allocate the switches of a max-pool."""
        super().connect(capacity, x, y)
        size = capacity * self.output_size
        self.switches = [self.device.zeros(size, dtype=np.int32)] if self.kind == "max" else []

    def forward(self, N: int, step: Array, training: bool) -> list[Launch]:
        """Return the launch that computes y."""
        size = N * self.output_size
        return [self._each(f"{self.kind}_forward", size, self.x, self.y, *self.switches, size)]

    def backward(self, N: int, step: Array) -> list[Launch]:
        """Return the launch that computes dx."""
        if self.dx is None:
            return []
        size = N * self.input_size
        return [self._each(f"{self.kind}_backward", size, self.dy, *self.switches, self.dx, size)]
