"""The way back through pool and ReLU, LANES filters at a time, against plain loops."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from minicnn.engine.cpu.kernels.gemm import PANEL
from minicnn.engine.cpu.kernels.geometry import Geometry
from minicnn.engine.cpu.kernels.simd import LANES, store
from minicnn.engine.cpu.kernels.unpool import unpool
from minicnn.runtime.compiled import compiled
from tests.engine.cpu.blockwise import UNTOUCHED
from tests.strategies import seeds, whole


@compiled
def unpool_and_store_sums(g, dy, codes, n, c, z, at, line, step, edge, sums):
    store(sums, 0, unpool(g, dy, codes, n, c, z, at, line, step, edge))


class Place(NamedTuple):
    """Where in z the pixels of an image go."""

    at: int
    line: int
    step: int


def sizes(PH, PW, OC, pooled):
    pitch = -(-OC // PANEL) * PANEL
    used = {"PH": PH, "PW": PW, "OC": OC, "pitch": pitch, "plain_pool": pooled}
    return Geometry(**dict.fromkeys(Geometry._fields, 0) | used)


def codes_of(g, images, seed=0):
    """Draw cells of the windows and closed ones, for the missing filters too."""
    closed = 4 if g.plain_pool else 1
    shape = images, g.PH, g.PW, g.pitch
    return np.random.default_rng(seed).integers(0, closed + 1, shape, np.uint8)


def cells_of(g, ph, pw):
    """Return the pixels of a window, in the order of their codes."""
    if not g.plain_pool:
        return [(ph, pw)]
    return [(2 * ph, 2 * pw), (2 * ph, 2 * pw + 1), (2 * ph + 1, 2 * pw), (2 * ph + 1, 2 * pw + 1)]


def run(g, dy, codes, n, c, place, size):
    z, edge, sums = np.full(size, UNTOUCHED), np.full(LANES, np.nan, "float32"), np.empty(LANES, "float32")
    unpool_and_store_sums(g, dy.reshape(-1), codes.reshape(-1), n, c, z, *place, edge, sums)
    return z, sums


def loops(g, dy, codes, n, c, place, size):
    z, sums = np.full(size, UNTOUCHED), np.zeros(LANES, "float32")
    for ph, pw, k in np.ndindex(g.PH, g.PW, LANES):
        for cell, (h, w) in enumerate(cells_of(g, ph, pw)):
            open_here = c + k < g.OC and codes[n, ph, pw, c + k] == cell
            value = dy[n, ph, pw, c + k] if open_here else 0
            z[place.at + h * place.line + w * place.step + k] = value
            sums[k] += value
    return z, sums


@st.composite
def images(draw):
    """Draw sizes, the size of the image before the pool, and a place for it, with gaps of any size."""
    PH, PW = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    pooled = draw(st.booleans())
    H, W = PH, PW
    if pooled:
        H, W = 2 * PH + draw(st.integers(0, 1)), 2 * PW + draw(st.integers(0, 1))
    step = LANES + draw(st.integers(0, 5))
    place = Place(draw(st.integers(0, 7)), W * step + draw(st.integers(0, 7)), step)
    return sizes(PH, PW, draw(st.integers(1, 2 * PANEL + 3)), pooled), (H, W), place


@given(images(), st.integers(0, 2), st.data(), seeds)
def test_each_gradient_goes_to_its_own_pixel_and_zeros_to_the_rest_of_the_window(drawn, n, data, seed):
    g, (H, W), place = drawn
    c = LANES * data.draw(st.integers(0, (g.OC - 1) // LANES))
    dy = whole(seed, (4, g.PH, g.PW, g.OC), "float32")
    dy[np.arange(4) != n] = np.nan  # the other images are not read
    arguments = g, dy, codes_of(g, 4, seed), n, c, place, place.at + (H - 1) * place.line + W * place.step + 5
    z, sums = run(*arguments)
    expected, expected_sums = loops(*arguments)
    assert_array_equal(z, expected)
    assert_array_equal(sums, expected_sums)


@pytest.mark.parametrize(("H", "W"), [(3, 3), (2, 3), (5, 4), (5, 5)])
def test_a_last_row_or_column_that_no_pool_covers_stays_as_it_is(H, W):
    g = sizes(H // 2, W // 2, LANES, True)
    dy, codes = np.ones((1, g.PH, g.PW, g.OC), "float32"), codes_of(g, 1)
    z, _ = run(g, dy, codes, 0, 0, Place(0, W * LANES, LANES), H * W * LANES)
    covered = np.zeros((H, W, LANES), bool)
    covered[: 2 * g.PH, : 2 * g.PW] = True
    assert_array_equal(z.reshape(H, W, LANES) == UNTOUCHED, ~covered)


@pytest.mark.parametrize("filters", range(1, LANES))
def test_filters_that_do_not_exist_get_zeros(filters):
    g = sizes(2, 2, LANES + filters, False)
    dy, codes = np.ones((1, 2, 2, g.OC), "float32"), np.zeros((1, 2, 2, g.pitch), np.uint8)
    z, sums = run(g, dy, codes, 0, LANES, Place(0, 2 * LANES, LANES), 4 * LANES)
    exists = np.arange(LANES) < filters
    assert_array_equal(z.reshape(4, LANES), np.tile(exists, (4, 1)))
    assert_array_equal(sums, 4 * exists)


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("value", [3, np.nan, np.inf])
def test_a_closed_code_gives_zeros(pooled, value):
    g = sizes(2, 3, LANES + 1, pooled)
    dy = np.full((1, 2, 3, g.OC), value, "float32")
    codes = np.full((1, 2, 3, g.pitch), 4 if pooled else 1, np.uint8)
    cells = 4 if pooled else 1
    for c in (0, LANES):
        place = Place(0, 6 * LANES if pooled else 3 * LANES, LANES)
        z, sums = run(g, dy, codes, 0, c, place, cells * 6 * LANES)
        assert_array_equal(z, 0)
        assert_array_equal(sums, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("cell", [None, 0, 1, 2, 3])
def test_nan_and_infinity_go_to_their_own_pixel_only(bad, cell):
    g = sizes(2, 2, LANES + 2, cell is not None)
    W, place = (4, Place(0, 4 * LANES, LANES)) if g.plain_pool else (2, Place(0, 2 * LANES, LANES))
    dy, codes = np.ones((1, 2, 2, g.OC), "float32"), codes_of(g, 1)
    for c, k in ((0, LANES - 1), (LANES, 1)):
        dy[:], dy[0, 1, 0, c + k], codes[0, 1, 0, c + k] = 1, bad, cell or 0
        z, sums = run(g, dy, codes, 0, c, place, W * W * LANES)
        expected = np.zeros((W, W, LANES), bool)
        expected[(*cells_of(g, 1, 0)[cell or 0], k)] = True
        assert_array_equal(~np.isfinite(z), expected.reshape(-1))
        assert_array_equal(z[expected.reshape(-1)], np.float32(bad))
        assert_array_equal(~np.isfinite(sums), np.arange(LANES) == k)
        assert_array_equal(sums[k], np.float32(bad))
