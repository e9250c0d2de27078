"""Conv2D on a GPU, with the ReLU and the 2 × 2 MaxPool2D behind it."""

import math
from collections.abc import Sequence

import numpy as np

from minicnn import layers as L
from minicnn.backend import Array
from minicnn.engine.cuda.blocks.base import (
    TILE_M,
    Block,
    Device,
    Gradient,
    Launch,
    grid_of,
    ints,
    most_parts,
    pool_constants,
    product_gradients,
    share_of,
)
from minicnn.layers import Layer


class ConvBlock(Block):
    """Conv2D, and if they are there a ReLU and a 2 × 2 MaxPool2D: see ``conv.cu``."""

    def __init__(self, device: Device, group: Sequence[Layer]) -> None:
        super().__init__(device, group)
        conv: L.Conv2D = self.layer
        H, W, self.C = conv.input_shape
        (KH, KW), (SH, SW), (DH, DW), ((top, _), (left, _)) = conv.window
        pool = pool_constants(group, conv.output_shape)
        self.pixels, self.OC, self.depth = H * W, conv.filters, KH * KW * self.C
        self.outputs = pool["POOL"] ** 2 * (self.output_size // self.OC)  # those that a pool covers
        self.tile_n = 64 if self.OC > 32 else 32
        self.kernels = device.compile(
            "gemm", "pool", "conv", H=H, W=W, C=self.C, KH=KH, KW=KW, SH=SH, SW=SW, DH=DH, DW=DW,
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
        self.grid = grid_of((self.depth + 1, TILE_M), (self.OC, self.tile_n))
        most = most_parts(self.capacity * self.outputs, math.prod(self.grid))
        self.parts = self.device.zeros(most, self.depth + 1, self.OC)

    def forward(self, N: int, step: Array, training: bool) -> list[Launch]:
        """Return the launch that computes y and the codes."""
        grid = grid_of((N * self.outputs, TILE_M), (self.OC, self.tile_n))
        arguments = self.x, self.layer.params["W"], self.bias, self.y, self.codes, *ints(N)
        return [Launch(self.kernels.get_function("forward"), grid, 128, arguments)]

    def backward(self, N: int, step: Array) -> list[Launch]:
        """Return the launches for the parts of dW and db, and for dx."""
        count, share = share_of(N * self.outputs, math.prod(self.grid))
        arguments = self.x, self.dy, self.codes, self.parts, *ints(N, share)
        launches = [
            Launch(self.kernels.get_function("weights_gradient"), (*self.grid, count), 128, arguments)
        ]
        if self.dx is not None:
            grid = grid_of((N * self.pixels, TILE_M), (self.C, self.tile_n))
            arguments = self.dy, self.codes, self.layer.params["W"], self.dx, *ints(N)
            launches.append(Launch(self.kernels.get_function("input_gradient"), grid, 128, arguments))
        return launches

    def gradients(self, N: int) -> list[Gradient]:
        """Return those of W and b."""
        count, _ = share_of(N * self.outputs, math.prod(self.grid))
        return product_gradients(self.layer, self.parts, count)
