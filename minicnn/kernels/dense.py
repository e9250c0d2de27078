"""A dense layer and its ReLU over preallocated arrays: ``product`` does the work.

y = max(x @ W + b, 0)        dz = dy where y > 0        dW = xᵀ @ dz        dx = dz @ Wᵀ
"""

import numpy as np

from minicnn.kernels.compiled import compiled
from minicnn.kernels.product import PANEL, multiply

STRIPE = 48
"""Rows of dW at a time: their columns of x share cache lines."""


@compiled
def pack(W, D, units, panels, transposed, first, last):
    """Lay out rows ``first`` to ``last`` of W (D, units) in panels, and unless that is empty Wᵀ as well.

    ``first`` is a multiple of PANEL, ``last`` too or D.
    """
    for top in range(first, last, PANEL):
        rows = min(PANEL, last - top)  # few enough to stay in the L1 cache while they are read twice
        for j in range(0, units, PANEL):
            width = min(PANEL, units - j)
            for d in range(top, top + rows):
                to = j * D + d * PANEL
                for k in range(width):
                    panels[to + k] = W[d * units + j + k]
        if len(transposed) > 0:
            for k in range(units):
                to = top * units + k * PANEL
                for d in range(rows):
                    transposed[to + d] = W[(top + d) * units + k]


@compiled
def forward(x, panels, bias, relu, y, first, last, D, units, run, tail):
    """Compute rows ``first`` to ``last`` of y (N, units) from x (N, D) and the panels of W (D, units)."""
    multiply(x, first * D, D, 1, run, D, panels, units, y, first * units, last - first, tail)
    for n in range(first, last):
        for j in range(units):
            z = y[n * units + j] + bias[j]
            y[n * units + j] = np.float32(0) if relu and z <= 0 else z  # NaN ≤ 0 is false: NaN stays


@compiled
def backward(y, dy, relu, dz, dz_panels, N, first, last, D, units, need_dx, panels, dx, run, tail):
    """Compute rows ``first`` to ``last`` of dz, as rows and in panels, and of dx from the panels of Wᵀ."""
    for n in range(first, last):
        for j in range(units):
            at = n * units + j
            value = np.float32(0) if relu and not y[at] > 0 else dy[at]
            dz[at] = value
            dz_panels[(j // PANEL * N + n) * PANEL + j % PANEL] = value
    if need_dx:
        multiply(dz, first * units, units, 1, run, units, panels, D, dx, first * D, last - first, tail)


@compiled
def gradients(x, dz, dz_panels, N, D, units, dW, db, first, last, with_db, run, tail):
    """Compute rows ``first`` to ``last`` of dW = xᵀ @ dz over the whole batch, and if told so db."""
    for d in range(first, last, STRIPE):
        rows = min(STRIPE, last - d)
        multiply(x, d, 1, D, run, N, dz_panels, units, dW, d * units, rows, tail)
    if with_db:
        for j in range(units):
            db[j] = 0
        for n in range(N):
            for j in range(units):
                db[j] += dz[n * units + j]
