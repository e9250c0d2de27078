"""What stands behind a convolution or a normalization: bias, ReLU and max-pooling, in one pass.

    out = max over the window of max(y + bias, 0)

For each result one byte, its *code*, says where the gradient goes: the number of the cell in the
window that was the maximum, or the number of cells if the ReLU was closed and it goes nowhere.
"""

import numpy as np

from minicnn.engine.cpu.kernels.simd import LANES, load, splat, store, store_bytes, where
from minicnn.runtime.compiled import inlined


@inlined
def _better(value, index, best, code):
    """Return (best, code) after another cell of the window; the first maximum stays, and the first NaN."""
    stays = (value <= best) | (best != best)  # a value that is NaN is not ≤ anything, and ≠ itself
    return where(stays, best, value), where(stays, code, splat(index, 1))


@inlined
def _window_maximum(g, y, top, b, c, h0, w0):
    """Return the maximum of y + b in the pooling window at (h0, w0), and the number of its cell."""
    # The cells that are inside the image.
    i0, i1 = max(0, -h0), min(g.pool_KH, g.OH - h0)
    j0, j1 = max(0, -w0), min(g.pool_KW, g.OW - w0)
    best, code = splat(-np.inf, 1), splat(i0 * g.pool_KW + j0, 1)
    for i in range(i0, i1):
        for j in range(j0, j1):
            value = load(y, ((h0 + i - top) * g.YW + w0 + j) * g.pitch + c, 1) + b
            best, code = _better(value, i * g.pool_KW + j, best, code)
    return best, code


@inlined
def _maximum(a, b):
    """Return the greater of a and b; NaN is greater than all."""
    return where(a != a, a, where(a > b, a, b))  # no number is > NaN: b if that is NaN


@inlined
def activate(g, y, top, bias, out, n, first, last, codes, edge):
    """Compute lines ``first`` to ``last`` of image n of ``out`` (PH, PW, OC), and of its ``codes``.

    y (…, YW, pitch) holds the lines of the convolution that they need, from line ``top`` on. A
    prediction needs no codes: then they are an empty array.

    ReLU and max-pool may come in either order: both give max(0, the window's maximum), and a
    gradient to the window's first maximum if that is positive.
    """
    zero, closed = splat(0.0, 1), splat(g.pool_KH * g.pool_KW, 1)
    step, line, training = g.pitch, g.YW * g.pitch, len(codes) > 0
    for ph in range(first, last):
        for pw in range(g.PW):
            h0, w0 = ph * g.pool_SH - g.pool_top, pw * g.pool_SW - g.pool_left
            at, q = (h0 - top) * line + w0 * step, (n * g.PH + ph) * g.PW + pw
            for c in range(0, g.OC, LANES):
                b = load(bias, c, 1)
                if g.plain_pool and not training:
                    upper = _maximum(load(y, at + c, 1) + b, load(y, at + step + c, 1) + b)
                    lower = _maximum(load(y, at + line + c, 1) + b, load(y, at + line + step + c, 1) + b)
                    best, code = _maximum(upper, lower), zero
                elif g.plain_pool:
                    best, code = load(y, at + c, 1) + b, zero
                    best, code = _better(load(y, at + step + c, 1) + b, 1, best, code)
                    best, code = _better(load(y, at + line + c, 1) + b, 2, best, code)
                    best, code = _better(load(y, at + line + step + c, 1) + b, 3, best, code)
                elif g.pool_KH * g.pool_KW == 1:
                    best, code = load(y, at + c, 1) + b, zero
                else:
                    best, code = _window_maximum(g, y, top, b, c, h0, w0)
                if g.relu:
                    code = where(best > zero, code, closed)
                    best = where(best <= zero, zero, best)  # NaN ≤ 0 is false: NaN stays
                if training:
                    store_bytes(codes, q * g.pitch + c, code)
                if c + LANES <= g.OC:
                    store(out, q * g.OC + c, best)
                else:
                    store(edge, 0, best)
                    for k in range(g.OC - c):
                        out[q * g.OC + c + k] = edge[k]
