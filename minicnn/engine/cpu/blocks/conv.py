"""Conv2D with a ReLU and a max-pool: see ``engine/cpu/kernels/conv.py``."""

import math
from collections.abc import Iterator

import numpy as np

from minicnn.engine.cpu.blocks.base import EMPTY, Block, Piece, Stage, zeros
from minicnn.engine.cpu.blocks.geometry import conv_geometry, run_starts, window_starts
from minicnn.engine.cpu.kernels import conv, gemm, sparse, winograd
from minicnn.engine.cpu.kernels.gemm import PANEL
from minicnn.engine.cpu.kernels.geometry import Geometry
from minicnn.engine.cpu.kernels.simd import LANES
from minicnn.layers import Layer

# Up to this depth times the cells of the pool, a dense product is faster than listing the open outputs.
_SHORT = 16 * LANES
# A switch is one byte: the number of a cell of the pooling window, or one more for "closed".
MOST_CELLS = 255
NO_SWITCHES = zeros(0, np.uint8)
"""The switches in a prediction."""


class ConvBlock(Block):
    """Conv2D, optionally with a ReLU and a max-pool in either order."""

    def __init__(self, layers: list[Layer], parts: int) -> None:
        super().__init__(layers, parts)
        self.g = conv_geometry(layers)
        self.bias = zeros(self.g.pitch)
        starts = run_starts(self.g, layers[0])
        self.workspaces = [_workspace(self.g, starts, self.bias) for _ in range(parts)]

    def connect_gradients(self, dx: np.ndarray | None, dy: np.ndarray) -> None:
        """Set the arrays for dx and dy, and allocate what only training needs."""
        super().connect_gradients(dx, dy)
        g = self.g
        switches = zeros(self.capacity * g.PH * g.PW * g.pitch, np.uint8)
        self.workspaces = [workspace._replace(switches=switches) for workspace in self.workspaces]
        self.gradient = gradient_kind(g, dx is not None)(g, self.parts, dx is not None)
        self.dW, self.db = zeros(g.depth * g.OC), zeros(g.pitch)
        self.own_gradients = {"W": self.dW.reshape(*self.layer.window[0], g.C, g.OC)}
        if self.layer.use_bias:
            self.own_gradients["b"] = self.db[: g.OC]

    def begin(self, N: int, training: bool) -> None:
        """Copy the bias."""
        super().begin(N, training)
        if self.layer.use_bias:
            self.bias[: self.g.OC] = self.weights["b"]

    def pack(self, part: int, training: bool) -> None:
        """Pack the filters in panels, transformed where Winograd's algorithm applies."""
        g, W, workspace = self.g, self.weights["W"], self.workspaces[part]
        if g.TH:
            winograd.transform_weights(W, g.C, g.OC, g.OC, 1, g.C, workspace.panels, workspace.m)
        else:
            gemm.pack(W, 0, g.depth, g.OC, workspace.panels, g.depth * PANEL)
        if training and self.dx is not None:
            self.gradient.pack(W, part)

    def forward(self, training: bool) -> list[Stage]:
        """Return the stage that computes y and, in training, the switches."""

        def run(part: int, first: int, last: int) -> None:
            conv.forward(self.g, self.workspaces[part], self.x, self.y, first, last)

        return [Stage(run)]

    def backward(self) -> list[Stage]:
        """Return the stage that computes dx, and this part's sums of dW and db."""
        dx = EMPTY if self.dx is None else self.dx

        def run(part: int, first: int, last: int) -> None:
            buffers = self.gradient.buffers[part]
            buffers.dw[:] = buffers.db[:] = 0
            self.gradient.kernel(self.g, self.workspaces[part], buffers, self.x, self.dy, dx, first, last)

        return [Stage(run)]

    def gradients(self, part: int, parts: int, N: int) -> Iterator[Piece]:
        """Add up the parts' dW and db."""
        if part == 0:
            used = min(self.parts, N)
            self.gradient.collect(self.gradient.dw[:used].sum(axis=0), self.dW.reshape(-1, self.g.OC))
            np.sum(self.gradient.db[:used], axis=0, out=self.db)
        yield from super().gradients(part, parts, N)


def _workspace(g: Geometry, starts: np.ndarray, bias: np.ndarray) -> conv.Workspace:
    """Return the workspace of one thread, for one image."""
    tiles = g.band * g.TW
    lines = 2 * g.TH or (g.OH if g.overlap else g.pool_KH)
    return conv.Workspace(
        starts, bias, NO_SWITCHES, panels=zeros(16 * g.C * g.pitch if g.TH else g.depth * g.pitch),
        padded=zeros(_padded_size(g)), z=zeros(lines * g.YW * g.pitch), v=zeros(16 * tiles * g.C),
        m=zeros(16 * tiles * PANEL), edge=zeros(LANES),
    )  # fmt: skip


def _padded_size(g: Geometry) -> int:
    return g.FH * g.FW * g.C + LANES  # the last run may be read in whole registers


def gradient_kind(g: Geometry, need_dx: bool) -> type:
    """Return the cheapest backward pass."""
    cells = g.pool_KH * g.pool_KW
    if g.TH and (g.PH, g.PW) == (g.OH, g.OW) and cells == 1:
        return WinogradGradient  # without a pool, every open output has a gradient
    if not need_dx and not g.overlap and cells * g.depth <= _SHORT:
        return DenseGradient
    return SparseGradient


class _Gradient:
    """Base: a kernel for the backward pass, with buffers for each part; ``dw`` is in the kernel's order."""

    def __init__(self, g: Geometry, parts: int, dw_size: int) -> None:
        self.g = g
        self.dw = zeros(parts * dw_size).reshape(parts, -1)
        self.db = zeros(parts * g.pitch).reshape(parts, -1)

    def pack(self, W: np.ndarray, part: int) -> None:
        """Lay out the filters for this part's dx."""

    def collect(self, dw: np.ndarray, dW: np.ndarray) -> None:
        """Write the sum of the parts' dw to dW (depth, OC)."""
        raise NotImplementedError

    def _unpack(self, panels: np.ndarray, dW: np.ndarray) -> None:
        """Write panels (pitch / PANEL, depth, PANEL) to dW (depth, OC)."""
        dW[:] = panels.transpose(1, 0, 2).reshape(len(dW), -1)[:, : self.g.OC]


class DenseGradient(_Gradient):
    """dW as a dense product, without dx: faster than listing the open outputs of small windows."""

    kernel = staticmethod(conv.dense_gradient)

    def __init__(self, g: Geometry, parts: int, need_dx: bool) -> None:
        super().__init__(g, parts, g.depth * g.pitch)
        lines = np.arange(g.OH) * g.SH * g.FW * g.C
        self.buffers = [
            conv.DenseGradient(dw, db, zeros(g.OH * g.OW * PANEL), lines)
            for dw, db in zip(self.dw, self.db, strict=True)
        ]

    def collect(self, dw: np.ndarray, dW: np.ndarray) -> None:
        """Unpack the panels."""
        self._unpack(dw.reshape(-1, self.g.depth, PANEL), dW)


class SparseGradient(_Gradient):
    """The backward pass over the open outputs only."""

    kernel = staticmethod(sparse.backward)

    def __init__(self, g: Geometry, parts: int, need_dx: bool) -> None:
        self.shape = g.OC, g.depth // g.length, -(-g.length // LANES) * LANES
        size, windows, listed = math.prod(self.shape), window_starts(g), g.PH * g.PW * g.OC + 1
        super().__init__(g, parts, size)
        self.buffers = [
            sparse.SparseGradient(
                dw, db, w=zeros(need_dx * size), windows=windows, dpadded=zeros(need_dx * _padded_size(g)),
                offsets=zeros(listed, np.int32), values=zeros(listed), counts=zeros(g.OC, np.uint64),
            )
            for dw, db in zip(self.dw, self.db, strict=True)
        ]  # fmt: skip

    def pack(self, W: np.ndarray, part: int) -> None:
        """Write each filter as rows of whole registers, padded with zeros."""
        runs = W.reshape(-1, self.g.length, self.g.OC).transpose(2, 0, 1)
        self.buffers[part].w.reshape(self.shape)[:, :, : self.g.length] = runs

    def collect(self, dw: np.ndarray, dW: np.ndarray) -> None:
        """Remove the padding, and transpose."""
        dW[:] = dw.reshape(self.shape)[:, :, : self.g.length].reshape(self.g.OC, -1).T


class WinogradGradient(_Gradient):
    """The backward pass by Winograd's algorithm."""

    kernel = staticmethod(winograd.backward)

    def __init__(self, g: Geometry, parts: int, need_dx: bool) -> None:
        super().__init__(g, parts, 16 * g.C * g.pitch)
        panel = 16 * g.band * g.TW * PANEL
        panel_starts = np.arange(0, g.pitch // PANEL * panel, panel)
        self.buffers = [
            winograd.WinogradGradient(
                dw, db, u=zeros(need_dx * 16 * gemm.panels_size(g.pitch, g.C)),
                dpadded=zeros(need_dx * _padded_size(g)), dm=zeros(panel * g.pitch // PANEL),
                panel_starts=panel_starts,
            )
            for dw, db in zip(self.dw, self.db, strict=True)
        ]  # fmt: skip

    def pack(self, W: np.ndarray, part: int) -> None:
        """Transform the filters with C and OC exchanged."""
        g = self.g
        winograd.transform_weights(
            W, g.OC, 1, g.C, g.OC, g.pitch, self.buffers[part].u, self.buffers[part].dm
        )

    def collect(self, dw: np.ndarray, dW: np.ndarray) -> None:
        """Transform dU back."""
        dg = winograd.weights_gradient(dw.reshape(-1, 4, 4, self.g.C, PANEL))
        self._unpack(dg.reshape(-1, self.g.depth, PANEL), dW)
