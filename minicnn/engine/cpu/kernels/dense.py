"""Dense with ReLU, as products of panels (``gemm.py``).

y = max(x @ W + b, 0)        dz = dy where y > 0        dW = xᵀ @ dz        dx = dz @ Wᵀ
"""

from typing import NamedTuple

import numpy as np

from minicnn.engine.cpu.kernels.gemm import ONE_RUN, PANEL, multiply_panel, pack, panel_width
from minicnn.engine.cpu.kernels.simd import LANES, load_rows, store_rows, transpose
from minicnn.runtime.compiled import compiled, inlined

DEPTH = 128
"""Rows of W at a time: one panel of them stays in the L1 cache for all rows of x."""

STRIPE = 48
"""Rows of dW at a time: their columns of x share cache lines."""


class Sizes(NamedTuple):
    """The sizes of a dense layer: x (N, D), y (N, units)."""

    N: int
    D: int
    units: int
    relu: bool


class Workspace(NamedTuple):
    """The buffers of one thread; all threads share bias, dz and dz_panels."""

    bias: np.ndarray
    panels: np.ndarray  # of DEPTH rows of W
    z: np.ndarray  # x @ W of this thread's rows, in whole panels
    dz: np.ndarray  # (N, units)
    dz_panels: np.ndarray  # the same, packed
    dz_columns: np.ndarray  # this thread's rows of dz, transposed and packed
    tail: np.ndarray  # (STRIPE, PANEL)


@compiled
def forward(sizes, workspace, W, x, y, first, last):
    """Compute rows ``first`` to ``last`` of y (N, units) from x (N, D) and W (D, units).

    Each thread packs W piece by piece: the piece is then in its cache.
    """
    _, D, units, relu = sizes
    panels, z, bias = workspace.panels, workspace.z, workspace.bias
    rows, pitch = last - first, -(-units // PANEL) * PANEL
    for d in range(0, D, DEPTH):
        depth = min(DEPTH, D - d)
        pack(W, d * units, depth, units, panels, DEPTH * PANEL)
        for j in range(0, pitch, PANEL):
            panel, width = j * DEPTH, panel_width(units, j)
            multiply_panel(
                x, first * D + d, D, 1, ONE_RUN, depth, panels, panel, width, z, j, pitch, rows, d > 0
            )
    for n in range(rows):
        for j in range(units):
            value = z[n * pitch + j] + bias[j]
            y[(first + n) * units + j] = np.float32(0) if relu and value <= 0 else value  # NaN stays


@inlined
def _store_transposed(tail, column, rows, count, dx, to, D):
    """Write ``count`` columns of tail (rows, PANEL) to dx, as rows with stride D."""
    whole = rows // LANES * LANES if count == LANES else 0
    for k in range(0, whole, LANES):
        block = load_rows(tail, k * PANEL + column, PANEL, LANES, 1)
        store_rows(dx, to + k, D, transpose(block), 1)
    for i in range(count):
        for k in range(whole, rows):
            dx[to + i * D + k] = tail[k * PANEL + column + i]


@compiled
def backward(sizes, workspace, W, y, dy, dx, first, last):
    """Compute rows ``first`` to ``last`` of dz, as rows and in panels, and of dx unless it is empty.

    dx is computed as dxᵀ = W @ dzᵀ, which needs no packed W.
    """
    N, D, units, relu = sizes
    dz, dz_panels, columns = workspace.dz, workspace.dz_panels, workspace.dz_columns
    for n in range(first, last):
        for j in range(units):
            at = n * units + j
            value = np.float32(0) if relu and not y[at] > 0 else dy[at]
            dz[at] = value
            left, i = j // PANEL * PANEL, (n - first) // PANEL * PANEL
            dz_panels[left * N + n * panel_width(units, left) + j - left] = value
            columns[i * units + j * panel_width(last - first, i) + n - first - i] = value
    if len(dx) == 0:
        return
    tail = workspace.tail
    for d in range(0, D, STRIPE):
        rows = min(STRIPE, D - d)
        for n in range(first, last, PANEL):
            panel, width = (n - first) * units, panel_width(last - first, n - first)
            multiply_panel(
                W, d * units, units, 1, ONE_RUN, units, columns, panel, width, tail, 0, PANEL, rows, False
            )
            for i in range(0, min(PANEL, last - n), LANES):
                _store_transposed(tail, i, rows, min(LANES, last - n - i), dx, (n + i) * D + d, D)


@compiled
def gradient(sizes, x, dz_panels, tail, dW, first, last):
    """Compute rows ``first`` to ``last`` of dW = xᵀ @ dz over the whole batch."""
    N, D, units, _ = sizes
    for d in range(first, last, STRIPE):
        rows = min(STRIPE, last - d)
        for j in range(0, units, PANEL):
            whole, width = j + PANEL <= units, panel_width(units, j)
            to, at, step = (dW, d * units + j, units) if whole else (tail, 0, PANEL)
            multiply_panel(x, d, 1, D, ONE_RUN, N, dz_panels, j * N, width, to, at, step, rows, False)
            if not whole:
                at, count = d * units + j, units - j
                for i in range(rows):
                    for k in range(count):
                        dW[at + i * units + k] = tail[i * PANEL + k]
