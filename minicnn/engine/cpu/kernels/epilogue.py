"""Bias, ReLU and max-pool after a convolution or normalization z, in one pass, and their gradient.

    y = max over the window of max(z + bias, 0)

For each result one byte, its *switch*, records where the gradient goes: the number of the window's cell
that was the maximum, or the number of cells if the ReLU was closed.
"""

import numpy as np

from minicnn.engine.cpu.kernels.simd import LANES, load, load_bytes, splat, store, store_bytes, where
from minicnn.runtime.compiled import inlined


@inlined
def _better(value, cell, best, switch):
    """Update (best, switch) with another cell of the window; the first maximum wins, or the first NaN."""
    stays = (value <= best) | (best != best)  # NaN is not ≤ anything, and ≠ itself
    return where(stays, best, value), where(stays, switch, splat(cell, 1))


@inlined
def _window_maximum(g, z, top, b, c, h0, w0):
    """Return the maximum of z + b in the pooling window at (h0, w0), and its cell."""
    # Only the cells inside the image.
    i0, i1 = max(0, -h0), min(g.pool_KH, g.OH - h0)
    j0, j1 = max(0, -w0), min(g.pool_KW, g.OW - w0)
    best, switch = splat(-np.inf, 1), splat(i0 * g.pool_KW + j0, 1)
    for i in range(i0, i1):
        for j in range(j0, j1):
            value = load(z, ((h0 + i - top) * g.YW + w0 + j) * g.pitch + c, 1) + b
            best, switch = _better(value, i * g.pool_KW + j, best, switch)
    return best, switch


@inlined
def _maximum(a, b):
    """Return the greater of a and b; NaN is greater than all."""
    return where(a != a, a, where(a > b, a, b))  # no number is > NaN: b if that is NaN


@inlined
def epilogue(g, z, top, bias, y, n, first, last, switches, edge):
    """Compute lines ``first`` to ``last`` of image n of y (PH, PW, OC), and of its switches.

    z (…, YW, pitch) has the lines of the convolution from ``top`` on. In a prediction ``switches`` is empty.
    ``edge`` is a buffer for one register.

    The order of ReLU and max-pool does not matter: the result is max(0, the window's maximum), and the
    gradient goes to the window's first maximum if that is positive.
    """
    zero, closed = splat(0.0, 1), splat(g.pool_KH * g.pool_KW, 1)
    step, line, training = g.pitch, g.YW * g.pitch, len(switches) > 0
    for ph in range(first, last):
        for pw in range(g.PW):
            h0, w0 = ph * g.pool_SH - g.pool_top, pw * g.pool_SW - g.pool_left
            at, q = (h0 - top) * line + w0 * step, (n * g.PH + ph) * g.PW + pw
            for c in range(0, g.OC, LANES):
                b = load(bias, c, 1)
                if g.pool_2x2 and not training:
                    upper = _maximum(load(z, at + c, 1) + b, load(z, at + step + c, 1) + b)
                    lower = _maximum(load(z, at + line + c, 1) + b, load(z, at + line + step + c, 1) + b)
                    best, switch = _maximum(upper, lower), zero
                elif g.pool_2x2:
                    best, switch = load(z, at + c, 1) + b, zero
                    best, switch = _better(load(z, at + step + c, 1) + b, 1, best, switch)
                    best, switch = _better(load(z, at + line + c, 1) + b, 2, best, switch)
                    best, switch = _better(load(z, at + line + step + c, 1) + b, 3, best, switch)
                elif g.pool_KH * g.pool_KW == 1:
                    best, switch = load(z, at + c, 1) + b, zero
                else:
                    best, switch = _window_maximum(g, z, top, b, c, h0, w0)
                if g.relu:
                    switch = where(best > zero, switch, closed)
                    best = where(best <= zero, zero, best)  # NaN ≤ 0 is false: NaN stays
                if training:
                    store_bytes(switches, q * g.pitch + c, switch)
                if c + LANES <= g.OC:
                    store(y, q * g.OC + c, best)
                else:
                    store(edge, 0, best)
                    for k in range(g.OC - c):
                        y[q * g.OC + c + k] = edge[k]


@inlined
def unpool(g, dy, switches, n, c, dz, at, line, step, edge):
    """Write each dy of image n to its pixel of dz, for LANES filters from c on; return their sum.

    Pixel (h, w) is dz[at + h·line + w·step : + LANES]. Only for a 2 × 2 pool without overlap, or none.
    Pixels that no window covers are not written; filters beyond OC get zeros.
    """
    zero, total, missing = splat(0.0, 1), splat(0.0, 1), c + LANES > g.OC
    store(edge, 0, zero)
    for ph in range(g.PH):
        for pw in range(g.PW):
            q = (n * g.PH + ph) * g.PW + pw
            if missing:
                for k in range(g.OC - c):
                    edge[k] = dy[q * g.OC + c + k]
                d = load(edge, 0, 1)
            else:
                d = load(dy, q * g.OC + c, 1)
            switch = load_bytes(switches, q * g.pitch + c, 1)
            if g.pool_2x2:
                to = at + 2 * ph * line + 2 * pw * step
                d0, d1 = where(switch == zero, d, zero), where(switch == splat(1.0, 1), d, zero)
                d2, d3 = where(switch == splat(2.0, 1), d, zero), where(switch == splat(3.0, 1), d, zero)
                store(dz, to, d0)
                store(dz, to + step, d1)
                store(dz, to + line, d2)
                store(dz, to + line + step, d3)
                total = total + ((d0 + d1) + (d2 + d3))
            else:
                d = where(switch == zero, d, zero)
                store(dz, at + ph * line + pw * step, d)
                total = total + d
    return total
