"""BatchNorm on a GPU, with the ReLU and the 2 × 2 MaxPool2D behind it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.backend import Array
from minicnn.engine.cuda.blocks.base import (
    BUSY,
    THREADS,
    Block,
    Device,
    Gradient,
    Launch,
    grid_of,
    ints,
    pool_constants,
)
from minicnn.layers import Layer


class NormBlock(Block):
    """BatchNorm, and if they are there a ReLU and a 2 × 2 MaxPool2D: see ``norm.cu``."""

    def __init__(self, device: Device, group: Sequence[Layer]) -> None:
        super().__init__(device, group)
        pool = pool_constants(group, group[0].input_shape)
        self.C = pool["OC"]
        self.module = device.compile("records", "pool", "norm", **pool)

    def connect(self, capacity: int, x: Array, y: Array) -> None:
        """Take the arrays for x and y, and make that of the codes and those of the channels."""
        super().connect(capacity, x, y)
        zeros = self.device.zeros
        self.codes = zeros(capacity * self.output_size, dtype=np.uint8)
        self.mean, self.var, self.inv_std = zeros(self.C), zeros(self.C), zeros(self.C)

    def connect_gradients(self, dx: Array | None, dy: Array) -> None:
        """Take the arrays for dx and dy, and make the sums' parts and the gradients."""
        super().connect_gradients(dx, dy)
        zeros = self.device.zeros
        most = max(self._share(N)[0] for N in range(1, self.capacity + 1))
        self.parts, self.more_parts = zeros(most, self.C), zeros(most, self.C)
        self.dgamma, self.dbeta = zeros(self.C), zeros(self.C)

    def _rows(self, N: int) -> int:
        return N * (self.input_size // self.C)

    def _share(self, N: int) -> tuple[int, int]:
        """Cut the rows into shares, one for a block of threads: their number, and the length of one."""
        rows = self._rows(N)
        share = max(-(-rows // BUSY), 16)
        return -(-rows // share), share

    def _launch(self, name: str, blocks: int, *arguments: Any) -> Launch:
        return Launch(self.module.get_function(name), (blocks,), THREADS, arguments)

    def forward(self, N: int, step: Array, training: bool) -> list[Launch]:
        """Return the launches: the batch's moments in training, then y."""
        layer, epsilon = self.layer, np.float32(self.layer.epsilon)
        mean, launches = self.mean, []
        if training:
            M, (count, share) = self._rows(N), self._share(N)
            launches = [
                self._launch("sum", count, self.x, self.parts, *ints(M, share)),
                self._launch("mean", 1, self.parts, mean, *ints(M, count)),
                self._launch("sum_squares", count, self.x, mean, self.parts, *ints(M, share)),
                self._launch("variance", 1, self.parts, self.var, self.inv_std, *ints(M, count), epsilon),
            ]
        else:
            mean = layer.state["running_mean"]
            launches = [self._launch("invert", 1, layer.state["running_var"], self.inv_std, epsilon)]
        (blocks,) = grid_of((N * self.output_size, THREADS))
        gamma, beta = layer.params["gamma"], layer.params["beta"]
        arguments = self.x, mean, self.inv_std, gamma, beta, self.y, self.codes, *ints(N)
        return [*launches, self._launch("forward", blocks, *arguments)]

    def backward(self, N: int, step: Array) -> list[Launch]:
        """Return the launches for dγ and dβ, and for dx."""
        M, (count, share) = self._rows(N), self._share(N)
        normed, back = (self.x, self.mean, self.inv_std), (self.dy, self.codes)
        launches = [
            self._launch("sum_gradients", count, *back, self.parts, *ints(M, share)),
            self._launch("sum_products", count, *normed, *back, self.more_parts, *ints(M, share)),
            self._launch(
                "finish_gradients", 1, self.parts, self.more_parts, self.dgamma, self.dbeta, *ints(count)
            ),
        ]
        if self.dx is not None:
            (blocks,) = grid_of((M * self.C, THREADS))
            sums = self.layer.params["gamma"], self.dgamma, self.dbeta
            launches.append(self._launch("backward", blocks, *normed, *sums, *back, self.dx, *ints(M)))
        return launches

    def gradients(self, N: int) -> list[Gradient]:
        """Return those of γ and β."""
        return [
            Gradient(self.layer, "gamma", self.dgamma, 0, 1),
            Gradient(self.layer, "beta", self.dbeta, 0, 1),
        ]

    def commit(self, N: int, totals: Array) -> list[Launch]:
        """Return the launch that moves the running averages."""
        if self._rows(N) == 1:
            return []  # one value has no variance
        layer, momentum = self.layer, self.layer.momentum
        running = layer.state["running_mean"], layer.state["running_var"]
        weights = np.float32(momentum), np.float32(1 - momentum)
        return [self._launch("move_running", 1, self.mean, self.var, *running, totals, *weights)]
