"""Packed panels, and products of rows anywhere in an array with them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from minicnn.engine.cpu.kernels import gemm
from minicnn.engine.cpu.kernels.gemm import ONE_RUN, PANEL, ROWS
from minicnn.engine.cpu.kernels.simd import LANES
from tests.engine.cpu.blockwise import UNTOUCHED, rounding
from tests.strategies import normal, seeds, whole

rows = st.integers(1, 3 * ROWS + 2)
depths = st.integers(1, 9)
columns = st.integers(1, 2 * PANEL + 3)
steps = st.integers(1, 20)


def packed(w):
    panels = np.zeros(gemm.panels_size(*w.shape), "float32")
    gemm.pack(w.reshape(-1), 0, *w.shape, panels, PANEL * len(w))
    return panels


@given(depth=depths, columns=columns, at=st.integers(0, 3), gap=st.integers(0, 3))
def test_panels_contain_their_columns_row_after_row(depth, columns, at, gap):
    w = np.arange(1, depth * columns + 1, dtype="float32").reshape(depth, columns)
    step, count = PANEL * depth + gap, -(-columns // PANEL)
    panels = np.full(count * step, UNTOUCHED)
    gemm.pack(np.pad(w.reshape(-1), (at, 0)), at, depth, columns, panels, step)
    for p in range(count):
        there = w[:, p * PANEL : (p + 1) * PANEL]
        width = LANES if there.shape[1] <= LANES else PANEL
        panel = panels[p * step : p * step + depth * width].reshape(depth, width)
        assert_array_equal(panel[:, : there.shape[1]], there)
        assert_array_equal(panel[:, there.shape[1] :], UNTOUCHED)
        assert_array_equal(panels[p * step + depth * width : (p + 1) * step], UNTOUCHED)


class Rows:
    """Rows of x at at + i·row_step + a run's start + k·depth_step, with NaN between them."""

    def __init__(self, draw, seed, at, rows, row_step, depth_step, starts, length):
        starts = np.array(starts, np.int64)
        along = (starts[:, None] + np.arange(length) * depth_step).ravel()
        places = at + np.arange(rows)[:, None] * row_step + along
        self.flat = np.full(places.max() + 1, np.nan, "float32")
        self.flat[places] = draw(seed, self.flat.size)[places]
        self.matrix = self.flat[places]
        self.arguments = self.flat, at, row_step, depth_step, starts, length


def multiply(x, w):
    """Return x.matrix @ w, computed panel by panel."""
    (rows, depth), columns = x.matrix.shape, w.shape[1]
    panels, pitch = packed(w), -(-columns // PANEL) * PANEL
    y = np.full((rows, pitch), UNTOUCHED)
    for j in range(0, columns, PANEL):
        width = LANES if columns - j <= LANES else PANEL
        gemm.multiply_panel(*x.arguments, panels, j * depth, width, y.reshape(-1), j, pitch, rows, False)
    return y[:, :columns]


@given(rows, depths, columns, st.integers(0, 3), steps, steps, seeds)
def test_the_panels_of_a_product_form_the_product(rows, depth, columns, at, row_step, depth_step, seed):
    x = Rows(whole, seed, at, rows, row_step, depth_step, ONE_RUN, depth)
    w = whole(seed + 1, (depth, columns), "float32")
    assert_array_equal(multiply(x, w), x.matrix @ w)


@given(
    rows,
    st.lists(st.integers(0, 30), min_size=1, max_size=3),
    depths,
    steps,
    steps,
    st.integers(0, 4),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from([LANES, PANEL]),
    seeds,
)
def test_multiply_panel_multiplies_runs_anywhere_and_assigns_or_adds(
    rows, starts, length, row_step, depth_step, to, gap, add, width, seed
):
    x = Rows(whole, seed, 2, rows, row_step, depth_step, starts, length)
    w = whole(seed + 1, (len(starts) * length, PANEL + width), "float32")
    step = width + gap
    y = whole(seed + 2, to + rows * step + PANEL, "float32")
    expected = y.copy()
    for i, row in enumerate(x.matrix @ w[:, PANEL:]):
        start = to + i * step
        expected[start : start + width] = row + add * y[start : start + width]
    gemm.multiply_panel(*x.arguments, packed(w), PANEL * len(w), width, y, to, step, rows, add)
    assert_array_equal(y, expected)


@given(rows, st.integers(1, 200), columns, seeds)
def test_products_of_real_numbers_are_within_the_rounding_of_float32(rows, depth, columns, seed):
    x = Rows(normal, seed, 0, rows, depth, 1, ONE_RUN, depth)
    w = normal(seed + 1, (depth, columns), "float32")
    exact = x.matrix.astype("float64") @ w.astype("float64")
    largest_error = rounding(depth) * (np.abs(x.matrix).astype("float64") @ np.abs(w))
    assert (np.abs(multiply(x, w) - exact) <= largest_error).all()
