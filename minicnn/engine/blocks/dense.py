"""Dense, with the ReLU behind it."""

from collections.abc import Iterator

import numpy as np

from minicnn.engine.blocks.base import Block, Piece, Stage, share, weights, zeros
from minicnn.kernels import dense, product
from minicnn.kernels.product import PANEL
from minicnn.layers import Dense, Layer

# Numbers of dW that are updated at a time: with W and its moments they fit into the L2 cache.
_PIECE = 32 * 1024


class DenseBlock(Block):
    """Dense, and a ReLU if there is one: see ``kernels/dense.py``."""

    def __init__(self, layers: list[Layer], parts: int) -> None:
        super().__init__(layers, parts)
        self.relu = len(layers) > 1
        self.bias = zeros(self.output_size)
        self.panels = zeros(product.panels_size(self.input_size, self.output_size))

    def connect(self, capacity: int, x: np.ndarray, y: np.ndarray) -> None:
        """Take the arrays for x and y."""
        super().connect(capacity, x, y)
        rows = max(capacity, dense.STRIPE)
        self.tails = [zeros(rows * PANEL) for _ in range(self.parts)]

    def connect_gradients(self, dx: np.ndarray | None, dy: np.ndarray) -> None:
        """Take the arrays for dx and dy, and make what only training needs."""
        super().connect_gradients(dx, dy)
        D, units = self.input_size, self.output_size
        self.dz = zeros(self.capacity * units)
        self.dz_panels = zeros(product.panels_size(self.capacity, units))
        self.columns = [zeros(product.panels_size(units, self.capacity)) for _ in range(self.parts)]
        self.dW, self.db = zeros(D * units), zeros(units)

    def begin(self, N: int) -> None:
        """Note the batch size, and where the gradients will be."""
        self.N = N
        self.layer.grads["W"] = self.dW.reshape(self.input_size, self.output_size)
        if self.layer.use_bias:
            self.layer.grads["b"] = self.db

    def pack(self, part: int, parts: int, training: bool) -> None:
        """Lay out this part of W in panels."""
        layer: Dense = self.layer
        D, units = self.input_size, self.output_size
        dense.pack(weights(layer, "W"), D, units, self.panels, *share(D, part, parts))
        if part == 0 and layer.use_bias:
            self.bias[:] = layer.params["b"]

    def forward(self, training: bool) -> list[Stage]:
        """Return the stage that computes y."""
        D, units = self.input_size, self.output_size

        def run(part: int, first: int, last: int) -> None:
            dense.forward(
                self.x, self.panels, self.bias, self.relu, self.y, first, last, D, units,
                product.ONE_RUN, self.tails[part],
            )  # fmt: skip

        return [Stage(run)]

    def backward(self) -> list[Stage]:
        """Return the stage that computes dz and dx."""
        D, units, need_dx = self.input_size, self.output_size, self.dx is not None
        dx = self.dx if need_dx else zeros(0)

        def run(part: int, first: int, last: int) -> None:
            dense.backward(
                self.y, self.dy, self.relu, self.dz, self.dz_panels, self.N, first, last, D, units,
                need_dx, weights(self.layer, "W"), self.columns[part], dx, product.ONE_RUN, self.tails[part],
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
                self.x, self.dz_panels, N, D, units, self.dW, d, end, product.ONE_RUN, self.tails[part]
            )
            yield Piece("W", d * units, end * units)
        if part == 0 and self.layer.use_bias:
            np.sum(self.dz[: N * units].reshape(N, units), axis=0, out=self.db)
            yield Piece("b", 0, units)
