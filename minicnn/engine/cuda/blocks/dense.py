"""Dense on a GPU, with the ReLU behind it."""

import math
from collections.abc import Sequence

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
    product_gradients,
    share_of,
)
from minicnn.layers import Layer


class DenseBlock(Block):
    """Dense, with the ReLU behind it: see ``dense.cu``."""

    def __init__(self, device: Device, group: Sequence[Layer]) -> None:
        super().__init__(device, group)
        self.D, self.units = self.input_size, self.output_size
        self.tile_n = 64 if self.units > 32 else 32
        self.kernels = device.compile(
            "gemm", "dense", D=self.D, UNITS=self.units, RELU=int(len(group) > 1), TILE_N=self.tile_n
        )

    def connect(self, capacity: int, x: Array, y: Array) -> None:
        """Take the arrays for x and y, and make the parts of x @ W."""
        super().connect(capacity, x, y)
        self.bias = self.layer.params["b"] if self.layer.use_bias else self.device.zeros(self.units)
        # Fewer images have fewer tiles, and so more parts.
        most = max(self._forward_share(N)[0] * N for N in range(1, capacity + 1))
        self.sums = self.device.zeros(most * self.units)

    def _forward_grid(self, N: int) -> tuple[int, ...]:
        return grid_of((N, TILE_M), (self.units, self.tile_n))

    def _forward_share(self, N: int) -> tuple[int, int]:
        return share_of(self.D, math.prod(self._forward_grid(N)))

    def connect_gradients(self, dx: Array | None, dy: Array) -> None:
        """Take the arrays for dx and dy, and make the parts of the gradients."""
        super().connect_gradients(dx, dy)
        self.grid = grid_of((self.D + 1, TILE_M), (self.units, self.tile_n))
        most = most_parts(self.capacity, math.prod(self.grid))
        self.parts = self.device.zeros(most, self.D + 1, self.units)

    def forward(self, N: int, step: Array, training: bool) -> list[Launch]:
        """Return the launches that compute y."""
        count, share = self._forward_share(N)
        arguments = self.x, self.layer.params["W"], self.sums, *ints(N, share)
        finish = self.sums, self.bias, self.y, *ints(N, count)
        return [
            Launch(self.kernels.get_function("forward"), (*self._forward_grid(N), count), 128, arguments),
            Launch(self.kernels.get_function("finish"), grid_of((N * self.units, 128)), 128, finish),
        ]

    def backward(self, N: int, step: Array) -> list[Launch]:
        """Return the launches for the parts of dW and db, and for dx."""
        count, share = share_of(N, math.prod(self.grid))
        arguments = self.x, self.dy, self.y, self.parts, *ints(N, share)
        launches = [
            Launch(self.kernels.get_function("weights_gradient"), (*self.grid, count), 128, arguments)
        ]
        if self.dx is not None:
            grid = grid_of((self.D, self.tile_n), (N, TILE_M))
            arguments = self.dy, self.y, self.layer.params["W"], self.dx, *ints(N)
            launches.append(Launch(self.kernels.get_function("input_gradient"), grid, 128, arguments))
        return launches

    def gradients(self, N: int) -> list[Gradient]:
        """Return those of W and b."""
        count, _ = share_of(N, math.prod(self.grid))
        return product_gradients(self.layer, self.parts, count)
