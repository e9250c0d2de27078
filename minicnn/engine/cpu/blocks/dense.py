"""Dense, with the ReLU behind it."""

from collections.abc import Iterator

import numpy as np

from minicnn.engine.cpu.blocks.base import Block, Piece, Stage, share, zeros
from minicnn.engine.cpu.kernels import dense, gemm
from minicnn.engine.cpu.kernels.gemm import PANEL
from minicnn.layers import Layer

# Numbers of dW that are updated at a time: with W and its moments they fit into the L2 cache.
_PIECE = 64 * 1024


class DenseBlock(Block):
    """Dense, and a ReLU if there is one: see ``engine/cpu/kernels/dense.py``."""

    def __init__(self, layers: list[Layer], parts: int) -> None:
        super().__init__(layers, parts)
        self.relu = len(layers) > 1
        self.bias = zeros(self.output_size)
        self.panels = [zeros(gemm.panels_size(dense.DEPTH, self.output_size)) for _ in range(parts)]

    def connect(self, capacity: int, x: np.ndarray, y: np.ndarray) -> None:
        """Take the arrays for x and y."""
        super().connect(capacity, x, y)
        self.rows = -(-capacity // self.parts)  # of one part, at most
        self.z = [zeros(gemm.panels_size(self.rows, self.output_size)) for _ in range(self.parts)]

    def connect_gradients(self, dx: np.ndarray | None, dy: np.ndarray) -> None:
        """Take the arrays for dx and dy, and make what only training needs."""
        super().connect_gradients(dx, dy)
        D, units = self.input_size, self.output_size
        self.dz = zeros(self.capacity * units)
        self.tails = [zeros(dense.STRIPE * PANEL) for _ in range(self.parts)]
        self.dz_panels = zeros(gemm.panels_size(self.capacity, units))
        self.columns = [zeros(gemm.panels_size(units, self.rows)) for _ in range(self.parts)]
        self.dW, self.db = zeros(D * units), zeros(units)
        self.own_gradients = {"W": self.dW.reshape(D, units)}
        if self.layer.use_bias:
            self.own_gradients["b"] = self.db

    def begin(self, N: int, training: bool) -> None:
        """Take the bias, and say where the gradients will be."""
        super().begin(N, training)
        if self.layer.use_bias:
            self.bias[:] = self.weights["b"]

    def forward(self, training: bool) -> list[Stage]:
        """Return the stage that computes y."""
        D, units = self.input_size, self.output_size

        def run(part: int, first: int, last: int) -> None:
            dense.forward(
                self.x, self.weights["W"], self.bias, self.relu, self.y, first, last, D, units,
                gemm.ONE_RUN, self.panels[part], self.z[part],
            )  # fmt: skip

        return [Stage(run)]

    def backward(self) -> list[Stage]:
        """Return the stage that computes dz and dx."""
        D, units, need_dx = self.input_size, self.output_size, self.dx is not None
        dx = self.dx if need_dx else zeros(0)

        def run(part: int, first: int, last: int) -> None:
            dense.backward(
                self.y, self.dy, self.relu, self.dz, self.dz_panels, self.N, first, last, D, units,
                need_dx, self.weights["W"], self.columns[part], dx, gemm.ONE_RUN, self.tails[part],
            )  # fmt: skip

        return [Stage(run)]

    def gradients(self, part: int, parts: int, N: int) -> Iterator[Piece]:
        """Compute this part of the rows of dW, over the whole batch; the first part has db too."""
        D, units = self.input_size, self.output_size
        first, last = share(D, part, parts)
        rows = max(_PIECE // units, dense.STRIPE)
        for d in range(first, last, rows):
            end = min(d + rows, last)
            dense.gradient(
                self.x, self.dz_panels, N, D, units, self.dW, d, end, gemm.ONE_RUN, self.tails[part]
            )
            yield Piece("W", d * units, end * units)
        if part == 0 and self.layer.use_bias:
            np.sum(self.dz[: N * units].reshape(N, units), axis=0, out=self.db)
            yield Piece("b", 0, units)
