"""Batch normalization of rows of C channels, with ReLU and max-pool.

Each thread computes the mean and the sum of squares of its part of the batch; these are then combined.
Source: Chan, Golub & LeVeque 1983, "Algorithms for Computing the Sample Variance", equation 2.1.
"""

from typing import NamedTuple

import numpy as np

from minicnn.engine.cpu.kernels.epilogue import epilogue, unpool
from minicnn.engine.cpu.kernels.simd import LANES, load, splat, store
from minicnn.runtime.compiled import compiled, inlined

_ROWS = 256  # at a time: they stay in the L2 cache for all channels


class Channels(NamedTuple):
    """The statistics and parameters of each channel; M is the number of rows of the batch."""

    mean: np.ndarray
    inv_std: np.ndarray
    gamma: np.ndarray
    beta: np.ndarray
    mean_dz: np.ndarray  # dβ / M
    mean_dz_x_hat: np.ndarray  # dγ / M


class Workspace(NamedTuple):
    """The buffers of one thread; all threads share bias, switches and windows."""

    bias: np.ndarray  # zeros
    switches: np.ndarray  # (N, PH, PW, pitch); empty in a prediction
    windows: np.ndarray  # the pixel of each cell of a pooling window, by its switch
    z: np.ndarray  # (OH, OW, pitch)
    sums: np.ndarray  # float64, of this thread's images: mean and squares; backward: dγ and dβ
    edge: np.ndarray  # (LANES,)


@compiled
def moments(g, workspace, x, first, last):
    """Compute the mean of the rows of images ``first`` to ``last``, and the sum of squares about it.

    One pass, as Σ x² − M·mean²: the square of a float32 number is exact in float64.
    """
    mean, squares = workspace.sums[0], workspace.sums[1]
    mean[:] = squares[:] = 0
    rows = (last - first) * g.OH * g.OW
    for i in range(rows):
        # Slices, as Numba's check for negative indices prevents vectorization.
        at = (first * g.OH * g.OW + i) * g.OC
        row = x[at : at + g.OC]
        for c in range(g.OC):
            value = np.float64(row[c])
            mean[c] += value
            squares[c] += value * value
    for c in range(g.OC):
        mean[c] /= rows
        squares[c] = max(squares[c] - rows * mean[c] * mean[c], 0.0)


@compiled
def forward(g, workspace, channels, x, y, first, last):
    """Compute images ``first`` to ``last`` of y: γ·(x − mean)·inv_std + β, ReLU and max-pool."""
    mean, inv_std, gamma, beta, _, _ = channels
    bias, switches, _, z, _, edge = workspace
    pixels = g.OH * g.OW
    for n in range(first, last):
        for p in range(pixels):
            at = (n * pixels + p) * g.OC
            row, to = x[at : at + g.OC], z[p * g.pitch : p * g.pitch + g.OC]
            for c in range(g.OC):
                to[c] = gamma[c] * ((row[c] - mean[c]) * inv_std[c]) + beta[c]
        epilogue(g, z, 0, bias, y, n, 0, g.PH, switches, edge)


@inlined
def _backward_pixels(g, workspace, channels, x, dy, n, dz, dgamma, dbeta):
    """Compute dz of image n, and add to the sums, for any pool and number of channels."""
    mean, inv_std, cells = channels.mean, channels.inv_std, g.pool_KH * g.pool_KW
    switches, windows = workspace.switches, workspace.windows
    for q in range(g.PH * g.PW):
        at = n * g.PH * g.PW + q
        row, switch = dy[at * g.OC : (at + 1) * g.OC], switches[at * g.pitch : at * g.pitch + g.OC]
        starts = windows[q * (cells + 1) : (q + 1) * (cells + 1)]
        for c in range(g.OC):
            if switch[c] < cells:
                dz[starts[switch[c]] + c] += row[c]
    pixels = g.OH * g.OW
    for p in range(pixels):
        row = x[(n * pixels + p) * g.OC : (n * pixels + p + 1) * g.OC]
        slope = dz[p * g.OC : (p + 1) * g.OC]
        for c in range(g.OC):
            dbeta[c] += slope[c]
            dgamma[c] += slope[c] * ((row[c] - mean[c]) * inv_std[c])


@inlined
def _backward_registers(g, workspace, channels, x, dy, n, dz, dgamma, dbeta):
    """Do the same for LANES channels at a time; sums over an image are in float32."""
    edge, pixels = workspace.edge, g.OH * g.OW
    for c in range(0, g.OC, LANES):
        sums = unpool(g, dy, workspace.switches, n, c, dz, c, g.OW * g.OC, g.OC, edge)
        m, s, products = load(channels.mean, c, 1), load(channels.inv_std, c, 1), splat(0.0, 1)
        for p in range(pixels):
            at = p * g.OC + c
            x_hat = (load(x, n * pixels * g.OC + at, 1) - m) * s
            products = products + load(dz, at, 1) * x_hat
        store(edge, 0, sums)
        for k in range(LANES):
            dbeta[c + k] += edge[k]
        store(edge, 0, products)
        for k in range(LANES):
            dgamma[c + k] += edge[k]


@compiled
def backward_sums(g, workspace, channels, x, dy, dz, first, last):
    """Compute dz, the gradient before ReLU and pool, and the sums dγ = Σ dz·x̂ and dβ = Σ dz."""
    dgamma, dbeta = workspace.sums[0], workspace.sums[1]
    dgamma[:] = dbeta[:] = 0
    size = g.OH * g.OW * g.OC
    for n in range(first, last):
        image = dz[n * size : (n + 1) * size]
        image[:] = 0
        if g.OC % LANES == 0 and not g.overlap:
            _backward_registers(g, workspace, channels, x, dy, n, image, dgamma, dbeta)
        else:
            _backward_pixels(g, workspace, channels, x, dy, n, image, dgamma, dbeta)


@compiled
def backward(g, channels, x, dz, dx, first, last):
    """Compute images ``first`` to ``last`` of dx = γ·inv_std·(dz − dβ / M − x̂·dγ / M)."""
    mean, inv_std, gamma, _, shift, tilt = channels
    C, scale = g.OC, gamma * inv_std
    whole, end = C // LANES * LANES, last * g.OH * g.OW
    for top in range(first * g.OH * g.OW, end, _ROWS):
        rows = range(top, min(top + _ROWS, end))
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
