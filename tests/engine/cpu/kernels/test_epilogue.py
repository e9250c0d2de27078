"""Bias, ReLU and max-pool in one pass, against plain loops; without codes it gives the same bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from minicnn.engine.cpu.kernels.epilogue import activate
from minicnn.engine.cpu.kernels.gemm import PANEL
from minicnn.engine.cpu.kernels.geometry import Geometry
from minicnn.engine.cpu.kernels.simd import LANES
from minicnn.runtime.compiled import compiled
from tests.engine.cpu.blockwise import UNTOUCHED
from tests.strategies import seeds

ODD = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1, 1, 2, -3], "float32")
NO_CODES = np.zeros(0, np.uint8)


@compiled
def run(g, y, bias, out, n, codes, edge):
    activate(g, y, 0, bias, out, n, 0, g.PH, codes, edge)


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
        "pool_left": p, "plain_pool": kind == "plain", "relu": draw(st.booleans()),
    }  # fmt: skip
    return Geometry(**dict.fromkeys(Geometry._fields, 0) | used)


def loops(g, y, bias):
    """Return the results and codes of an image: the first maximum, the first NaN over all."""
    out, codes = np.empty((g.PH, g.PW, g.OC), "float32"), np.empty((g.PH, g.PW, g.OC), int)
    for ph, pw, c in np.ndindex(out.shape):
        best, code = None, -1
        for i, j in np.ndindex(g.pool_KH, g.pool_KW):
            h, w = ph * g.pool_SH - g.pool_top + i, pw * g.pool_SW - g.pool_left + j
            if not (0 <= h < g.OH and 0 <= w < g.OW):
                continue
            with np.errstate(invalid="ignore"):  # −∞ + ∞ is NaN
                value = y[h, w, c] + bias[c]
            # Of a window of nothing but −∞ the first pixel is the maximum.
            if code < 0 or (not value <= best and not np.isnan(best)):
                best, code = value, i * g.pool_KW + j
        if g.relu and not best > 0:
            code = g.pool_KH * g.pool_KW
        out[ph, pw, c] = 0 if g.relu and best <= 0 else best
        codes[ph, pw, c] = code
    return out, codes


@pytest.mark.parametrize("numbers", [ODD, np.arange(-2, 3, dtype="float32")], ids=["odd", "ties"])
@given(pools(), seeds)
def test_it_is_what_the_loops_say_with_codes_and_without(numbers, g, seed):
    rng = np.random.default_rng(seed)
    y = rng.choice(numbers, (g.OH, g.YW, g.pitch))
    bias = rng.choice(numbers[np.isfinite(numbers) | np.isposinf(numbers)], g.pitch)
    bias[g.OC :] = 0
    expected, expected_codes = loops(g, y, bias)
    out = np.full((2, g.PH, g.PW, g.OC), UNTOUCHED, "float32")
    codes, edge = np.full((2, g.PH, g.PW, g.pitch), 77, np.uint8), np.zeros(LANES, "float32")
    run(g, y.reshape(-1), bias, out.reshape(-1), 1, codes.reshape(-1), edge)
    assert_array_equal(out[1], expected)
    assert_array_equal(codes[1, :, :, : g.OC], expected_codes)
    assert (out[0] == UNTOUCHED).all()
    assert (codes[0] == 77).all()
    predicted = np.full_like(out, UNTOUCHED)
    run(g, y.reshape(-1), bias, predicted.reshape(-1), 1, NO_CODES, edge)
    assert_array_equal(predicted, out)
