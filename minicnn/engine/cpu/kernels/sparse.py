"""The backward pass of a convolution with ReLU and pool, over the open outputs only.

At most one output in each pooling window has a gradient, and none where the ReLU was closed. For each
filter the open outputs are listed: the start of their window, and their dy. With these lists

    dW[filter] = Σ dy · window        dwindow += dy · W[filter]        db[filter] = Σ dy

where a part of dW[filter] and of W[filter] stays in registers for the whole list. After a 2 × 2 pool that
is a quarter of the work of the two matrix products, or an eighth if half of the ReLUs are closed. A run is
read in whole registers, so it may extend into the next pixels. Their part of dW is removed later; to dx the
padding of the filter adds 0, or NaN if dy is not finite.
"""

from typing import NamedTuple

import numpy as np

from minicnn.engine.cpu.kernels.geometry import crop, pad
from minicnn.engine.cpu.kernels.simd import LANES, load, multiply_add, store
from minicnn.runtime.compiled import compiled, inlined


class SparseGradient(NamedTuple):
    """The buffers of ``backward`` for one thread; all threads share windows."""

    dw: np.ndarray  # (OC, runs, length, rounded up to whole registers)
    db: np.ndarray  # (pitch,)
    w: np.ndarray  # the filters, in the same layout, padded with zeros
    windows: np.ndarray  # the start of the window of each cell of a pooling window, by its switch
    dpadded: np.ndarray
    offsets: np.ndarray  # of the listed windows
    values: np.ndarray  # their dy
    counts: np.ndarray  # length of each filter's list


@inlined
def _list_open(g, dy, switches, n, lists):
    """List the open outputs of image n: filter oc has counts[oc] entries from oc·PH·PW on."""
    windows, offsets, values, counts = lists.windows, lists.offsets, lists.values, lists.counts
    # Unsigned, as Numba checks signed indices for being negative.
    closed, columns = np.uint64(g.pool_KH * g.pool_KW), np.uint64(g.pool_KH * g.pool_KW + 1)
    size = g.PH * g.PW
    for oc in range(g.OC):
        counts[oc] = oc * size
    for q in range(size):
        at = np.uint64((n * size + q) * g.OC)
        switch_at = np.uint64((n * size + q) * g.pitch)
        row = np.uint64(q) * columns
        for oc in range(np.uint64(g.OC)):
            # Always write, but count only open ones: a branch would be mispredicted half of the time.
            switch, to = np.uint64(switches[switch_at + oc]), counts[oc]
            offsets[to] = windows[row + switch]
            values[to] = dy[at + oc]
            counts[oc] = to + np.uint64(switch != closed)
    for oc in range(g.OC):
        counts[oc] -= np.uint64(oc * size)


@inlined
def _add_bias_gradient(g, lists):
    """Add the listed dy of each filter to db."""
    db, values, counts = lists.db, lists.values, lists.counts
    for oc in range(g.OC):
        first = oc * g.PH * g.PW
        last = first + np.int64(counts[oc])
        # Four sums, as each addition waits for the previous one.
        a = b = c = d = np.float32(0)
        for e in range(first, last - 3, 4):
            a, b, c, d = a + values[e], b + values[e + 1], c + values[e + 2], d + values[e + 3]
        for e in range(last - (last - first) % 4, last):
            a += values[e]
        db[oc] += (a + b) + (c + d)


def _add_windows(registers):
    """Return the loop dw[oc·row + at : …] += Σ dy · padded[base + offset : …], the sums in registers."""

    @inlined
    def add_windows(g, lists, padded, row, at, base):
        dw, offsets, values, counts = lists.dw, lists.offsets, lists.values, lists.counts
        for oc in range(g.OC):
            first, to = oc * g.PH * g.PW, oc * row + at
            total = load(dw, to, registers)
            for e in range(first, first + np.int64(counts[oc])):
                total = multiply_add(values[e], load(padded, base + offsets[e], registers), total)
            store(dw, to, total)

    return add_windows


def _add_filters(registers):
    """Return the loop dpadded[base + offset : …] += dy · w[oc·row + at : …], the filter in registers."""

    @inlined
    def add_filters(g, lists, dpadded, row, at, base):
        w, offsets, values, counts = lists.w, lists.offsets, lists.values, lists.counts
        for oc in range(g.OC):
            first = oc * g.PH * g.PW
            part = load(w, oc * row + at, registers)
            for e in range(first, first + np.int64(counts[oc])):
                to = base + offsets[e]
                store(dpadded, to, multiply_add(values[e], part, load(dpadded, to, registers)))

    return add_filters


def _by_registers(loop):
    """Return the function that covers whole windows, up to 6 registers at a time."""
    by_6, by_3, by_1 = [loop(registers) for registers in (6, 3, 1)]

    @inlined
    def add(g, lists, padded, starts):
        size = -(-g.length // LANES) * LANES
        row = size * len(starts)
        for r in range(len(starts)):
            at, base, end = r * size, starts[r], (r + 1) * size
            while end - at >= 6 * LANES:
                by_6(g, lists, padded, row, at, base)
                at, base = at + 6 * LANES, base + 6 * LANES
            while end - at >= 3 * LANES:
                by_3(g, lists, padded, row, at, base)
                at, base = at + 3 * LANES, base + 3 * LANES
            while end > at:
                by_1(g, lists, padded, row, at, base)
                at, base = at + LANES, base + LANES

    return add


_add_all_windows, _add_all_filters = _by_registers(_add_windows), _by_registers(_add_filters)


@compiled
def backward(g, workspace, gradient, x, dy, dx, first, last):
    """Add the dW and db of images ``first`` to ``last``; assign their dx, unless it is empty."""
    padded, starts, dpadded = workspace.padded, workspace.starts, gradient.dpadded
    for n in range(first, last):
        pad(g, x, n, padded)
        _list_open(g, dy, workspace.switches, n, gradient)
        _add_bias_gradient(g, gradient)
        _add_all_windows(g, gradient, padded, starts)
        if len(dx) > 0:
            dpadded[:] = 0
            _add_all_filters(g, gradient, dpadded, starts)
            crop(g, dpadded, dx, n)
