"""A dense layer and its ReLU over preallocated arrays: ``product`` does the work.

y = max(x @ W + b, 0)        dz = dy where y > 0        dW = xᵀ @ dz        dx = dz @ Wᵀ
"""

import numpy as np

from minicnn.kernels.compiled import compiled
from minicnn.kernels.product import PANEL, multiply, multiply_panel

STRIPE = 48
"""Rows of dW at a time: their columns of x share cache lines."""


@compiled
def pack(W, D, units, panels, first, last):
    """Lay out rows ``first`` to ``last`` of W (D, units) in panels."""
    for top in range(first, last, STRIPE):
        for j in range(0, units, PANEL):
            for d in range(top, min(top + STRIPE, last)):
                to = j * D + d * PANEL
                for k in range(min(PANEL, units - j)):
                    panels[to + k] = W[d * units + j + k]


@compiled
def forward(x, panels, bias, relu, y, first, last, D, units, run, tail):
    """Compute rows ``first`` to ``last`` of y (N, units) from x (N, D) and the panels of W (D, units)."""
    multiply(x, first * D, D, 1, run, D, panels, units, y, first * units, last - first, tail)
    for n in range(first, last):
        for j in range(units):
            z = y[n * units + j] + bias[j]
            y[n * units + j] = np.float32(0) if relu and z <= 0 else z  # NaN ≤ 0 is false: NaN stays


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
            dz_panels[(j // PANEL * N + n) * PANEL + j % PANEL] = value
            i = n - first
            columns[(i // PANEL * units + j) * PANEL + i % PANEL] = value
    if not need_dx:
        return
    for d in range(0, D, STRIPE):
        rows = min(STRIPE, D - d)
        for n in range(first, last, PANEL):
            panel = (n - first) * units
            multiply_panel(W, d * units, units, 1, run, units, columns, panel, tail, 0, PANEL, rows, False)
            for i in range(min(PANEL, last - n)):
                to = (n + i) * D + d
                for k in range(rows):
                    dx[to + k] = tail[k * PANEL + i]


@compiled
def gradient(x, dz_panels, N, D, units, dW, first, last, run, tail):
    """Compute rows ``first`` to ``last`` of dW = xᵀ @ dz over the whole batch."""
    for d in range(first, last, STRIPE):
        rows = min(STRIPE, last - d)
        multiply(x, d, 1, D, run, N, dz_panels, units, dW, d * units, rows, tail)
