"""A dense layer and its ReLU over preallocated arrays: ``product`` does the work.

y = max(x @ W + b, 0)        dz = dy where y > 0        dW = xᵀ @ dz        dx = dz @ Wᵀ
"""

import numpy as np

from minicnn.engine.cpu.kernels.gemm import PANEL, multiply, multiply_panel, pack, panel_width
from minicnn.engine.cpu.kernels.simd import LANES, load_rows, store_rows, transpose
from minicnn.runtime.compiled import compiled, inlined

DEPTH = 128
"""Rows of W at a time: one panel of them stays in the L1 cache while the rows of x go by."""

STRIPE = 48
"""Rows of dW at a time: their columns of x share cache lines."""


@compiled
def forward(x, W, bias, relu, y, first, last, D, units, run, panels, z):
    """Compute rows ``first`` to ``last`` of y (N, units) from x (N, D) and W (D, units).

    Every thread lays out W in ``panels`` for itself, a piece at a time, while the piece is in the cache
    anyway. z takes x @ W with its rows filled up to whole panels.
    """
    rows, pitch = last - first, -(-units // PANEL) * PANEL
    for d in range(0, D, DEPTH):
        depth = min(DEPTH, D - d)
        pack(W, d * units, depth, units, panels, DEPTH * PANEL)
        for j in range(0, pitch, PANEL):
            width = panel_width(units, j)
            multiply_panel(
                x, first * D + d, D, 1, run, depth, panels, j * DEPTH, width, z, j, pitch, rows, d > 0
            )
    for n in range(rows):
        for j in range(units):
            value = z[n * pitch + j] + bias[j]
            y[(first + n) * units + j] = np.float32(0) if relu and value <= 0 else value  # NaN stays


@inlined
def _store_transposed(tail, column, rows, count, dx, to, D):
    """Write ``count`` columns of tail (rows, PANEL) to dx, as rows that are D numbers apart."""
    whole = rows // LANES * LANES if count == LANES else 0
    for k in range(0, whole, LANES):
        block = load_rows(tail, k * PANEL + column, PANEL, LANES, 1)
        store_rows(dx, to + k, D, transpose(block), 1)
    for i in range(count):
        for k in range(whole, rows):
            dx[to + i * D + k] = tail[k * PANEL + column + i]


@compiled
def backward(y, dy, relu, dz, dz_panels, N, first, last, D, units, need_dx, W, columns, dx, run, tail):
    """Compute rows ``first`` to ``last`` of dz, as rows and in panels, and of dx.

    dx is computed as its transpose, dxᵀ = W @ dzᵀ, for which W is read as it lies; ``columns``
    takes the panels of this part's dzᵀ.
    """
    for n in range(first, last):
        for j in range(units):
            at = n * units + j
            value = np.float32(0) if relu and not y[at] > 0 else dy[at]
            dz[at] = value
            left, i = j // PANEL * PANEL, (n - first) // PANEL * PANEL
            dz_panels[left * N + n * panel_width(units, left) + j - left] = value
            columns[i * units + j * panel_width(last - first, i) + n - first - i] = value
    if not need_dx:
        return
    for d in range(0, D, STRIPE):
        rows = min(STRIPE, D - d)
        for n in range(first, last, PANEL):
            panel, width = (n - first) * units, panel_width(last - first, n - first)
            multiply_panel(
                W, d * units, units, 1, run, units, columns, panel, width, tail, 0, PANEL, rows, False
            )
            for i in range(0, min(PANEL, last - n), LANES):
                _store_transposed(tail, i, rows, min(LANES, last - n - i), dx, (n + i) * D + d, D)


@compiled
def gradient(x, dz_panels, N, D, units, dW, first, last, run, tail):
    """Compute rows ``first`` to ``last`` of dW = xᵀ @ dz over the whole batch."""
    for d in range(first, last, STRIPE):
        rows = min(STRIPE, last - d)
        multiply(x, d, 1, D, run, N, dz_panels, units, dW, d * units, rows, tail)
