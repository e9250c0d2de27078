"""BatchNorm, with the ReLU and the max-pool behind it: see ``engine/cpu/kernels/norm.py``."""

from functools import partial

import numpy as np

from minicnn.engine.cpu.blocks.base import Block, Stage, zeros
from minicnn.engine.cpu.blocks.conv import NO_CODES, POOLS, places, pooling
from minicnn.engine.cpu.kernels import norm
from minicnn.engine.cpu.kernels.gemm import PANEL
from minicnn.engine.cpu.kernels.geometry import Geometry
from minicnn.engine.cpu.kernels.simd import LANES
from minicnn.layers import BatchNorm, Layer, ReLU


class NormBlock(Block):
    """BatchNorm, and if they are there a ReLU and a max-pool, in either order."""

    def __init__(self, layers: list[Layer], parts: int) -> None:
        super().__init__(layers, parts)
        pool = next((layer for layer in layers if isinstance(layer, POOLS)), None)
        self.g = g = geometry(layers[0], pool, any(isinstance(layer, ReLU) for layer in layers))
        self.mean, self.inv_std, self.bias = zeros(g.OC), zeros(g.OC), zeros(g.pitch)
        self.work = [(zeros(g.OH * g.OW * g.pitch), zeros(LANES)) for _ in range(parts)]

    def connect_gradients(self, dx: np.ndarray | None, dy: np.ndarray) -> None:
        """Take the arrays for dx and dy, and make what only training needs."""
        super().connect_gradients(dx, dy)
        self.codes = zeros(self.capacity * self.g.PH * self.g.PW * self.g.pitch, np.uint8)
        C, parts = self.g.OC, self.parts
        self.place = places(self.g)
        self.dz = zeros(self.capacity * self.input_size) if dx is None else dx
        self.dgamma, self.dbeta = zeros(C), zeros(C)
        self.own_gradients = {"gamma": self.dgamma, "beta": self.dbeta}
        self.var, self.scale, self.shift, self.tilt = zeros(C), zeros(C), zeros(C), zeros(C)
        # For each part two sums: the mean and the squares, on the way back dγ and dβ.
        self.sums = zeros(parts * 2 * C, np.float64).reshape(parts, 2, C)

    def begin(self, N: int, training: bool) -> None:
        """Say where the gradients will be; a prediction normalizes with the running averages."""
        super().begin(N, training)
        if not training:
            self.mean[:] = self.layer.state["running_mean"]
            self.inv_std[:] = 1 / np.sqrt(self.layer.state["running_var"] + self.layer.epsilon)

    def forward(self, training: bool) -> list[Stage]:
        """Return the stages: the parts' moments, putting them together, normalizing."""
        normalize = Stage(partial(self._normalize, self.codes if training else NO_CODES))
        if not training:
            return [normalize]
        return [Stage(self._moments), Stage(self._put_together, whole=True), normalize]

    def _moments(self, part: int, first: int, last: int) -> None:
        pixels = self.g.OH * self.g.OW
        norm.moments(self.x, first * pixels, last * pixels, self.g.OC, *self.sums[part])

    def _put_together(self, part: int, first: int, last: int) -> None:
        parts = min(self.parts, last)
        edges = last * np.arange(parts + 1) // parts
        counts = np.diff(edges)[:, None]  # images of each part
        means, squares = self.sums[:parts, 0], self.sums[:parts, 1]
        mean = (counts * means).sum(axis=0) / last
        pixels = self.g.OH * self.g.OW
        between = pixels * (counts * (means - mean) ** 2).sum(axis=0)
        self.mean[:] = mean
        self.var[:] = (squares.sum(axis=0) + between) / (last * pixels)
        self.inv_std[:] = 1 / np.sqrt(self.var + self.layer.epsilon)

    def _normalize(self, codes: np.ndarray, part: int, first: int, last: int) -> None:
        gamma, beta = self.weights["gamma"], self.weights["beta"]
        y, edge = self.work[part]
        norm.forward(
            self.g, self.x, first, last, self.mean, self.inv_std, gamma, beta, self.y, codes,
            y, self.bias, edge,
        )  # fmt: skip

    def backward(self) -> list[Stage]:
        """Return the stages: the parts' dγ and dβ, adding them up, dx."""
        stages = [Stage(self._sums), Stage(self._add_up, whole=True)]
        return stages if self.dx is None else [*stages, Stage(self._dx)]

    def _sums(self, part: int, first: int, last: int) -> None:
        self.sums[part] = 0
        norm.backward_sums(
            self.g, self.x, self.dy, self.codes, first, last, self.mean, self.inv_std, self.place, self.dz,
            *self.sums[part], self.work[part][1],
        )  # fmt: skip

    def _add_up(self, part: int, first: int, last: int) -> None:
        parts = min(self.parts, last)
        self.dgamma[:], self.dbeta[:] = self.sums[:parts].sum(axis=0)
        rows = np.float32(last * self.g.OH * self.g.OW)
        self.scale[:] = self.weights["gamma"] * self.inv_std
        self.shift[:], self.tilt[:] = self.dbeta / rows, self.dgamma / rows

    def _dx(self, part: int, first: int, last: int) -> None:
        pixels = self.g.OH * self.g.OW
        norm.backward(
            self.x, self.dz, first * pixels, last * pixels, self.g.OC, self.mean, self.inv_std,
            self.scale, self.shift, self.tilt, self.dx,
        )  # fmt: skip

    def commit(self) -> None:
        """Update the running averages, unless the batch is a single value."""
        layer: BatchNorm = self.layer
        if self.N * self.g.OH * self.g.OW > 1:
            layer.update_running(self.mean, self.var)


def geometry(layer: BatchNorm, pool: Layer | None, relu: bool) -> Geometry:
    """Return the sizes: those of a 1 × 1 convolution with what stands behind it."""
    shape = layer.input_shape
    (H, W), C = (shape[:2] if len(shape) == 3 else (1, int(np.prod(shape[:-1])))), shape[-1]
    return Geometry(
        H=H, W=W, C=C, OH=H, OW=W, OC=C, SH=1, SW=1, FH=H, FW=W, top=0, left=0, YW=W,
        pitch=-(-C // PANEL) * PANEL, length=C, depth=C, TH=0, TW=0, band=0, row=0, relu=relu,
        **pooling(pool, H, W),
    )  # fmt: skip
