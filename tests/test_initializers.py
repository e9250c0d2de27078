"""Initial weights: the promised variance, and the same weights for a seed in every dtype."""

import math

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minicnn import initializers
from minicnn.errors import ConfigError
from tests.strategies import DTYPES

pytestmark = pytest.mark.quick

FAN_IN, FAN_OUT, SHAPE = 200, 1000, (2, 100, 500)
VARIANCES = {
    "he_normal": 2 / FAN_IN,
    "he_uniform": 2 / FAN_IN,
    "glorot_normal": 2 / (FAN_IN + FAN_OUT),
    "glorot_uniform": 2 / (FAN_IN + FAN_OUT),
}
NAMES = pytest.mark.parametrize("name", VARIANCES)


def draw(name, seed=0, dtype="float64", shape=SHAPE):
    return initializers.get(name)(np.random.default_rng(seed), shape, np.dtype(dtype))


@NAMES
def test_the_mean_is_zero_and_the_variance_as_promised(name):
    w, variance = draw(name), VARIANCES[name]
    # Of 100 000 numbers; their squares deviate from the variance by at most √2 of it, each.
    assert abs(w.mean()) < 5 * math.sqrt(variance / w.size)
    assert abs(w.var() - variance) < 5 * math.sqrt(2 / w.size) * variance


@NAMES
def test_a_uniform_fills_its_interval_and_a_normal_has_tails(name):
    deviations = abs(draw(name)).max() / math.sqrt(VARIANCES[name])
    if name.endswith("uniform"):  # U(−a, a) has the variance a² / 3
        assert 0.999 * math.sqrt(3) < deviations <= math.sqrt(3)
    else:
        assert deviations > 3.5


@NAMES
def test_a_seed_gives_the_same_weights_in_every_dtype(name):
    w32, w64 = (draw(name, dtype=dtype) for dtype in DTYPES)
    assert (w32.dtype, w64.dtype) == DTYPES
    assert w32.shape == w64.shape == SHAPE
    assert_array_equal(w32, w64.astype("float32"))
    assert_array_equal(draw(name), w64)
    assert (draw(name, seed=1) != w64).any()


@NAMES
def test_both_dtypes_leave_the_generator_at_the_same_place(name):
    following = []
    for dtype in DTYPES:
        rng = np.random.default_rng(0)
        initializers.get(name)(rng, (3, 5), np.dtype(dtype))
        following.append(rng.random())
    assert following[0] == following[1]


def test_check_returns_a_known_name_and_rejects_any_other():
    assert initializers.check("he_normal") == "he_normal"
    for find in (initializers.check, initializers.get):
        with pytest.raises(
            ConfigError, match=r"'ones'.*he_normal, he_uniform, glorot_normal, glorot_uniform"
        ):
            find("ones")
