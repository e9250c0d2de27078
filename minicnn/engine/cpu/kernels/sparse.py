"""The backward pass of a convolution with its ReLU and pool, from the results that are open alone.

At most one output in every pooling window has a gradient, and none where the ReLU was closed. For
each filter the open results are listed: where the window begins that they were computed from, and
their dy. With these lists

    dW[filter] = Σ dy · window        dwindow += dy · W[filter]        db[filter] = Σ dy

where a part of dW[filter] and of W[filter] stays in registers while the list goes by. Behind a 2 × 2
pool that is a quarter of the work of the two matrix products, or an eighth with half of the ReLUs
closed. Windows are taken from the field itself if their runs are whole registers, else from rows
made by im2col.
"""

import numpy as np

from minicnn.engine.cpu.kernels.geometry import crop, pad
from minicnn.engine.cpu.kernels.simd import LANES, load, multiply_add, store
from minicnn.runtime.compiled import compiled, inlined


@compiled
def pack(W, depth, OC, row, w):
    """Lay out W (depth, OC) as w (OC, row ≥ depth): the weights of a filter in one piece."""
    for k in range(depth):
        for oc in range(OC):
            w[oc * row + k] = W[k * OC + oc]


@inlined
def list_open(g, dy, codes, n, place, offsets, values, counts):
    """List the open results of image n for each filter: the offset of the window, and dy.

    Filter oc has counts[oc] of them, from oc·PH·PW on.
    """
    # Unsigned, since Numba checks signed indices for being negative.
    closed, columns = np.uint64(g.pool_KH * g.pool_KW), np.uint64(g.pool_KH * g.pool_KW + 1)
    size = g.PH * g.PW
    for oc in range(g.OC):
        counts[oc] = oc * size
    for q in range(size):
        at = np.uint64((n * size + q) * g.OC)
        code_at = np.uint64((n * size + q) * g.pitch)
        row = np.uint64(q) * columns
        for oc in range(np.uint64(g.OC)):
            # Written in any case, counted if open: a branch would be guessed wrongly half of the time.
            code, to = np.uint64(codes[code_at + oc]), counts[oc]
            offsets[to] = place[row + code]
            values[to] = dy[at + oc]
            counts[oc] = to + np.uint64(code != closed)
    for oc in range(g.OC):
        counts[oc] -= np.uint64(oc * size)


@inlined
def _add_bias_gradient(g, values, counts, db):
    """Add to db the listed dy of each filter."""
    for oc in range(g.OC):
        first = oc * g.PH * g.PW
        last = first + np.int64(counts[oc])
        # Four sums, as an addition has to wait for the one before it.
        a = b = c = d = np.float32(0)
        for e in range(first, last - 3, 4):
            a, b, c, d = a + values[e], b + values[e + 1], c + values[e + 2], d + values[e + 3]
        for e in range(last - (last - first) % 4, last):
            a += values[e]
        db[oc] += (a + b) + (c + d)


def _windows(registers):
    @inlined
    def windows(g, row, at, base, table, offsets, values, counts, dw):
        for oc in range(g.OC):
            first, to = oc * g.PH * g.PW, oc * row + at
            total = load(dw, to, registers)
            for e in range(first, first + np.int64(counts[oc])):
                total = multiply_add(values[e], load(table, base + offsets[e], registers), total)
            store(dw, to, total)

    return windows


def _filters(registers):
    @inlined
    def filters(g, row, at, base, w, offsets, values, counts, dtable):
        for oc in range(g.OC):
            first = oc * g.PH * g.PW
            part = load(w, oc * row + at, registers)
            for e in range(first, first + np.int64(counts[oc])):
                to = base + offsets[e]
                store(dtable, to, multiply_add(values[e], part, load(dtable, to, registers)))

    return filters


def _by_registers(loop):
    """Return the function that goes over ``length`` numbers of a window, up to 6 registers at a time."""
    by_6, by_3, by_1 = [loop(registers) for registers in (6, 3, 1)]

    @inlined
    def add(g, row, at, base, length, source, offsets, values, counts, to):
        end = at + length
        while end - at >= 6 * LANES:
            by_6(g, row, at, base, source, offsets, values, counts, to)
            at, base = at + 6 * LANES, base + 6 * LANES
        while end - at >= 3 * LANES:
            by_3(g, row, at, base, source, offsets, values, counts, to)
            at, base = at + 3 * LANES, base + 3 * LANES
        while end - at >= LANES:
            by_1(g, row, at, base, source, offsets, values, counts, to)
            at, base = at + LANES, base + LANES

    return add


# dw[oc·row + at : + length] += Σ dy · table[base + offset : + length], the sums in registers.
_add_windows = _by_registers(_windows)
# dtable[base + offset : + length] += dy · w[oc·row + at : + length] for each dy, the filter in registers.
_add_filters = _by_registers(_filters)


@inlined
def _unfold(g, field, run_at, cols):
    """Copy the window of each output into a row of cols (OH·OW, row): im2col."""
    step = g.SW * g.C
    for oh in range(g.OH):
        at = oh * g.SH * g.FW * g.C
        for r in range(len(run_at)):
            for k in range(g.length):
                to = oh * g.OW * g.row + r * g.length + k
                for ow in range(g.OW):
                    cols[to + ow * g.row] = field[at + run_at[r] + ow * step + k]


@inlined
def _fold(g, cols, run_at, field):
    """Add each row of cols to the window that it stands for: col2im."""
    for oh in range(g.OH):
        for ow in range(g.OW):
            source = (oh * g.OW + ow) * g.row
            at = (oh * g.SH * g.FW + ow * g.SW) * g.C
            for r in range(len(run_at)):
                for k in range(g.length):
                    field[at + run_at[r] + k] += cols[source + k]
                source += g.length


@compiled
def backward(
    g, x, dy, codes, first, last, run_at, place, w, dw, db, dx, need_dx, field, dfield, cols, dcols,
    offsets, values, counts,
):  # fmt: skip
    """Add to dw (OC, depth or row) and db what images ``first`` to ``last`` give; assign their dx."""
    rows = g.row > 0
    # A window is one run of a row made by im2col, or several runs of the field.
    table, dtable = (cols, dcols) if rows else (field, dfield)
    runs, length = (run_at[:1], g.row) if rows else (run_at, g.length)
    row = length * len(runs)
    for n in range(first, last):
        pad(g, x, n, field)
        if rows:
            _unfold(g, field, run_at, cols)
        if need_dx:
            dfield[:] = 0
            dcols[:] = 0
        list_open(g, dy, codes, n, place, offsets, values, counts)
        _add_bias_gradient(g, values, counts, db)
        for r in range(len(runs)):
            _add_windows(g, row, r * length, runs[r], length, table, offsets, values, counts, dw)
        if need_dx:
            for r in range(len(runs)):
                _add_filters(g, row, r * length, runs[r], length, w, offsets, values, counts, dtable)
            if rows:
                _fold(g, dcols, run_at, dfield)
            crop(g, dfield, dx, n)
