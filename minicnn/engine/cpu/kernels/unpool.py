"""The way back through max-pool and ReLU: each gradient to the output that it came from, zeros to the others.

The opposite of ``activate``, for a pool of 2 × 2 side by side, or none.
"""

from minicnn.engine.cpu.kernels.simd import LANES, load, load_bytes, splat, store, where
from minicnn.runtime.compiled import inlined


@inlined
def unpool(g, dy, codes, n, c, z, at, line, step, edge):
    """Write dz of image n, LANES filters from c on: pixel (h, w) to z[at + h·line + w·step : + LANES].

    Returns its sum over the pixels. Those that no pool covers are not written; filters that do not
    exist get zeros.
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
            code = load_bytes(codes, q * g.pitch + c, 1)
            if g.plain_pool:
                to = at + 2 * ph * line + 2 * pw * step
                d0, d1 = where(code == zero, d, zero), where(code == splat(1.0, 1), d, zero)
                d2, d3 = where(code == splat(2.0, 1), d, zero), where(code == splat(3.0, 1), d, zero)
                store(z, to, d0)
                store(z, to + step, d1)
                store(z, to + line, d2)
                store(z, to + line + step, d3)
                total = total + ((d0 + d1) + (d2 + d3))
            else:
                d = where(code == zero, d, zero)
                store(z, at + ph * line + pw * step, d)
                total = total + d
    return total
