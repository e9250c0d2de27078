"""The sizes that kernels need, computed from layers."""

import numpy as np

from minicnn.engine.cpu.kernels.gemm import PANEL
from minicnn.engine.cpu.kernels.geometry import Geometry
from minicnn.engine.cpu.kernels.simd import LANES
from minicnn.layers import BatchNorm, Conv2D, Layer, MaxPool2D, ReLU

# Bytes of one band of transformed Winograd tiles: part of the L2 cache.
_BAND = 128 * 1024
_NO_PADDING = (0, 0), (0, 0)


def conv_geometry(layers: list[Layer]) -> Geometry:
    """Return the sizes of a convolution with its ReLU and pool."""
    conv: Conv2D = layers[0]
    (H, W, C), (OH, OW, OC) = conv.input_shape, conv.output_shape
    (KH, KW), (SH, SW), (DH, DW), ((top, bottom), (left, right)) = conv.window
    FH, FW, YW = H + top + bottom, W + left + right, OW
    TH = TW = band = 0
    if (KH, KW, SH, SW, DH, DW) == (3, 3, 1, 1, 1, 1) and C % LANES == 0:
        TH, TW = -(-OH // 2), -(-OW // 2)
        FH, FW, YW = max(FH, 2 * TH + 2), max(FW, 2 * TW + 2), 2 * TW
        band = min(TH, max(1, _BAND // (16 * TW * C * 4)))
    length, depth = (KW if DW == 1 else 1) * C, KH * KW * C  # with dilation, a run is a single pixel
    return Geometry(
        H=H, W=W, C=C, OH=OH, OW=OW, OC=OC, SH=SH, SW=SW, FH=FH, FW=FW, top=top, left=left,
        YW=YW, pitch=-(-OC // PANEL) * PANEL, length=length, depth=depth, TH=TH, TW=TW, band=band,
        **_followers(layers, OH, OW),
    )  # fmt: skip


def norm_geometry(layers: list[Layer]) -> Geometry:
    """Return the sizes of a normalization, as those of a 1 × 1 convolution, with its ReLU and pool."""
    norm: BatchNorm = layers[0]
    *pixels, C = norm.input_shape
    H, W = pixels if len(pixels) == 2 else (1, int(np.prod(pixels)))
    return Geometry(
        H=H, W=W, C=C, OH=H, OW=W, OC=C, SH=1, SW=1, FH=H, FW=W, top=0, left=0, YW=W,
        pitch=-(-C // PANEL) * PANEL, length=C, depth=C, TH=0, TW=0, band=0,
        **_followers(layers, H, W),
    )  # fmt: skip


def _followers(layers: list[Layer], H: int, W: int) -> dict[str, int]:
    """Return the sizes of the ReLU and pool after an H × W image; no pool is a 1 × 1 pool."""
    pool = next((layer for layer in layers if isinstance(layer, MaxPool2D)), None)
    kernel, stride, ((top, bottom), (left, right)) = pool.window if pool else ((1, 1), (1, 1), _NO_PADDING)
    PH = (H + top + bottom - kernel[0]) // stride[0] + 1
    PW = (W + left + right - kernel[1]) // stride[1] + 1
    pool_2x2 = kernel == stride == (2, 2) and top == left == 0 and 2 * PH <= H and 2 * PW <= W
    return {
        "PH": PH, "PW": PW, "pool_KH": kernel[0], "pool_KW": kernel[1], "pool_SH": stride[0],
        "pool_SW": stride[1], "pool_top": top, "pool_left": left, "pool_2x2": pool_2x2,
        "overlap": pool is not None and not pool_2x2,
        "relu": any(isinstance(layer, ReLU) for layer in layers),
    }  # fmt: skip


def run_starts(g: Geometry, conv: Conv2D) -> np.ndarray:
    """Return where the runs of a window begin in the padded image."""
    (KH, KW), _, (DH, DW), _ = conv.window
    columns = range(KW) if g.length == g.C else range(1)
    return np.array([(i * DH * g.FW + j * DW) * g.C for i in range(KH) for j in columns], np.int64)


def window_starts(g: Geometry) -> np.ndarray:
    """Return the start of the window of each cell of each pooling window; the last column is for "closed"."""
    ph, pw, i, j = np.ix_(range(g.PH), range(g.PW), range(g.pool_KH), range(g.pool_KW))
    h = ph * g.pool_SH + i - g.pool_top
    w = pw * g.pool_SW + j - g.pool_left
    at = (h * g.SH * g.FW + w * g.SW) * g.C
    return np.pad(at.reshape(g.PH * g.PW, -1), ((0, 0), (0, 1))).astype(np.int32).reshape(-1)
