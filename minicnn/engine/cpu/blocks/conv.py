"""Conv2D, with the ReLU and the MaxPool2D behind it: see ``engine/cpu/kernels/conv.py``."""

from collections.abc import Iterator

import numpy as np

from minicnn.engine.cpu.blocks.base import Block, Piece, Stage, zeros
from minicnn.engine.cpu.kernels import conv, gemm, sparse, winograd
from minicnn.engine.cpu.kernels.gemm import PANEL
from minicnn.engine.cpu.kernels.geometry import Geometry
from minicnn.engine.cpu.kernels.simd import LANES
from minicnn.layers import Conv2D, GlobalMaxPool2D, Layer, MaxPool2D, ReLU

# What one band of Winograd tiles takes of the L2 cache, as it is transformed; in bytes.
_BAND = 128 * 1024
# Numbers of a window, times the cells of the pool, that are multiplied as fast as an open result is listed.
_SHORT = 16 * LANES
# A code, the number of a pooling window's cell, is one byte; one more means "closed".
MOST_CELLS = 255
POOLS = MaxPool2D, GlobalMaxPool2D
NO_CODES = zeros(0, np.uint8)
"""What the kernels take for the codes in a prediction."""


class ConvBlock(Block):
    """Conv2D, and if they are there a ReLU and a max-pool, in either order."""

    def __init__(self, layers: list[Layer], parts: int) -> None:
        super().__init__(layers, parts)
        conv: Conv2D = layers[0]
        pool = next((layer for layer in layers if isinstance(layer, POOLS)), None)
        self.g, self.run_at = geometry(conv, pool, any(isinstance(layer, ReLU) for layer in layers))
        g = self.g
        size = 16 * g.C * g.pitch if g.TH else g.depth * g.pitch
        self.panels = [zeros(size) for _ in range(parts)]
        self.bias = zeros(g.pitch)
        self.work = [_Workspace(g) for _ in range(parts)]

    def connect_gradients(self, dx: np.ndarray | None, dy: np.ndarray) -> None:
        """Take the arrays for dx and dy, and make what only training needs."""
        super().connect_gradients(dx, dy)
        self.codes = zeros(self.capacity * self.g.PH * self.g.PW * self.g.pitch, np.uint8)
        g = self.g
        self.gradient = _way_back(g, dx is not None)(self)
        self.dW, self.db = zeros(g.depth * g.OC), zeros(g.pitch)
        self.own_gradients = {"W": self.dW.reshape(*self.layer.window[0], g.C, g.OC)}
        if self.layer.use_bias:
            self.own_gradients["b"] = self.db[: g.OC]

    def begin(self, N: int, training: bool) -> None:
        """Take the bias, and say where the gradients will be."""
        super().begin(N, training)
        if self.layer.use_bias:
            self.bias[: self.g.OC] = self.weights["b"]

    def pack(self, part: int, training: bool) -> None:
        """Lay out the filters in panels, or what Winograd's algorithm makes of them."""
        g, W, panels, w = self.g, self.weights["W"], self.panels[part], self.work[part]
        if g.TH:
            winograd.transform_weights(W, g.C * g.OC, g.C, g.OC, g.OC, 1, g.C, panels, w.taps)
        else:
            gemm.pack(W, 0, g.depth, g.OC, panels, g.depth * PANEL)
        if training and self.dx is not None:
            self.gradient.pack(W, part)

    def forward(self, training: bool) -> list[Stage]:
        """Return the stage that computes y, and in training the codes."""
        codes = self.codes if training else NO_CODES

        def run(part: int, first: int, last: int) -> None:
            w = self.work[part]
            conv.forward(
                self.g, self.x, first, last, self.run_at, self.panels[part], self.bias, self.y, codes,
                w.field, w.y, w.v, w.m, w.edge, gemm.ONE_RUN,
            )  # fmt: skip

        return [Stage(run)]

    def backward(self) -> list[Stage]:
        """Return the stage that computes dx, and what this part gives to dW and db."""
        return [Stage(self.gradient.run)]

    def gradients(self, part: int, parts: int, N: int) -> Iterator[Piece]:
        """Add up what the parts gave to dW and db."""
        if part == 0:
            used = min(self.parts, N)
            self.gradient.collect(used, self.dW)
            np.sum(self.gradient.db[:used], axis=0, out=self.db)
        yield from super().gradients(part, parts, N)


class _Workspace:
    """What one thread needs for one image: see ``engine/cpu/kernels/conv.py``."""

    def __init__(self, g: Geometry) -> None:
        tiles = g.band * g.TW
        self.field = zeros(g.FH * g.FW * g.C)
        self.y = zeros((2 * g.TH or (g.OH if g.overlap else g.pool_KH)) * g.YW * g.pitch)
        self.v = zeros(16 * tiles * g.C)
        self.m = zeros(16 * tiles * PANEL)
        self.taps = zeros(9 * LANES)
        self.edge = zeros(LANES)


def _way_back(g: Geometry, need_dx: bool) -> type:
    """Return what has the least to do in the backward pass."""
    cells = g.pool_KH * g.pool_KW
    if g.TH and (g.PH, g.PW) == (g.OH, g.OW) and cells == 1:
        return _WinogradGradient  # every output, or every open one, has a gradient
    if not need_dx and not g.overlap and cells * g.depth <= _SHORT:
        return _PlainGradient
    return _ListedGradient


class _PlainGradient:
    """dW alone, and as a dense product: to list the open results would cost more than it saves."""

    def __init__(self, block: ConvBlock) -> None:
        self.block, g, parts = block, block.g, block.parts
        self.dw = zeros(parts * g.depth * g.pitch).reshape(parts, -1)
        self.db = zeros(parts * g.pitch).reshape(parts, -1)
        self.dz = [zeros(g.OH * g.OW * PANEL) for _ in range(parts)]
        self.lines = np.arange(g.OH) * g.SH * g.FW * g.C

    def run(self, part: int, first: int, last: int) -> None:
        b = self.block
        self.dw[part] = self.db[part] = 0
        conv.weights_gradient(
            b.g, b.x, b.dy, b.codes, first, last, b.run_at, self.lines, self.dw[part], self.db[part],
            b.work[part].field, self.dz[part], b.work[part].edge,
        )  # fmt: skip

    def collect(self, used: int, dW: np.ndarray) -> None:
        g = self.block.g
        panels = self.dw[:used].reshape(used, -1, g.depth, PANEL).sum(axis=0)
        dW.reshape(g.depth, g.OC)[:] = panels.transpose(1, 0, 2).reshape(g.depth, g.pitch)[:, : g.OC]


class _ListedGradient:
    """The backward pass over the open results alone."""

    def __init__(self, block: ConvBlock) -> None:
        self.block, g, parts = block, block.g, block.parts
        self.row = g.row or g.depth
        self.place = places(g)
        size = 0 if block.dx is None else g.OC * self.row
        self.filters = [zeros(size) for _ in range(parts)]  # (OC, row): each filter's weights in one row
        self.dw = zeros(parts * g.OC * self.row).reshape(parts, -1)
        self.db = zeros(parts * g.pitch).reshape(parts, -1)
        rows, listed = g.OH * g.OW * g.row, g.PH * g.PW * g.OC + 1
        self.dfield = [zeros(g.FH * g.FW * g.C) for _ in range(parts)]
        self.cols = [zeros(rows) for _ in range(parts)]
        self.dcols = [zeros(0 if block.dx is None else rows) for _ in range(parts)]
        self.lists = [(zeros(listed, np.int32), zeros(listed), zeros(g.OC, np.uint64)) for _ in range(parts)]

    def pack(self, W: np.ndarray, part: int) -> None:
        sparse.pack(W, self.block.g.depth, self.block.g.OC, self.row, self.filters[part])

    def run(self, part: int, first: int, last: int) -> None:
        b = self.block
        self.dw[part] = self.db[part] = 0
        sparse.backward(
            b.g, b.x, b.dy, b.codes, first, last, b.run_at, self.place, self.filters[part],
            self.dw[part], self.db[part], _or_empty(b.dx), b.dx is not None, b.work[part].field,
            self.dfield[part], self.cols[part], self.dcols[part], *self.lists[part],
        )  # fmt: skip

    def collect(self, used: int, dW: np.ndarray) -> None:
        g = self.block.g
        np.sum(
            self.dw[:used].reshape(used, g.OC, -1)[:, :, : g.depth], axis=0, out=dW.reshape(g.depth, g.OC).T
        )


class _WinogradGradient:
    """The backward pass by Winograd's algorithm."""

    def __init__(self, block: ConvBlock) -> None:
        self.block, g, parts = block, block.g, block.parts
        panel = 16 * g.band * g.TW * PANEL
        size = 0 if block.dx is None else 16 * gemm.panels_size(g.pitch, g.C)
        self.u = [zeros(size) for _ in range(parts)]
        self.du = zeros(parts * 16 * g.C * g.pitch).reshape(parts, -1)
        self.db = zeros(parts * g.pitch).reshape(parts, -1)
        self.z = [zeros(panel * g.pitch // PANEL) for _ in range(parts)]
        self.z_runs = np.arange(0, g.pitch // PANEL * panel, panel)
        self.dfield = [zeros(g.FH * g.FW * g.C) for _ in range(parts)]

    def pack(self, W: np.ndarray, part: int) -> None:
        g, taps = self.block.g, self.block.work[part].taps
        winograd.transform_weights(W, g.C * g.OC, g.OC, 1, g.C, g.OC, g.pitch, self.u[part], taps)

    def run(self, part: int, first: int, last: int) -> None:
        b, w = self.block, self.block.work[part]
        self.du[part] = self.db[part] = 0
        winograd.backward(
            b.g, b.x, b.dy, b.codes, first, last, self.u[part], self.du[part], self.db[part], _or_empty(b.dx),
            b.dx is not None, w.field, w.y, self.dfield[part], w.v, self.z[part], w.m, w.edge,
            gemm.ONE_RUN, self.z_runs,
        )  # fmt: skip

    def collect(self, used: int, dW: np.ndarray) -> None:
        winograd.weights_gradient(self.du, used, self.block.g.C, self.block.g.OC, dW)


def _or_empty(array: np.ndarray | None) -> np.ndarray:
    return zeros(0) if array is None else array


def geometry(conv: Conv2D, pool: Layer | None, relu: bool) -> tuple[Geometry, np.ndarray]:
    """Return the sizes of a convolution with its pool, and where in the field a window's runs begin."""
    (H, W, C), (OH, OW, OC) = conv.input_shape, conv.output_shape
    (KH, KW), (SH, SW), (DH, DW), ((top, bottom), (left, right)) = conv.window
    FH, FW, YW = H + top + bottom, W + left + right, OW
    TH = TW = band = 0
    if (KH, KW, SH, SW, DH, DW) == (3, 3, 1, 1, 1, 1) and C % LANES == 0:
        TH, TW = -(-OH // 2), -(-OW // 2)
        FH, FW, YW = max(FH, 2 * TH + 2), max(FW, 2 * TW + 2), 2 * TW
        band = min(TH, max(1, _BAND // (16 * TW * C * 4)))
    columns = range(KW) if DW > 1 else range(1)  # with dilation, a run is a single pixel
    runs = np.array([(i * DH * FW + j * DW) * C for i in range(KH) for j in columns], np.int64)
    depth = KH * KW * C
    length = depth // len(runs)
    return Geometry(
        H=H, W=W, C=C, OH=OH, OW=OW, OC=OC, SH=SH, SW=SW, FH=FH, FW=FW, top=top, left=left,
        YW=YW, pitch=-(-OC // PANEL) * PANEL, length=length, depth=depth, TH=TH, TW=TW, band=band,
        row=0 if length % LANES == 0 else -(-depth // LANES) * LANES, relu=relu, **pooling(pool, OH, OW),
    ), runs  # fmt: skip


def pooling(pool: Layer | None, H: int, W: int) -> dict[str, int]:
    """Return the sizes of the pool behind an H × W image; none is a pool of 1 × 1."""
    if pool is None:
        (PH, PW), kernel, stride, padding = (H, W), (1, 1), (1, 1), ((0, 0), (0, 0))
    elif isinstance(pool, GlobalMaxPool2D):
        (PH, PW), kernel, stride, padding = (1, 1), (H, W), (H, W), ((0, 0), (0, 0))
    else:
        (PH, PW, _), (kernel, stride, padding) = pool.output_shape, pool.window
    (top, _), (left, _) = padding
    side_by_side = kernel == stride == (2, 2) and top == left == 0
    plain = side_by_side and 2 * PH <= H and 2 * PW <= W
    return {
        "PH": PH, "PW": PW, "pool_KH": kernel[0], "pool_KW": kernel[1], "pool_SH": stride[0],
        "pool_SW": stride[1], "pool_top": top, "pool_left": left,
        "plain_pool": plain, "overlap": not plain and pool is not None,
    }  # fmt: skip


def places(g: Geometry) -> np.ndarray:
    """Return where the window of each cell of each pooling window begins; a last column is for "closed"."""
    ph, pw, i, j = np.ix_(range(g.PH), range(g.PW), range(g.pool_KH), range(g.pool_KW))
    h = ph * g.pool_SH + i - g.pool_top
    w = pw * g.pool_SW + j - g.pool_left
    at = (h * g.OW + w) * g.row if g.row else (h * g.SH * g.FW + w * g.SW) * g.C
    return np.pad(at.reshape(g.PH * g.PW, -1), ((0, 0), (0, 1))).astype(np.int32).reshape(-1)
