"""ReLU and LeakyReLU: by definition, and against numerical gradients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from minicnn import ops
from minicnn.errors import ConfigError
from minicnn.layers import LeakyReLU, ReLU
from tests import oracle
from tests.strategies import distinct, normal, seeds

pytestmark = pytest.mark.quick

shapes = st.lists(st.integers(1, 4), min_size=2, max_size=4).map(tuple)
LAYERS = pytest.mark.parametrize("make", [ReLU, LeakyReLU, lambda: LeakyReLU(0.3), lambda: LeakyReLU(0)])


def build(layer, shape, dtype="float64"):
    layer.build(shape[1:], np.random.default_rng(0), dtype)
    return layer


def slope(layer):
    return getattr(layer, "negative_slope", 0)


@pytest.mark.parametrize("kernel_set", ops.KERNELS)
@LAYERS
def test_forward_and_backward_are_the_definition(kernel_set, make):
    x = np.array([[-2, -0.5, -0.0, 0, 0.5, 2]])
    dy = np.array([[1, -2, 3, 4, -5, 6]], "float64")
    layer = build(make(), x.shape)
    a = slope(layer)
    with ops.use(kernel_set):
        assert_array_equal(layer.forward(x, training=True), [[-2 * a, -0.5 * a, 0, 0, 0.5, 2]])
        assert_array_equal(layer.backward(dy), [[a, -2 * a, 3 * a, 4 * a, -5, 6]])  # 0 counts as negative


@pytest.mark.parametrize("kernel_set", ops.KERNELS)
@LAYERS
@given(shape=shapes, seed=seeds)
def test_the_gradient_equals_the_numerical_one(kernel_set, make, shape, seed):
    layer = build(make(), shape)
    x, dy = distinct(seed, shape), normal(seed, shape)
    with ops.use(kernel_set):
        layer.forward(x, training=True)
        dx = layer.backward(dy)
        expected = oracle.numerical_gradient(lambda: np.vdot(layer.forward(x), dy), x)
    assert_allclose(dx, expected, rtol=1e-7, atol=1e-7)


@LAYERS
def test_nan_is_not_hidden(make):
    layer = build(make(), (1, 3), "float32")
    assert_array_equal(
        np.isnan(layer.forward(np.array([[np.nan, 1, -1]], "float32"))), [[True, False, False]]
    )


@pytest.mark.parametrize("bad", [-0.1, 1, 1.5, float("nan")])
def test_a_bad_slope_is_rejected(bad):
    with pytest.raises(ConfigError, match="negative_slope"):
        LeakyReLU(bad)
