"""BatchNorm with a ReLU and a max-pool: see ``engine/cpu/kernels/norm.py``."""

import numpy as np

from minicnn.engine.cpu.blocks.base import Block, Stage, zeros
from minicnn.engine.cpu.blocks.conv import NO_SWITCHES
from minicnn.engine.cpu.blocks.geometry import norm_geometry, window_starts
from minicnn.engine.cpu.kernels import norm
from minicnn.engine.cpu.kernels.simd import LANES
from minicnn.layers import BatchNorm, Layer


class NormBlock(Block):
    """BatchNorm, optionally with a ReLU and a max-pool in either order."""

    def __init__(self, layers: list[Layer], parts: int) -> None:
        super().__init__(layers, parts)
        self.g = g = norm_geometry(layers)
        self.mean, self.inv_std, self.mean_dz, self.mean_dz_x_hat = (zeros(g.OC) for _ in range(4))
        self.sums = zeros(parts * 2 * g.OC, np.float64).reshape(parts, 2, g.OC)
        bias, windows = zeros(g.pitch), window_starts(g)
        self.workspaces = [
            norm.Workspace(bias, NO_SWITCHES, windows, zeros(g.OH * g.OW * g.pitch), sums, zeros(LANES))
            for sums in self.sums
        ]

    def connect_gradients(self, dx: np.ndarray | None, dy: np.ndarray) -> None:
        """Set the arrays for dx and dy, and allocate what only training needs."""
        super().connect_gradients(dx, dy)
        switches = zeros(self.capacity * self.g.PH * self.g.PW * self.g.pitch, np.uint8)
        self.workspaces = [workspace._replace(switches=switches) for workspace in self.workspaces]
        self.dz = zeros(self.capacity * self.input_size) if dx is None else dx
        self.var, self.dgamma, self.dbeta = (zeros(self.g.OC) for _ in range(3))
        self.own_gradients = {"gamma": self.dgamma, "beta": self.dbeta}

    def begin(self, N: int, training: bool) -> None:
        """Set the statistics and parameters; a prediction uses the running averages."""
        super().begin(N, training)
        if not training:
            self.mean[:] = self.layer.state["running_mean"]
            self.inv_std[:] = 1 / np.sqrt(self.layer.state["running_var"] + self.layer.epsilon)
        gamma, beta = self.weights["gamma"], self.weights["beta"]
        self.channels = norm.Channels(self.mean, self.inv_std, gamma, beta, self.mean_dz, self.mean_dz_x_hat)

    def forward(self, training: bool) -> list[Stage]:
        """Return the stages: in training the moments of the parts and of the batch; the normalization."""
        moments = [Stage(self._moments), Stage(self._combine, whole=True)] if training else []
        return [*moments, Stage(self._normalize)]

    def _moments(self, part: int, first: int, last: int) -> None:
        norm.moments(self.g, self.workspaces[part], self.x, first, last)

    def _combine(self, part: int, first: int, last: int) -> None:
        parts, pixels = min(self.parts, last), self.g.OH * self.g.OW
        counts = np.diff(last * np.arange(parts + 1) // parts)[:, None]  # images of each part
        means, squares = self.sums[:parts, 0], self.sums[:parts, 1]
        mean = (counts * means).sum(axis=0) / last
        between = pixels * (counts * (means - mean) ** 2).sum(axis=0)
        self.mean[:] = mean
        self.var[:] = (squares.sum(axis=0) + between) / (last * pixels)
        self.inv_std[:] = 1 / np.sqrt(self.var + self.layer.epsilon)

    def _normalize(self, part: int, first: int, last: int) -> None:
        norm.forward(self.g, self.workspaces[part], self.channels, self.x, self.y, first, last)

    def backward(self) -> list[Stage]:
        """Return the stages: dγ and dβ of the parts, then of the batch, then dx."""
        stages = [Stage(self._backward_sums), Stage(self._add_up, whole=True)]
        return stages if self.dx is None else [*stages, Stage(self._backward)]

    def _backward_sums(self, part: int, first: int, last: int) -> None:
        norm.backward_sums(
            self.g, self.workspaces[part], self.channels, self.x, self.dy, self.dz, first, last
        )

    def _add_up(self, part: int, first: int, last: int) -> None:
        self.dgamma[:], self.dbeta[:] = self.sums[: min(self.parts, last)].sum(axis=0)
        rows = np.float32(last * self.g.OH * self.g.OW)
        self.mean_dz[:], self.mean_dz_x_hat[:] = self.dbeta / rows, self.dgamma / rows

    def _backward(self, part: int, first: int, last: int) -> None:
        norm.backward(self.g, self.channels, self.x, self.dz, self.dx, first, last)

    def commit(self) -> None:
        """Update the running averages, unless a channel has a single value."""
        layer: BatchNorm = self.layer
        if self.N * self.g.OH * self.g.OW > 1:
            layer.update_running(self.mean, self.var)
