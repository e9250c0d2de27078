"""Matrix products y = x @ w (gemm), for dense layers and convolutions.

    y[i, j] = Σ_k x[i, k] · w[k, j]

A tile of up to ROWS × PANEL results is accumulated in registers: for each k, PANEL weights are loaded
once and multiplied by one x of each row. w is packed in *panels* of PANEL columns, row after row, padded
with zeros. A last panel of at most LANES columns is LANES wide.

Row i of x begins at ``at + i·row_step`` and consists of *runs*: they begin at ``starts`` from there, and
each has ``length`` numbers with stride ``depth_step``. A row of a dense layer's input is one run; a
window of a convolution is one run for each row of the kernel, so that no im2col is needed.
"""

import numpy as np
from numba import types

from minicnn.engine.cpu.kernels.simd import LANES, add_outer, load, load_rows, splat, store, store_rows
from minicnn.runtime.compiled import compiled, inlined

PANEL = 2 * LANES
ROWS = 6  # 6 rows of 2 registers, 2 of weights, 1 of x: fits into AVX2's 16 registers
ONE_RUN = np.zeros(1, np.int64)
"""The ``starts`` of contiguous rows."""


def panels_size(depth: int, columns: int) -> int:
    """Return the size of the panels of a (depth, columns) matrix."""
    return -(-columns // PANEL) * PANEL * depth


@inlined
def panel_width(columns, j):
    """Return the width of the panel that begins at column j."""
    return LANES if columns - j <= LANES else PANEL


@compiled
def pack(w, at, depth, columns, panels, panel_step):
    """Pack the (depth, columns) matrix at w[at] in panels ``panel_step`` apart, except their padding."""
    whole = columns // PANEL
    left, width = columns - whole * PANEL, panel_width(columns, whole * PANEL)
    for k in range(depth):
        # A row of w at a time, as memory is read fastest in order.
        source, to = at + k * columns, k * PANEL
        for p in range(whole):
            store(panels, to + p * panel_step, load(w, source + p * PANEL, 2))
        source, to = source + whole * PANEL, whole * panel_step + k * width
        for i in range(left):
            panels[to + i] = w[source + i]


def _tile(rows, registers):
    """Return the loop that computes ``rows`` rows of one panel."""
    sums = rows * registers

    @inlined
    def tile(x, at, row_step, depth_step, starts, length, panels, panel, y, y_at, y_step, add):
        total = load_rows(y, y_at, y_step, rows, registers) if add else splat(0.0, sums)
        for run in range(len(starts)):
            start = at + starts[run]
            for k in range(length):
                row = load(panels, panel, registers)
                total = add_outer(total, x, start + k * depth_step, row_step, row)
                panel += registers * LANES
        store_rows(y, y_at, y_step, total, registers)

    return tile


def _tiles(registers):
    """Return the function that computes ``count`` rows of one panel, up to ROWS."""
    tile_1, tile_2, tile_3, tile_4, tile_5, tile_6 = [_tile(rows, registers) for rows in range(1, ROWS + 1)]

    @inlined
    def tiles(count, x, at, row_step, depth_step, starts, length, panels, panel, y, y_at, y_step, add):
        if count == 6:
            tile_6(x, at, row_step, depth_step, starts, length, panels, panel, y, y_at, y_step, add)
        elif count == 5:
            tile_5(x, at, row_step, depth_step, starts, length, panels, panel, y, y_at, y_step, add)
        elif count == 4:
            tile_4(x, at, row_step, depth_step, starts, length, panels, panel, y, y_at, y_step, add)
        elif count == 3:
            tile_3(x, at, row_step, depth_step, starts, length, panels, panel, y, y_at, y_step, add)
        elif count == 2:
            tile_2(x, at, row_step, depth_step, starts, length, panels, panel, y, y_at, y_step, add)
        else:
            tile_1(x, at, row_step, depth_step, starts, length, panels, panel, y, y_at, y_step, add)

    return tiles


_narrow_tiles, _wide_tiles = _tiles(1), _tiles(2)


def _multiply_panel(
    x, at, row_step, depth_step, starts, length, panels, panel, width, y, y_at, y_step, rows, add
):
    """Compute ``rows`` rows for one panel: row i is written, or added, to y[y_at + i·y_step : + width]."""
    # Blocks of nearly equal size: a single row would mostly wait for its sums.
    blocks = (rows + ROWS - 1) // ROWS
    least = rows // max(blocks, 1)
    larger = rows - blocks * least
    a, b = at, y_at
    for block in range(blocks):
        count = least + 1 if block < larger else least
        if width == PANEL:
            _wide_tiles(count, x, a, row_step, depth_step, starts, length, panels, panel, y, b, y_step, add)
        else:
            _narrow_tiles(count, x, a, row_step, depth_step, starts, length, panels, panel, y, b, y_step, add)
        a, b = a + count * row_step, b + count * y_step


_FLOATS, _INT = types.float32[::1], types.int64
_STARTS = types.Array(_INT, 1, "C", readonly=True)  # ONE_RUN is a constant of the kernels

multiply_panel = compiled(
    _multiply_panel,
    types.void(
        *(_FLOATS, _INT, _INT, _INT, _STARTS, _INT), *(_FLOATS, _INT, _INT),
        *(_FLOATS, _INT, _INT, _INT, types.boolean),
    ),
)  # fmt: skip
