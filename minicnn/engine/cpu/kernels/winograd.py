"""3×3 convolution with 2.25 times fewer multiplications: Winograd's F(2×2, 3×3).

A tile of 2 × 2 outputs depends on 4 × 4 inputs d. With the filter g and the matrices below it is

    Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

16 products instead of 36. Summed over channels, each of the 16 places is one matrix product,
(tiles, C) @ (C, OC); the transforms cost only additions. In float32 the error is about that of im2col, as
the matrices consist of 0, ±1 and ½.

Source: Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4.1.
"""

from typing import NamedTuple

import numpy as np

from minicnn.engine.cpu.kernels.epilogue import unpool
from minicnn.engine.cpu.kernels.gemm import ONE_RUN, PANEL, multiply_panel
from minicnn.engine.cpu.kernels.geometry import crop, pad
from minicnn.engine.cpu.kernels.simd import LANES, load, splat, store
from minicnn.runtime.compiled import compiled, inlined


class WinogradGradient(NamedTuple):
    """The buffers of ``backward`` for one thread; all threads share panel_starts."""

    dw: np.ndarray  # dU: (pitch / PANEL, 16, C, PANEL)
    db: np.ndarray  # (pitch,)
    u: np.ndarray  # U with C and OC exchanged
    dpadded: np.ndarray
    dm: np.ndarray  # a band of tiles of dY, transformed: (pitch / PANEL, 16, tiles, PANEL)
    panel_starts: np.ndarray  # where its panels begin


@inlined
def _load_4(x, at, step):
    return load(x, at, 1), load(x, at + step, 1), load(x, at + 2 * step, 1), load(x, at + 3 * step, 1)


@inlined
def _store_4(x, at, step, a, b, c, d):
    store(x, at, a)
    store(x, at + step, b)
    store(x, at + 2 * step, c)
    store(x, at + 3 * step, d)


@inlined
def _times_g(x, at, step, u, to, to_step):
    """Write G (a, b, c) to u, of three registers of x; G = [[1, 0, 0], [½, ½, ½], [½, −½, ½], [0, 0, 1]]."""
    a, b, c, half = load(x, at, 1), load(x, at + step, 1), load(x, at + 2 * step, 1), splat(0.5, 1)
    _store_4(u, to, to_step, a, half * ((a + c) + b), half * ((a + c) - b), c)


@compiled
def transform_weights(w, C, channel_step, OC, filter_step, depth, u, taps):
    """Compute U = G g Gᵀ of all filters: u (⌈OC / PANEL⌉, 16, depth ≥ C, PANEL).

    Tap (i, j) of filter oc at channel c is w[(3·i + j)·C·OC + c·channel_step + oc·filter_step];
    ``taps`` (9, LANES) is a buffer for one register of filters.
    """
    place = depth * PANEL
    for oc in range(0, -(-OC // PANEL) * PANEL, LANES):
        first, count = oc // PANEL * 16 * place + oc % PANEL, max(min(OC - oc, LANES), 0)
        taps[: 9 * LANES] = 0
        for c in range(C):
            for t in range(9):
                for k in range(count):
                    taps[t * LANES + k] = w[t * C * OC + c * channel_step + (oc + k) * filter_step]
            # G g by columns, into u; then the same along the rows.
            to = first + c * PANEL
            for j in range(3):
                _times_g(taps, j * LANES, 3 * LANES, u, to + j * place, 4 * place)
            for i in range(4):
                _times_g(u, to + 4 * i * place, place, u, to + 4 * i * place, place)


def weights_gradient(dU):
    """Return dg = Gᵀ dU G: (panels, 4, 4, C, PANEL) → (panels, 3, 3, C, PANEL)."""
    for axis in (2, 1):
        a, b, c, d = np.moveaxis(dU, axis, 0)
        half = np.float32(0.5)
        dU = np.stack([a + half * (b + c), half * (b - c), half * (b + c) + d], axis)
    return dU


@inlined
def _transform_input(g, padded, top, rows, v):
    """Compute V = Bᵀ d B for ``rows`` rows of tiles from row ``top`` on: → v (16, tiles, C)."""
    step = rows * g.TW * g.C  # from one of the 16 places to the next
    for th in range(rows):
        for tw in range(g.TW):
            for c in range(0, g.C, LANES):
                at = (2 * (top + th) * g.FW + 2 * tw) * g.C + c
                to = (th * g.TW + tw) * g.C + c
                for j in range(4):
                    # Bᵀ d by columns, into v.
                    d0, d1, d2, d3 = _load_4(padded, at + j * g.C, g.FW * g.C)
                    _store_4(v, to + j * step, 4 * step, d0 - d2, d1 + d2, d2 - d1, d1 - d3)
                for i in range(4):
                    e0, e1, e2, e3 = _load_4(v, to + 4 * i * step, step)
                    _store_4(v, to + 4 * i * step, step, e0 - e2, e1 + e2, e2 - e1, e1 - e3)


@inlined
def _column_times_a(m, at, step):
    """Return one column of Aᵀ m."""
    m0, m1, m2, m3 = _load_4(m, at, 4 * step)
    return m0 + m1 + m2, m1 - m2 - m3


@inlined
def _transform_output(g, m, tiles, z, at):
    """Compute Y = Aᵀ m A of one panel: m (16, tiles, PANEL) → 2 × 2 pixels of z per tile."""
    step, line = tiles * PANEL, g.YW * g.pitch
    for t in range(tiles):
        for half in range(0, PANEL, LANES):
            a = t * PANEL + half
            to = at + 2 * (t // g.TW) * line + 2 * (t % g.TW) * g.pitch + half
            p0, q0 = _column_times_a(m, a, step)
            p1, q1 = _column_times_a(m, a + step, step)
            p2, q2 = _column_times_a(m, a + 2 * step, step)
            p3, q3 = _column_times_a(m, a + 3 * step, step)
            store(z, to, p0 + p1 + p2)
            store(z, to + g.pitch, p1 - p2 - p3)
            store(z, to + line, q0 + q1 + q2)
            store(z, to + line + g.pitch, q1 - q2 - q3)


@inlined
def convolve(g, padded, u, v, m, z):
    """Convolve the padded image, ``band`` rows of tiles at a time, → z (2·TH, YW, pitch)."""
    for top in range(0, g.TH, g.band):
        rows = min(g.band, g.TH - top)
        tiles = rows * g.TW
        _transform_input(g, padded, top, rows, v)
        for p in range(g.pitch // PANEL):
            for place in range(16):
                at, panel, to = place * tiles * g.C, (p * 16 + place) * g.C * PANEL, place * tiles * PANEL
                multiply_panel(v, at, g.C, 1, ONE_RUN, g.C, u, panel, PANEL, m, to, PANEL, tiles, False)
            _transform_output(g, m, tiles, z, 2 * top * g.YW * g.pitch + p * PANEL)


@inlined
def _transform_gradient(g, dz, top, rows, panel, dm, begin):
    """Compute A dz Aᵀ of one panel of dz (2·TH, YW, pitch): → dm (16, tiles, PANEL), from ``begin`` on."""
    step, line = rows * g.TW * PANEL, g.YW * g.pitch
    for t in range(rows * g.TW):
        for half in range(0, PANEL, LANES):
            at = 2 * (top + t // g.TW) * line + 2 * (t % g.TW) * g.pitch + panel * PANEL + half
            to = begin + t * PANEL + half
            a, b = load(dz, at, 1), load(dz, at + g.pitch, 1)
            c, d = load(dz, at + line, 1), load(dz, at + line + g.pitch, 1)
            zero = a - a
            # Rows of A dz: (a, b), (a + c, b + d), (a − c, b − d), (−c, −d); then the same by columns.
            _store_4(dm, to, step, a, a + b, a - b, zero - b)
            e, f = a + c, b + d
            _store_4(dm, to + 4 * step, step, e, e + f, e - f, zero - f)
            e, f = a - c, b - d
            _store_4(dm, to + 8 * step, step, e, e + f, e - f, zero - f)
            e, f = zero - c, zero - d
            _store_4(dm, to + 12 * step, step, e, e + f, e - f, zero - f)


@inlined
def _transform_back(g, m, tiles, top, dpadded, c):
    """Add B m Bᵀ of LANES channels from c on, m (16, tiles, PANEL), to the 4 × 4 pixels of each tile."""
    step = tiles * PANEL
    for t in range(tiles):
        a = t * PANEL + c % PANEL
        to = (2 * (top + t // g.TW) * g.FW + 2 * (t % g.TW)) * g.C + c
        for j in range(4):
            # B m by columns, in place.
            m0, m1, m2, m3 = _load_4(m, a + j * step, 4 * step)
            _store_4(m, a + j * step, 4 * step, m0, m1 - m2 + m3, m1 + m2 - m0, m0 - m0 - m3)
        for i in range(4):
            m0, m1, m2, m3 = _load_4(m, a + 4 * i * step, step)
            b = to + i * g.FW * g.C
            p0, p1, p2, p3 = _load_4(dpadded, b, g.C)
            _store_4(dpadded, b, g.C, p0 + m0, p1 + (m1 - m2 + m3), p2 + (m1 + m2 - m0), p3 - m3)


@inlined
def _backward_image(g, workspace, gradient, need_dx):
    """Add the dU of one image, and its dx to dpadded.

    At each of the 16 places, dU = Vᵀ dM and dV = dM Uᵀ.
    """
    padded, z, v, m = workspace.padded, workspace.z, workspace.v, workspace.m
    dw, _, u, dpadded, dm, panel_starts = gradient
    size = 16 * g.band * g.TW * PANEL  # of one panel of dm
    for top in range(0, g.TH, g.band):
        rows = min(g.band, g.TH - top)
        tiles = rows * g.TW
        _transform_input(g, padded, top, rows, v)
        for p in range(g.pitch // PANEL):
            _transform_gradient(g, z, top, rows, p, dm, p * size)
            for place in range(16):
                at, panel, to = (
                    place * tiles * g.C,
                    p * size + place * tiles * PANEL,
                    (p * 16 + place) * g.C * PANEL,
                )
                multiply_panel(v, at, 1, g.C, ONE_RUN, tiles, dm, panel, PANEL, dw, to, PANEL, g.C, True)
        if not need_dx:
            continue
        for p in range((g.C + PANEL - 1) // PANEL):
            for place in range(16):
                at, panel = place * tiles * PANEL, (p * 16 + place) * g.pitch * PANEL
                multiply_panel(
                    dm, at, PANEL, 1, panel_starts, PANEL, u, panel, PANEL,
                    m, at, PANEL, tiles, False,
                )  # fmt: skip
            for c in range(p * PANEL, min((p + 1) * PANEL, g.C), LANES):
                _transform_back(g, m, tiles, top, dpadded, c)


@compiled
def backward(g, workspace, gradient, x, dy, dx, first, last):
    """Add the dU and db of images ``first`` to ``last``; assign their dx, unless it is empty."""
    switches, padded, dz, edge = workspace.switches, workspace.padded, workspace.z, workspace.edge
    db, dpadded, need_dx = gradient.db, gradient.dpadded, len(dx) > 0
    for n in range(first, last):
        pad(g, x, n, padded)
        if g.OH < 2 * g.TH or g.OW < g.YW or g.pitch > g.OC:
            dz[:] = 0  # forward wrote to tiles beyond the border and to filters beyond OC
        for c in range(0, g.OC, LANES):
            sums = unpool(g, dy, switches, n, c, dz, c, g.YW * g.pitch, g.pitch, edge)
            store(db, c, load(db, c, 1) + sums)
        if need_dx:
            dpadded[:] = 0
        _backward_image(g, workspace, gradient, need_dx)
        if need_dx:
            crop(g, dpadded, dx, n)
