"""Batch normalisation of rows of C channels, with the ReLU and the max-pool behind it.

The mean and the variance of a channel are over the whole batch, so each part of it is summed up on
its own, about its own mean, and the parts are then put together: Chan, Golub & LeVeque 1983,
"Algorithms for Computing the Sample Variance", equation 2.1.
"""

from minicnn.kernels.activate import activate
from minicnn.kernels.compiled import compiled


@compiled
def moments(x, first, last, C, mean, squares):
    """Compute the mean of rows ``first`` to ``last`` and the sum of squares about it, both (C,) float64."""
    mean[:] = 0
    squares[:] = 0
    for i in range(first, last):
        for c in range(C):
            mean[c] += x[i * C + c]
    for c in range(C):
        mean[c] /= last - first
    for i in range(first, last):
        for c in range(C):
            squares[c] += (x[i * C + c] - mean[c]) ** 2


@compiled
def forward(g, x, first, last, mean, inv_std, gamma, beta, out, codes, y, bias, edge):
    """Compute images ``first`` to ``last`` of out: γ·(x − mean)·inv_std + β, ReLU and max-pool."""
    for n in range(first, last):
        for p in range(g.OH * g.OW):
            at = (n * g.OH * g.OW + p) * g.OC
            for c in range(g.OC):
                y[p * g.pitch + c] = gamma[c] * ((x[at + c] - mean[c]) * inv_std[c]) + beta[c]
        activate(g, y, 0, bias, out, n, 0, g.PH, codes, edge)


@compiled
def backward_sums(g, x, dy, codes, first, last, mean, inv_std, place, dz, dgamma, dbeta):
    """Compute dz, dy before pool and ReLU, and add to dγ = Σ dz·x̂ and dβ = Σ dz (float64)."""
    size, cells = g.PH * g.PW, g.pool_KH * g.pool_KW
    for n in range(first, last):
        image = n * g.OH * g.OW * g.OC
        dz[image : image + g.OH * g.OW * g.OC] = 0
        for q in range(size):
            for c in range(g.OC):
                code = codes[(n * size + q) * g.pitch + c]
                if code < cells:
                    at = image + place[q * (cells + 1) + code] + c
                    dz[at] += dy[(n * size + q) * g.OC + c]
        for p in range(g.OH * g.OW):
            for c in range(g.OC):
                at = image + p * g.OC + c
                dbeta[c] += dz[at]
                dgamma[c] += dz[at] * ((x[at] - mean[c]) * inv_std[c])


@compiled
def backward(x, dz, first, last, C, mean, inv_std, gamma, dgamma, dbeta, M, dx):
    """Compute rows ``first`` to ``last`` of dx = γ·inv_std·(dz − dβ / M − x̂·dγ / M)."""
    for i in range(first, last):
        for c in range(C):
            at = i * C + c
            x_hat = (x[at] - mean[c]) * inv_std[c]
            dx[at] = (gamma[c] * inv_std[c]) * (dz[at] - dbeta[c] / M - x_hat * (dgamma[c] / M))
