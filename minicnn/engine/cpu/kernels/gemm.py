"""Matrix products y = x @ w, in the one form that dense layers and convolutions share.

    y[i, j] = Σ_k x[i, k] · w[k, j]

A tile of up to ROWS × PANEL results is summed up in registers while k runs: for each k, PANEL
weights are loaded once and multiplied with one x of each row. To be read in order, w is laid out as
*panels*: PANEL columns of it, row after row; missing columns are zeros. If no more than LANES
columns are left for the last panel, it is that *wide* only. The rows of x may be anywhere: row i
begins at ``at + i·row_step`` and consists of runs of ``length`` numbers, which lie ``depth_step``
apart; the runs begin at ``run_at`` from there. A dense layer's row is one run; the window of a
convolution is one run for each row of its kernel, so nothing is copied by im2col.
"""

import numpy as np

from minicnn.engine.cpu.kernels.simd import LANES, add_outer, load, load_rows, splat, store, store_rows
from minicnn.runtime.compiled import compiled, inlined

PANEL = 2 * LANES
ROWS = 6  # 6 rows of 2 registers, 2 of weights, 1 of x: fits into the 16 registers that AVX2 has


def panels_size(depth: int, columns: int) -> int:
    """Return how many numbers the panels of a (depth, columns) matrix hold."""
    return -(-columns // PANEL) * PANEL * depth


@inlined
def panel_width(columns, j):
    """Return how many numbers a row of the panel holds that begins at column j."""
    return LANES if columns - j <= LANES else PANEL


@compiled
def pack(w, at, depth, columns, panels, panel_step):
    """Lay out the (depth, columns) matrix that begins at w[at] in panels, one every ``panel_step``.

    Missing columns are left as they are: zeros.
    """
    whole = columns // PANEL
    left, width = columns - whole * PANEL, panel_width(columns, whole * PANEL)
    for k in range(depth):
        # A row of w at a time: it comes from memory, which is read fastest in order.
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
    def tile(x, at, row_step, depth_step, run_at, length, panels, panel, y, y_at, y_step, add):
        total = load_rows(y, y_at, y_step, rows, registers) if add else splat(0.0, sums)
        for run in range(len(run_at)):
            start = at + run_at[run]
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
    def tiles(count, x, at, row_step, depth_step, run_at, length, panels, panel, y, y_at, y_step, add):
        if count == 6:
            tile_6(x, at, row_step, depth_step, run_at, length, panels, panel, y, y_at, y_step, add)
        elif count == 5:
            tile_5(x, at, row_step, depth_step, run_at, length, panels, panel, y, y_at, y_step, add)
        elif count == 4:
            tile_4(x, at, row_step, depth_step, run_at, length, panels, panel, y, y_at, y_step, add)
        elif count == 3:
            tile_3(x, at, row_step, depth_step, run_at, length, panels, panel, y, y_at, y_step, add)
        elif count == 2:
            tile_2(x, at, row_step, depth_step, run_at, length, panels, panel, y, y_at, y_step, add)
        else:
            tile_1(x, at, row_step, depth_step, run_at, length, panels, panel, y, y_at, y_step, add)

    return tiles


_narrow_tiles, _wide_tiles = _tiles(1), _tiles(2)


_FLOATS, _INTS, _INT = "float32[::1]", "int64[::1]", "int64"
_ROWS_OF_X = f"{_FLOATS}, {_INT}, {_INT}, {_INT}, {_INTS}, {_INT}"


def _multiply_panel(
    x, at, row_step, depth_step, run_at, length, panels, panel, width, y, y_at, y_step, rows, add
):
    """Compute ``rows`` rows of y for one panel: row i goes, or is added, to y[y_at + i·y_step : + width]."""
    # Blocks of nearly equal size: a block of one row would wait for its sums most of the time.
    blocks = (rows + ROWS - 1) // ROWS
    least = rows // max(blocks, 1)
    larger = rows - blocks * least
    a, b = at, y_at
    for block in range(blocks):
        count = least + 1 if block < larger else least
        if width == PANEL:
            _wide_tiles(count, x, a, row_step, depth_step, run_at, length, panels, panel, y, b, y_step, add)
        else:
            _narrow_tiles(count, x, a, row_step, depth_step, run_at, length, panels, panel, y, b, y_step, add)
        a, b = a + count * row_step, b + count * y_step


ONE_RUN = np.zeros(1, np.int64)
"""The ``run_at`` of rows that lie in one piece."""


multiply_panel = compiled(
    _multiply_panel,
    f"void({_ROWS_OF_X}, {_FLOATS}, {_INT}, {_INT}, {_FLOATS}, {_INT}, {_INT}, {_INT}, boolean)",
)


@inlined
def multiply(x, at, row_step, depth_step, run_at, depth, panels, columns, y, y_at, rows, tail):
    """Compute ``rows`` rows of y = x @ w, ``columns`` numbers each, without gaps; ``tail`` (rows, PANEL)."""
    for p in range((columns + PANEL - 1) // PANEL):
        j = p * PANEL
        panel, width, last = j * depth, panel_width(columns, j), j + PANEL > columns
        to, to_at, to_step = (tail, 0, PANEL) if last else (y, y_at + j, columns)
        multiply_panel(
            x, at, row_step, depth_step, run_at, depth, panels, panel, width, to, to_at, to_step, rows, False
        )
        if last:
            for i in range(rows):
                for k in range(columns - j):
                    y[y_at + i * columns + j + k] = tail[i * PANEL + k]
