"""Bias, ReLU and max-pool in one pass, forward and backward, against plain loops."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from minicnn.engine.cpu.kernels.epilogue import epilogue, unpool
from minicnn.engine.cpu.kernels.gemm import PANEL
from minicnn.engine.cpu.kernels.geometry import Geometry
from minicnn.engine.cpu.kernels.simd import LANES, store
from minicnn.runtime.compiled import compiled
from tests.engine.cpu.blockwise import UNTOUCHED
from tests.strategies import seeds, whole

ODD = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1, 1, 2, -3], "float32")
NO_SWITCHES = np.zeros(0, np.uint8)


@compiled
def run(g, y, bias, out, n, switches, edge):
    epilogue(g, y, 0, bias, out, n, 0, g.PH, switches, edge)


@st.composite
def pools(draw):
    """Draw sizes with no pool, a pool of 2 × 2 side by side, or another one with padding."""
    kind, OC = draw(st.sampled_from(["none", "plain", "padded"])), draw(st.integers(1, PANEL + LANES + 3))
    PH, PW = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    k, s, p = {"none": (1, 1, 0), "plain": (2, 2, 0), "padded": (3, 2, 1)}[kind]
    H, W = s * (PH - 1) + k - 2 * p, s * (PW - 1) + k - 2 * p
    used = {
        "OH": H, "OW": W, "YW": W + draw(st.integers(0, 2)), "OC": OC, "pitch": -(-OC // PANEL) * PANEL,
        "PH": PH, "PW": PW, "pool_KH": k, "pool_KW": k, "pool_SH": s, "pool_SW": s, "pool_top": p,
        "pool_left": p, "pool_2x2": kind == "plain", "relu": draw(st.booleans()),
    }  # fmt: skip
    return Geometry(**dict.fromkeys(Geometry._fields, 0) | used)


def loops(g, y, bias):
    """Return the results and switches of an image; the first NaN wins, else the first maximum."""
    out, switches = np.empty((g.PH, g.PW, g.OC), "float32"), np.empty((g.PH, g.PW, g.OC), int)
    for ph, pw, c in np.ndindex(out.shape):
        best, switch = None, -1
        for i, j in np.ndindex(g.pool_KH, g.pool_KW):
            h, w = ph * g.pool_SH - g.pool_top + i, pw * g.pool_SW - g.pool_left + j
            if not (0 <= h < g.OH and 0 <= w < g.OW):
                continue
            with np.errstate(invalid="ignore"):  # −∞ + ∞ is NaN
                value = y[h, w, c] + bias[c]
            # If all pixels are −∞, the first one is the maximum.
            if switch < 0 or (not value <= best and not np.isnan(best)):
                best, switch = value, i * g.pool_KW + j
        if g.relu and not best > 0:
            switch = g.pool_KH * g.pool_KW
        out[ph, pw, c] = 0 if g.relu and best <= 0 else best
        switches[ph, pw, c] = switch
    return out, switches


@pytest.mark.parametrize("numbers", [ODD, np.arange(-2, 3, dtype="float32")], ids=["odd", "ties"])
@given(pools(), seeds)
def test_the_epilogue_equals_the_loops_with_switches_and_without(numbers, g, seed):
    rng = np.random.default_rng(seed)
    y = rng.choice(numbers, (g.OH, g.YW, g.pitch))
    bias = rng.choice(numbers[np.isfinite(numbers) | np.isposinf(numbers)], g.pitch)
    bias[g.OC :] = 0
    expected, expected_switches = loops(g, y, bias)
    out = np.full((2, g.PH, g.PW, g.OC), UNTOUCHED, "float32")
    switches, edge = np.full((2, g.PH, g.PW, g.pitch), 77, np.uint8), np.zeros(LANES, "float32")
    run(g, y.reshape(-1), bias, out.reshape(-1), 1, switches.reshape(-1), edge)
    assert_array_equal(out[1], expected)
    assert_array_equal(switches[1, :, :, : g.OC], expected_switches)
    assert (out[0] == UNTOUCHED).all()
    assert (switches[0] == 77).all()
    predicted = np.full_like(out, UNTOUCHED)
    run(g, y.reshape(-1), bias, predicted.reshape(-1), 1, NO_SWITCHES, edge)
    assert_array_equal(predicted, out)


# --- backward ----------------------------------------------------------------------------------------


@compiled
def unpool_and_store_sums(g, dy, switches, n, c, z, at, line, step, edge, sums):
    store(sums, 0, unpool(g, dy, switches, n, c, z, at, line, step, edge))


class Place(NamedTuple):
    """Where in z the pixels of an image go."""

    at: int
    line: int
    step: int


def sizes(PH, PW, OC, pooled):
    pitch = -(-OC // PANEL) * PANEL
    used = {"PH": PH, "PW": PW, "OC": OC, "pitch": pitch, "pool_2x2": pooled}
    return Geometry(**dict.fromkeys(Geometry._fields, 0) | used)


def switches_of(g, images, seed=0):
    """Draw cells of the windows and closed ones, for the missing filters too."""
    closed = 4 if g.pool_2x2 else 1
    shape = images, g.PH, g.PW, g.pitch
    return np.random.default_rng(seed).integers(0, closed + 1, shape, np.uint8)


def cells_of(g, ph, pw):
    """Return the pixels of a window, in the order of their switches."""
    if not g.pool_2x2:
        return [(ph, pw)]
    return [(2 * ph, 2 * pw), (2 * ph, 2 * pw + 1), (2 * ph + 1, 2 * pw), (2 * ph + 1, 2 * pw + 1)]


def run_unpool(g, dy, switches, n, c, place, size):
    z, edge, sums = np.full(size, UNTOUCHED), np.full(LANES, np.nan, "float32"), np.empty(LANES, "float32")
    unpool_and_store_sums(g, dy.reshape(-1), switches.reshape(-1), n, c, z, *place, edge, sums)
    return z, sums


def unpool_loops(g, dy, switches, n, c, place, size):
    z, sums = np.full(size, UNTOUCHED), np.zeros(LANES, "float32")
    for ph, pw, k in np.ndindex(g.PH, g.PW, LANES):
        for cell, (h, w) in enumerate(cells_of(g, ph, pw)):
            open_here = c + k < g.OC and switches[n, ph, pw, c + k] == cell
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
def test_each_gradient_goes_to_its_pixel_and_zeros_to_the_rest_of_the_window(drawn, n, data, seed):
    g, (H, W), place = drawn
    c = LANES * data.draw(st.integers(0, (g.OC - 1) // LANES))
    dy = whole(seed, (4, g.PH, g.PW, g.OC), "float32")
    dy[np.arange(4) != n] = np.nan  # the other images are not read
    arguments = (
        g,
        dy,
        switches_of(g, 4, seed),
        n,
        c,
        place,
        place.at + (H - 1) * place.line + W * place.step + 5,
    )
    z, sums = run_unpool(*arguments)
    expected, expected_sums = unpool_loops(*arguments)
    assert_array_equal(z, expected)
    assert_array_equal(sums, expected_sums)


@pytest.mark.parametrize(("H", "W"), [(3, 3), (2, 3), (5, 4), (5, 5)])
def test_a_last_row_or_column_that_no_pool_covers_is_not_written(H, W):
    g = sizes(H // 2, W // 2, LANES, True)
    dy, switches = np.ones((1, g.PH, g.PW, g.OC), "float32"), switches_of(g, 1)
    z, _ = run_unpool(g, dy, switches, 0, 0, Place(0, W * LANES, LANES), H * W * LANES)
    covered = np.zeros((H, W, LANES), bool)
    covered[: 2 * g.PH, : 2 * g.PW] = True
    assert_array_equal(z.reshape(H, W, LANES) == UNTOUCHED, ~covered)


@pytest.mark.parametrize("filters", range(1, LANES))
def test_filters_beyond_the_last_get_zeros(filters):
    g = sizes(2, 2, LANES + filters, False)
    dy, switches = np.ones((1, 2, 2, g.OC), "float32"), np.zeros((1, 2, 2, g.pitch), np.uint8)
    z, sums = run_unpool(g, dy, switches, 0, LANES, Place(0, 2 * LANES, LANES), 4 * LANES)
    exists = np.arange(LANES) < filters
    assert_array_equal(z.reshape(4, LANES), np.tile(exists, (4, 1)))
    assert_array_equal(sums, 4 * exists)


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("value", [3, np.nan, np.inf])
def test_a_closed_switch_gives_zeros(pooled, value):
    g = sizes(2, 3, LANES + 1, pooled)
    dy = np.full((1, 2, 3, g.OC), value, "float32")
    switches = np.full((1, 2, 3, g.pitch), 4 if pooled else 1, np.uint8)
    cells = 4 if pooled else 1
    for c in (0, LANES):
        place = Place(0, 6 * LANES if pooled else 3 * LANES, LANES)
        z, sums = run_unpool(g, dy, switches, 0, c, place, cells * 6 * LANES)
        assert_array_equal(z, 0)
        assert_array_equal(sums, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("cell", [None, 0, 1, 2, 3])
def test_nan_and_infinity_go_to_their_own_pixel_only(bad, cell):
    g = sizes(2, 2, LANES + 2, cell is not None)
    W, place = (4, Place(0, 4 * LANES, LANES)) if g.pool_2x2 else (2, Place(0, 2 * LANES, LANES))
    dy, switches = np.ones((1, 2, 2, g.OC), "float32"), switches_of(g, 1)
    for c, k in ((0, LANES - 1), (LANES, 1)):
        dy[:], dy[0, 1, 0, c + k], switches[0, 1, 0, c + k] = 1, bad, cell or 0
        z, sums = run_unpool(g, dy, switches, 0, c, place, W * W * LANES)
        expected = np.zeros((W, W, LANES), bool)
        expected[(*cells_of(g, 1, 0)[cell or 0], k)] = True
        assert_array_equal(~np.isfinite(z), expected.reshape(-1))
        assert_array_equal(z[expected.reshape(-1)], np.float32(bad))
        assert_array_equal(~np.isfinite(sums), np.arange(LANES) == k)
        assert_array_equal(sums[k], np.float32(bad))
