"""Matrix products y = x @ w, in the one form that dense layers and convolutions share.

    y[i, j] = Σ_k x[i, k] · w[k, j]

A tile of up to ROWS × PANEL results is summed up in registers while k runs: for each k, PANEL
weights are loaded once and multiplied with one x of each row. To be read in order, w is laid out as
*panels*: PANEL columns of it, row after row; missing columns are zeros. The rows of x may be
anywhere: row i begins at ``at + i·row_step`` and consists of runs of ``length`` numbers, which lie
``depth_step`` apart; the runs begin at ``run_at`` from there. A dense layer's row is one run; the
window of a convolution is one run for each row of its kernel, so nothing is copied by im2col.
"""

import numpy as np

from minicnn.kernels.compiled import compiled, inlined
from minicnn.kernels.simd import LANES, add_outer, load, load_rows, splat, store_rows

PANEL = 2 * LANES
ROWS = 6  # 6 rows of 2 registers, 2 of weights, 1 of x: fits into the 16 registers that AVX2 has


def panels_size(depth: int, columns: int) -> int:
    """Return how many numbers the panels of a (depth, columns) matrix hold."""
    return -(-columns // PANEL) * PANEL * depth


@compiled
def pack(w, depth, columns, panels, first, last):
    """Lay out panels ``first`` to ``last`` of w (depth, columns)."""
    for p in range(first, last):
        width = min(columns - p * PANEL, PANEL)
        for k in range(depth):
            to = (p * depth + k) * PANEL
            for j in range(width):
                panels[to + j] = w[k * columns + p * PANEL + j]
            for j in range(width, PANEL):
                panels[to + j] = 0


def _tile(rows):
    """Return the loop that computes ``rows`` rows of one panel."""
    registers = 2 * rows

    @inlined
    def tile(x, at, row_step, depth_step, run_at, length, panels, panel, y, y_at, y_step, add):
        total = load_rows(y, y_at, y_step, rows, 2) if add else splat(0.0, registers)
        for run in range(len(run_at)):
            start = at + run_at[run]
            for k in range(length):
                total = add_outer(total, x, start + k * depth_step, row_step, load(panels, panel, 2))
                panel += PANEL
        store_rows(y, y_at, y_step, total, 2)

    return tile


_tile_1, _tile_2, _tile_3, _tile_4, _tile_5, _tile_6 = [_tile(rows) for rows in range(1, ROWS + 1)]


_FLOATS, _INTS, _INT = "float32[::1]", "int64[::1]", "int64"
_ROWS_OF_X = f"{_FLOATS}, {_INT}, {_INT}, {_INT}, {_INTS}, {_INT}"


def _multiply_panel(x, at, row_step, depth_step, run_at, length, panels, panel, y, y_at, y_step, rows, add):
    """Compute ``rows`` rows of y for one panel: row i goes, or is added, to y[y_at + i·y_step : + PANEL]."""
    blocks = (rows + ROWS - 1) // ROWS
    for block in range(blocks):
        # Blocks of nearly equal size: a block of one row would wait for its sums most of the time.
        i = rows * block // blocks
        count = rows * (block + 1) // blocks - i
        a, b = at + i * row_step, y_at + i * y_step
        if count == 6:
            _tile_6(x, a, row_step, depth_step, run_at, length, panels, panel, y, b, y_step, add)
        elif count == 5:
            _tile_5(x, a, row_step, depth_step, run_at, length, panels, panel, y, b, y_step, add)
        elif count == 4:
            _tile_4(x, a, row_step, depth_step, run_at, length, panels, panel, y, b, y_step, add)
        elif count == 3:
            _tile_3(x, a, row_step, depth_step, run_at, length, panels, panel, y, b, y_step, add)
        elif count == 2:
            _tile_2(x, a, row_step, depth_step, run_at, length, panels, panel, y, b, y_step, add)
        else:
            _tile_1(x, a, row_step, depth_step, run_at, length, panels, panel, y, b, y_step, add)


ONE_RUN = np.zeros(1, np.int64)
"""The ``run_at`` of rows that lie in one piece."""


multiply_panel = compiled(
    _multiply_panel,
    f"void({_ROWS_OF_X}, {_FLOATS}, {_INT}, {_FLOATS}, {_INT}, {_INT}, {_INT}, boolean)",
)


def _multiply(x, at, row_step, depth_step, run_at, depth, panels, columns, y, y_at, rows, tail):
    """Compute ``rows`` rows of y = x @ w, ``columns`` numbers each, without gaps; ``tail`` (rows, PANEL)."""
    for p in range((columns + PANEL - 1) // PANEL):
        j = p * PANEL
        panel = j * depth
        if j + PANEL <= columns:
            multiply_panel(
                x, at, row_step, depth_step, run_at, depth, panels, panel, y, y_at + j, columns, rows, False
            )
            continue
        multiply_panel(x, at, row_step, depth_step, run_at, depth, panels, panel, tail, 0, PANEL, rows, False)
        for i in range(rows):
            for k in range(columns - j):
                y[y_at + i * columns + j + k] = tail[i * PANEL + k]


multiply = compiled(_multiply, f"void({_ROWS_OF_X}, {_FLOATS}, {_INT}, {_FLOATS}, {_INT}, {_INT}, {_FLOATS})")
