"""3×3 convolution with 2.25 times fewer multiplications: Winograd's F(2×2, 3×3).

A tile of 2 × 2 outputs depends on 4 × 4 inputs d. With the filter g and the matrices below it is

    Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

16 products instead of 36. Summed over channels, each of the 16 places is a matrix product of its
own, (tiles, C) @ (C, OC); the transforms cost only additions. In float32 the error is about that of
im2col, since the matrices hold nothing but 0, ±1 and ½.

Source: Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4.1.
"""

import numpy as np

from minicnn.engine.cpu.kernels.gemm import PANEL, multiply_panel
from minicnn.engine.cpu.kernels.geometry import crop, pad
from minicnn.engine.cpu.kernels.simd import LANES, load, splat, store
from minicnn.engine.cpu.kernels.unpool import unpool
from minicnn.runtime.compiled import compiled, inlined


@inlined
def _times_g(a, b, c):
    """Return G (a, b, c), with G = [[1, 0, 0], [½, ½, ½], [½, −½, ½], [0, 0, 1]]."""
    half = splat(0.5, 1)
    return a, half * ((a + c) + b), half * ((a + c) - b), c


@compiled
def transform_weights(w, tap, C, channel_step, OC, filter_step, depth, u, taps):
    """Compute U = G g Gᵀ of all filters: u (⌈OC / PANEL⌉, 16, depth ≥ C, PANEL).

    Tap (i, j) of filter oc at channel c is w[(3·i + j)·tap + c·channel_step + oc·filter_step]; ``taps``
    (9, LANES) takes those of a register of filters.
    """
    for oc in range(0, -(-OC // PANEL) * PANEL, LANES):
        first = oc // PANEL * 16 * depth * PANEL + oc % PANEL
        count = max(min(OC - oc, LANES), 0)
        taps[:] = 0
        for c in range(C):
            for t in range(9):
                for k in range(count):
                    taps[t * LANES + k] = w[t * tap + c * channel_step + (oc + k) * filter_step]
            # Column by column G g, kept in u; then the same along the rows.
            to, place = first + c * PANEL, depth * PANEL
            for j in range(3):
                at = j * LANES
                g0, g1, g2 = load(taps, at, 1), load(taps, at + 3 * LANES, 1), load(taps, at + 6 * LANES, 1)
                r0, r1, r2, r3 = _times_g(g0, g1, g2)
                store(u, to + j * place, r0)
                store(u, to + (4 + j) * place, r1)
                store(u, to + (8 + j) * place, r2)
                store(u, to + (12 + j) * place, r3)
            for i in range(4):
                a = to + 4 * i * place
                g0, g1, g2 = load(u, a, 1), load(u, a + place, 1), load(u, a + 2 * place, 1)
                r0, r1, r2, r3 = _times_g(g0, g1, g2)
                store(u, a, r0)
                store(u, a + place, r1)
                store(u, a + 2 * place, r2)
                store(u, a + 3 * place, r3)


@compiled
def weights_gradient(du, parts, C, OC, dw):
    """Compute dg = Gᵀ dU G, dU the sum of what the parts have: du (parts, OC / PANEL · 16 · C · PANEL)."""
    half = np.float32(0.5)
    tap = C * OC
    for oc in range(OC):
        for c in range(C):
            at = (oc // PANEL * 16 * C + c) * PANEL + oc % PANEL
            a0, b0, c0 = _sum_of_row(du, parts, at, C * PANEL)
            a1, b1, c1 = _sum_of_row(du, parts, at + 4 * C * PANEL, C * PANEL)
            a2, b2, c2 = _sum_of_row(du, parts, at + 8 * C * PANEL, C * PANEL)
            a3, b3, c3 = _sum_of_row(du, parts, at + 12 * C * PANEL, C * PANEL)
            to = c * OC + oc
            dw[to], dw[to + 3 * tap], dw[to + 6 * tap] = (
                a0 + half * (a1 + a2), half * (a1 - a2), half * (a1 + a2) + a3
            )  # fmt: skip
            dw[to + tap], dw[to + 4 * tap], dw[to + 7 * tap] = (
                b0 + half * (b1 + b2), half * (b1 - b2), half * (b1 + b2) + b3
            )  # fmt: skip
            dw[to + 2 * tap], dw[to + 5 * tap], dw[to + 8 * tap] = (
                c0 + half * (c1 + c2), half * (c1 - c2), half * (c1 + c2) + c3
            )  # fmt: skip


@compiled
def _sum_of_row(du, parts, at, place):
    """Return one row of dU G: three numbers."""
    t0 = t1 = t2 = t3 = np.float32(0)
    for k in range(parts):
        t0 += du[k, at]
        t1 += du[k, at + place]
        t2 += du[k, at + 2 * place]
        t3 += du[k, at + 3 * place]
    half = np.float32(0.5)
    return t0 + half * (t1 + t2), half * (t1 - t2), half * (t1 + t2) + t3


@inlined
def transform_input(field, FW, C, top, rows, TW, v):
    """Compute V = Bᵀ d B for ``rows`` rows of tiles from row ``top`` on: → v (16, tiles, C)."""
    step = rows * TW * C  # from one of the 16 places to the next
    for th in range(rows):
        for tw in range(TW):
            at = (2 * (top + th) * FW + 2 * tw) * C
            to = (th * TW + tw) * C
            for c in range(0, C, LANES):
                for j in range(4):
                    # Column by column Bᵀ d, kept in v for the moment.
                    a = at + j * C + c
                    d0 = load(field, a, 1)
                    d1 = load(field, a + FW * C, 1)
                    d2 = load(field, a + 2 * FW * C, 1)
                    d3 = load(field, a + 3 * FW * C, 1)
                    store(v, to + c + j * step, d0 - d2)
                    store(v, to + c + (4 + j) * step, d1 + d2)
                    store(v, to + c + (8 + j) * step, d2 - d1)
                    store(v, to + c + (12 + j) * step, d1 - d3)
                for i in range(4):
                    a = to + c + 4 * i * step
                    e0 = load(v, a, 1)
                    e1 = load(v, a + step, 1)
                    e2 = load(v, a + 2 * step, 1)
                    e3 = load(v, a + 3 * step, 1)
                    store(v, a, e0 - e2)
                    store(v, a + step, e1 + e2)
                    store(v, a + 2 * step, e2 - e1)
                    store(v, a + 3 * step, e1 - e3)


@inlined
def transform_output(m, tiles, TW, y, y_at, YW, pitch):
    """Compute Y = Aᵀ m A of one panel: m (16, tiles, PANEL) → 2 × 2 pixels of y a tile."""
    step = tiles * PANEL
    for t in range(tiles):
        for half in range(0, PANEL, LANES):
            a = t * PANEL + half
            to = y_at + (2 * (t // TW) * YW + 2 * (t % TW)) * pitch + half
            m0 = load(m, a, 1)
            m1 = load(m, a + 4 * step, 1)
            m2 = load(m, a + 8 * step, 1)
            m3 = load(m, a + 12 * step, 1)
            p0, q0 = m0 + m1 + m2, m1 - m2 - m3
            m0 = load(m, a + step, 1)
            m1 = load(m, a + 5 * step, 1)
            m2 = load(m, a + 9 * step, 1)
            m3 = load(m, a + 13 * step, 1)
            p1, q1 = m0 + m1 + m2, m1 - m2 - m3
            m0 = load(m, a + 2 * step, 1)
            m1 = load(m, a + 6 * step, 1)
            m2 = load(m, a + 10 * step, 1)
            m3 = load(m, a + 14 * step, 1)
            p2, q2 = m0 + m1 + m2, m1 - m2 - m3
            m0 = load(m, a + 3 * step, 1)
            m1 = load(m, a + 7 * step, 1)
            m2 = load(m, a + 11 * step, 1)
            m3 = load(m, a + 15 * step, 1)
            p3, q3 = m0 + m1 + m2, m1 - m2 - m3
            store(y, to, p0 + p1 + p2)
            store(y, to + pitch, p1 - p2 - p3)
            store(y, to + YW * pitch, q0 + q1 + q2)
            store(y, to + YW * pitch + pitch, q1 - q2 - q3)


@inlined
def convolve(field, FW, C, u, panels, TH, TW, band, v, m, y, YW, pitch, run):
    """Convolve one field (FH, FW, C), ``band`` rows of tiles at a time, → y (2·TH, YW, pitch)."""
    for top in range(0, TH, band):
        rows = min(band, TH - top)
        tiles = rows * TW
        transform_input(field, FW, C, top, rows, TW, v)
        for p in range(panels):
            for place in range(16):
                panel = (p * 16 + place) * C * PANEL
                at, to = place * tiles * C, place * tiles * PANEL
                multiply_panel(v, at, C, 1, run, C, u, panel, PANEL, m, to, PANEL, tiles, False)
            transform_output(m, tiles, TW, y, 2 * top * YW * pitch + p * PANEL, YW, pitch)


@inlined
def _transform_gradient(dy, YW, pitch, top, rows, TW, panel, z):
    """Compute Z = A dy Aᵀ of one panel of dy (2·TH, YW, pitch): → z (16, tiles, PANEL)."""
    step = rows * TW * PANEL
    for t in range(rows * TW):
        for half in range(0, PANEL, LANES):
            at = (2 * (top + t // TW) * YW + 2 * (t % TW)) * pitch + panel * PANEL + half
            to = t * PANEL + half
            d, e = load(dy, at, 1), load(dy, at + pitch, 1)
            f, g = load(dy, at + YW * pitch, 1), load(dy, at + (YW + 1) * pitch, 1)
            zero = d - d
            for r in range(4):
                # Rows of A dy: (d, e), (d + f, e + g), (d − f, e − g), (−f, −g); then the same by columns.
                a, b = d, e
                if r == 1:
                    a, b = d + f, e + g
                elif r == 2:
                    a, b = d - f, e - g
                elif r == 3:
                    a, b = zero - f, zero - g
                store(z, to + 4 * r * step, a)
                store(z, to + (4 * r + 1) * step, a + b)
                store(z, to + (4 * r + 2) * step, a - b)
                store(z, to + (4 * r + 3) * step, zero - b)


@inlined
def _transform_back(m, tiles, TW, top, field, FW, C, c):
    """Add B m Bᵀ of LANES channels from c on, m (16, tiles, PANEL), to the 4 × 4 pixels of each tile."""
    step = tiles * PANEL
    half = c % PANEL
    for t in range(tiles):
        a = t * PANEL + half
        to = (2 * (top + t // TW) * FW + 2 * (t % TW)) * C + c
        for j in range(4):
            # Column by column B m, kept in m.
            m0 = load(m, a + j * step, 1)
            m1 = load(m, a + (4 + j) * step, 1)
            m2 = load(m, a + (8 + j) * step, 1)
            m3 = load(m, a + (12 + j) * step, 1)
            store(m, a + (4 + j) * step, m1 - m2 + m3)
            store(m, a + (8 + j) * step, m1 + m2 - m0)
            store(m, a + (12 + j) * step, m0 - m0 - m3)
        for i in range(4):
            m0 = load(m, a + 4 * i * step, 1)
            m1 = load(m, a + (4 * i + 1) * step, 1)
            m2 = load(m, a + (4 * i + 2) * step, 1)
            m3 = load(m, a + (4 * i + 3) * step, 1)
            b = to + i * FW * C
            store(field, b, load(field, b, 1) + m0)
            store(field, b + C, load(field, b + C, 1) + (m1 - m2 + m3))
            store(field, b + 2 * C, load(field, b + 2 * C, 1) + (m1 + m2 - m0))
            store(field, b + 3 * C, load(field, b + 3 * C, 1) - m3)


@inlined
def _backward_image(
    field, FW, C, dy, YW, pitch, TH, TW, band, u_back, need_dx, v, z, m, du, dfield, run, z_runs
):
    """Add to du (pitch / PANEL, 16, C, PANEL) what one image gives, and to dfield its dx.

    At each of the 16 places dU = Vᵀ Z and dV = Z Uᵀ; ``u_back`` is U with C and OC exchanged.
    """
    size = 16 * band * TW * PANEL  # of one panel in z
    for top in range(0, TH, band):
        rows = min(band, TH - top)
        tiles = rows * TW
        transform_input(field, FW, C, top, rows, TW, v)
        for p in range(pitch // PANEL):
            _transform_gradient(dy, YW, pitch, top, rows, TW, p, z[p * size : (p + 1) * size])
            for place in range(16):
                panel, to = p * size + place * tiles * PANEL, (p * 16 + place) * C * PANEL
                multiply_panel(
                    v, place * tiles * C, 1, C, run, tiles, z, panel, PANEL, du, to, PANEL, C, True
                )
        if not need_dx:
            continue
        for p in range((C + PANEL - 1) // PANEL):
            for place in range(16):
                at, panel, to = place * tiles * PANEL, (p * 16 + place) * pitch * PANEL, place * tiles * PANEL
                multiply_panel(
                    z, at, PANEL, 1, z_runs, PANEL, u_back, panel, PANEL, m, to, PANEL, tiles, False
                )
            for c in range(p * PANEL, min((p + 1) * PANEL, C), LANES):
                _transform_back(m, tiles, TW, top, dfield, FW, C, c)


@compiled
def backward(
    g, x, dy, codes, first, last, u_back, du, db, dx, need_dx, field, y, dfield, v, z, m, edge, run, z_runs
):
    """Add to du and db what images ``first`` to ``last`` give, by Winograd's algorithm; assign their dx."""
    for n in range(first, last):
        pad(g, x, n, field)
        if g.OH < 2 * g.TH or g.OW < g.YW or g.pitch > g.OC:
            y[:] = 0  # forward has left something in the tiles beyond the border and in the missing filters
        for c in range(0, g.OC, LANES):
            sums = unpool(g, dy, codes, n, c, y, c, g.YW * g.pitch, g.pitch, edge)
            store(db, c, load(db, c, 1) + sums)
        if need_dx:
            dfield[:] = 0
        _backward_image(
            field, g.FW, g.C, y, g.YW, g.pitch, g.TH, g.TW, g.band, u_back, need_dx, v, z, m, du, dfield, run,
            z_runs,
        )  # fmt: skip
        if need_dx:
            crop(g, dfield, dx, n)
