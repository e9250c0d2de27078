"""Batch normalization of rows of C channels, with the ReLU and the max-pool behind it.

The mean and the variance of a channel are over the whole batch, so each part of it is summed up on
its own, about its own mean, and the parts are then put together: Chan, Golub & LeVeque 1983,
"Algorithms for Computing the Sample Variance", equation 2.1.
"""

import numpy as np

from minicnn.engine.cpu.kernels.epilogue import activate
from minicnn.engine.cpu.kernels.simd import LANES, load, splat, store
from minicnn.engine.cpu.kernels.unpool import unpool
from minicnn.runtime.compiled import compiled, inlined

_ROWS = 256  # at a time: they stay in the L2 cache while one register of channels after another is done


@compiled
def moments(x, first, last, C, mean, squares):
    """Compute the mean of rows ``first`` to ``last`` and the sum of squares about it, both (C,) float64.

    In one pass, as Σ x² − M·mean²: the square of a float32 number is exact in float64.
    """
    mean[:] = 0
    squares[:] = 0
    for i in range(first, last):
        # Rows as slices: an index that may be negative is checked each time, and nothing vectorized.
        row = x[i * C : (i + 1) * C]
        for c in range(C):
            value = np.float64(row[c])
            mean[c] += value
            squares[c] += value * value
    for c in range(C):
        mean[c] /= last - first
        squares[c] = max(squares[c] - (last - first) * mean[c] * mean[c], 0.0)


@compiled
def forward(g, x, first, last, mean, inv_std, gamma, beta, out, codes, y, bias, edge):
    """Compute images ``first`` to ``last`` of out: γ·(x − mean)·inv_std + β, ReLU and max-pool."""
    pixels = g.OH * g.OW
    whole = g.OC // LANES * LANES
    for n in range(first, last):
        image = n * pixels * g.OC
        for c in range(0, whole, LANES):
            m, s, a, b = load(mean, c, 1), load(inv_std, c, 1), load(gamma, c, 1), load(beta, c, 1)
            for p in range(pixels):
                x_hat = (load(x, image + p * g.OC + c, 1) - m) * s
                store(y, p * g.pitch + c, a * x_hat + b)
        for c in range(whole, g.OC):
            for p in range(pixels):
                x_hat = (x[image + p * g.OC + c] - mean[c]) * inv_std[c]
                y[p * g.pitch + c] = gamma[c] * x_hat + beta[c]
        activate(g, y, 0, bias, out, n, 0, g.PH, codes, edge)


@inlined
def _unpool_image(g, dy, codes, n, place, image):
    """Compute dz of image n one result at a time: any pool, any number of channels."""
    cells = g.pool_KH * g.pool_KW
    for q in range(g.PH * g.PW):
        at = n * g.PH * g.PW + q
        row, code = dy[at * g.OC : (at + 1) * g.OC], codes[at * g.pitch : at * g.pitch + g.OC]
        there = place[q * (cells + 1) : (q + 1) * (cells + 1)]
        for c in range(g.OC):
            if code[c] < cells:
                image[there[code[c]] + c] += row[c]


@inlined
def _add_sums(g, x, n, mean, inv_std, image, dgamma, dbeta):
    """Add what one image gives, pixel by pixel."""
    pixels = g.OH * g.OW
    for p in range(pixels):
        row = x[(n * pixels + p) * g.OC : (n * pixels + p + 1) * g.OC]
        slope = image[p * g.OC : (p + 1) * g.OC]
        for c in range(g.OC):
            dbeta[c] += slope[c]
            dgamma[c] += slope[c] * ((row[c] - mean[c]) * inv_std[c])


@inlined
def _unpool_and_add_sums(g, x, dy, codes, n, mean, inv_std, image, dgamma, dbeta, edge):
    """Do both for LANES channels at a time; an image is summed up in float32, the images in float64."""
    pixels = g.OH * g.OW
    for c in range(0, g.OC, LANES):
        sums = unpool(g, dy, codes, n, c, image, c, g.OW * g.OC, g.OC, edge)
        m, s, products = load(mean, c, 1), load(inv_std, c, 1), splat(0.0, 1)
        for p in range(pixels):
            at = p * g.OC + c
            x_hat = (load(x, n * pixels * g.OC + at, 1) - m) * s
            products = products + load(image, at, 1) * x_hat
        store(edge, 0, sums)
        for k in range(LANES):
            dbeta[c + k] += edge[k]
        store(edge, 0, products)
        for k in range(LANES):
            dgamma[c + k] += edge[k]


@compiled
def backward_sums(g, x, dy, codes, first, last, mean, inv_std, place, dz, dgamma, dbeta, edge):
    """Compute dz, dy before pool and ReLU, and add to dγ = Σ dz·x̂ and dβ = Σ dz (float64)."""
    size = g.OH * g.OW * g.OC
    for n in range(first, last):
        image = dz[n * size : (n + 1) * size]
        image[:] = 0
        if g.OC % LANES == 0 and not g.overlap:
            _unpool_and_add_sums(g, x, dy, codes, n, mean, inv_std, image, dgamma, dbeta, edge)
        else:
            _unpool_image(g, dy, codes, n, place, image)
            _add_sums(g, x, n, mean, inv_std, image, dgamma, dbeta)


@compiled
def backward(x, dz, first, last, C, mean, inv_std, scale, shift, tilt, dx):
    """Compute rows ``first`` to ``last`` of dx = γ·inv_std·(dz − dβ / M − x̂·dγ / M).

    ``scale`` is γ·inv_std, ``shift`` dβ / M and ``tilt`` dγ / M, M the number of all rows.
    """
    whole = C // LANES * LANES
    for top in range(first, last, _ROWS):
        rows = range(top, min(top + _ROWS, last))
        for c in range(0, whole, LANES):
            m, s, a = load(mean, c, 1), load(inv_std, c, 1), load(scale, c, 1)
            b, t = load(shift, c, 1), load(tilt, c, 1)
            for i in rows:
                x_hat = (load(x, i * C + c, 1) - m) * s
                store(dx, i * C + c, a * (load(dz, i * C + c, 1) - b - x_hat * t))
        for c in range(whole, C):
            for i in rows:
                x_hat = (x[i * C + c] - mean[c]) * inv_std[c]
                dx[i * C + c] = scale[c] * (dz[i * C + c] - shift[c] - x_hat * tilt[c])
