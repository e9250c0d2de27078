"""Dense with a ReLU: see ``engine/cpu/kernels/dense.py``."""

from collections.abc import Iterator

import numpy as np

from minicnn.engine.cpu.blocks.base import EMPTY, Block, Piece, Stage, zeros
from minicnn.engine.cpu.kernels import dense
from minicnn.engine.cpu.kernels.gemm import PANEL, panels_size
from minicnn.layers import Layer
from minicnn.runtime.threads import part_range

# Numbers of dW per update: with W and its moments they fit into the L2 cache.
_PIECE = 64 * 1024


class DenseBlock(Block):
    """Dense, optionally with a ReLU."""

    def __init__(self, layers: list[Layer], parts: int) -> None:
        super().__init__(layers, parts)
        self.bias = zeros(self.output_size)

    def connect(self, capacity: int, x: np.ndarray, y: np.ndarray) -> None:
        """Set the arrays for x and y, and allocate the workspaces."""
        super().connect(capacity, x, y)
        units = self.output_size
        self.rows = -(-capacity // self.parts)  # of one part, at most
        self.workspaces = [
            dense.Workspace(
                bias=self.bias, panels=zeros(panels_size(dense.DEPTH, units)),
                z=zeros(panels_size(self.rows, units)),
                dz=EMPTY, dz_panels=EMPTY, dz_columns=EMPTY, tail=EMPTY,
            )
            for _ in range(self.parts)
        ]  # fmt: skip

    def connect_gradients(self, dx: np.ndarray | None, dy: np.ndarray) -> None:
        """Set the arrays for dx and dy, and allocate what only training needs."""
        super().connect_gradients(dx, dy)
        D, units = self.input_size, self.output_size
        self.dz, dz_panels = zeros(self.capacity * units), zeros(panels_size(self.capacity, units))
        self.workspaces = [
            workspace._replace(
                dz=self.dz, dz_panels=dz_panels, dz_columns=zeros(panels_size(units, self.rows)),
                tail=zeros(dense.STRIPE * PANEL),
            )
            for workspace in self.workspaces
        ]  # fmt: skip
        self.dW, self.db = zeros(D * units), zeros(units)
        self.own_gradients = {"W": self.dW.reshape(D, units)}
        if self.layer.use_bias:
            self.own_gradients["b"] = self.db

    def begin(self, N: int, training: bool) -> None:
        """Set the sizes, and copy the bias."""
        super().begin(N, training)
        self.sizes = dense.Sizes(N, self.input_size, self.output_size, relu=len(self.layers) > 1)
        if self.layer.use_bias:
            self.bias[:] = self.weights["b"]

    def forward(self, training: bool) -> list[Stage]:
        """Return the stage that computes y."""

        def run(part: int, first: int, last: int) -> None:
            dense.forward(self.sizes, self.workspaces[part], self.weights["W"], self.x, self.y, first, last)

        return [Stage(run)]

    def backward(self) -> list[Stage]:
        """Return the stage that computes dz and dx."""
        dx = EMPTY if self.dx is None else self.dx

        def run(part: int, first: int, last: int) -> None:
            dense.backward(
                self.sizes, self.workspaces[part], self.weights["W"], self.y, self.dy, dx, first, last
            )

        return [Stage(run)]

    def gradients(self, part: int, parts: int, N: int) -> Iterator[Piece]:
        """Compute this part of the rows of dW over the whole batch; the first part also computes db."""
        workspace, D, units = self.workspaces[part], self.input_size, self.output_size
        first, last = part_range(D, part, parts)
        rows = max(_PIECE // units, dense.STRIPE)
        for d in range(first, last, rows):
            end = min(d + rows, last)
            dense.gradient(self.sizes, self.x, workspace.dz_panels, workspace.tail, self.dW, d, end)
            yield Piece("W", d * units, end * units)
        if part == 0 and self.layer.use_bias:
            np.sum(self.dz[: N * units].reshape(N, units), axis=0, out=self.db)
            yield Piece("b", 0, units)
