"""Dropout: masks, scaling and prediction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from minicnn.errors import ConfigError
from minicnn.layers import Dropout
from tests.strategies import DTYPES, normal, seeds

pytestmark = pytest.mark.quick


def build(rate, shape, seed=0, dtype="float64"):
    layer = Dropout(rate)
    layer.build(shape[1:], np.random.default_rng(seed), dtype)
    return layer


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_fraction_of_zeros_and_the_mean_match_the_rate(rate, dtype):
    x = np.ones((100, 1000), dtype)
    y = build(rate, x.shape, dtype=dtype).forward(x, training=True)
    # 100 000 coins: the share is within 5 standard deviations, √(rate·(1 − rate) / 100 000) each.
    deviation = np.sqrt(rate * (1 - rate) / x.size)
    assert abs((y == 0).mean() - rate) < 5 * deviation
    assert abs(y.mean(dtype="float64") - 1) < 5 * deviation / (1 - rate)
    assert_allclose(np.unique(y), [0, 1 / (1 - rate)], rtol=np.finfo(dtype).eps * 2)


@given(rate=st.floats(0, 0.95), seed=seeds)
def test_backward_uses_the_mask_of_forward(rate, seed):
    shape = 3, 4, 5
    layer = build(rate, shape, seed)
    x, dy = normal(seed, shape), normal(seed + 1, shape)
    mask = layer.forward(x, training=True) / x
    assert_allclose(layer.backward(dy), mask * dy, rtol=1e-14)


def test_prediction_changes_nothing_and_draws_nothing():
    x = normal(0, (2, 50))
    layer, twin = build(0.5, x.shape), build(0.5, x.shape)
    assert_array_equal(layer.forward(x), x)
    assert_array_equal(layer.forward(x, training=True), twin.forward(x, training=True))


def test_a_rate_of_zero_changes_nothing():
    x = normal(0, (2, 50))
    layer = build(0, x.shape)
    assert_array_equal(layer.forward(x, training=True), x)
    assert_array_equal(layer.backward(x), x)


def test_every_batch_has_its_own_mask_and_a_seed_repeats_them():
    x = np.ones((2, 50))
    layer, twin = build(0.5, x.shape, seed=3), build(0.5, x.shape, seed=3)
    masks = [layer.forward(x, training=True) for _ in range(2)]
    assert (masks[0] != masks[1]).any()
    assert (masks[0][0] != masks[0][1]).any()
    for mask in masks:
        assert_array_equal(twin.forward(x, training=True), mask)
    assert (build(0.5, x.shape, seed=4).forward(x, training=True) != masks[0]).any()


def test_two_layers_of_one_generator_have_different_masks():
    rng, x = np.random.default_rng(0), np.ones((1, 100))
    first, second = Dropout(0.5), Dropout(0.5)
    for layer in (first, second):
        layer.build((100,), rng, "float64")
    assert (first.forward(x, training=True) != second.forward(x, training=True)).any()


def test_masks_are_the_same_in_both_dtypes():
    masks = [build(0.3, (4, 50), 0, t).forward(np.ones((4, 50), t), training=True) > 0 for t in DTYPES]
    assert_array_equal(*masks)


@pytest.mark.parametrize("bad", [-0.1, 1, 1.0, 2, float("nan")])
def test_a_bad_rate_is_rejected(bad):
    with pytest.raises(ConfigError, match="rate"):
        Dropout(bad)
