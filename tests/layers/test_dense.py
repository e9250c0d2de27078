"""The dense layer: by hand, against the naive loops, and against numerical gradients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from minicnn.errors import ConfigError, ShapeError
from minicnn.layers import Dense
from tests import oracle
from tests.strategies import normal, seeds

pytestmark = pytest.mark.quick

sizes = st.integers(1, 5)


def build(D, units, seed=0, **arguments):
    layer = Dense(units, **arguments)
    layer.build((D,), np.random.default_rng(seed), "float64")
    return layer


def test_one_sample_by_hand():
    layer = build(2, 3)
    layer.params["W"][:] = [[1, 2, 3], [4, 5, 6]]
    layer.params["b"][:] = [10, 20, 30]
    # y = (1·1 + 2·4 + 10, 1·2 + 2·5 + 20, 1·3 + 2·6 + 30)
    assert_array_equal(layer.forward(np.array([[1.0, 2.0]]), training=True), [[19, 32, 45]])
    # dx = (1·1 + 0·2 − 1·3, 1·4 + 0·5 − 1·6); dW[d, u] = x[d]·dy[u]; db = dy
    assert_array_equal(layer.backward(np.array([[1.0, 0.0, -1.0]])), [[-2, -2]])
    assert_array_equal(layer.grads["W"], [[1, 0, -1], [2, 0, -2]])
    assert_array_equal(layer.grads["b"], [1, 0, -1])


@given(N=sizes, D=sizes, units=sizes, seed=seeds)
def test_forward_and_backward_equal_the_loops(N, D, units, seed):
    layer = build(D, units, seed)
    layer.params["b"] += normal(seed, units)
    x, dy = normal(seed, (N, D)), normal(seed + 1, (N, units))
    y = layer.forward(x, training=True)
    assert_allclose(y, oracle.dense_forward(x, layer.params["W"], layer.params["b"]), rtol=1e-12, atol=1e-13)
    results = layer.backward(dy), layer.grads["W"], layer.grads["b"]
    for result, expected in zip(results, oracle.dense_backward(dy, x, layer.params["W"]), strict=True):
        assert_allclose(result, expected, rtol=1e-12, atol=1e-13)


@given(N=sizes, D=sizes, units=sizes, seed=seeds)
def test_gradients_equal_the_numerical_ones(N, D, units, seed):
    layer = build(D, units, seed)
    x, dy = normal(seed, (N, D)), normal(seed + 1, (N, units))
    layer.forward(x, training=True)
    dx = layer.backward(dy)
    for array, gradient in [(x, dx), *((layer.params[name], layer.grads[name]) for name in "Wb")]:
        expected = oracle.numerical_gradient(lambda: np.vdot(layer.forward(x), dy), array)
        assert_allclose(gradient, expected, rtol=1e-7, atol=1e-7)


def test_without_a_bias_there_is_no_b():
    layer = build(3, 2, use_bias=False)
    x = normal(0, (4, 3))
    expected = oracle.dense_forward(x, layer.params["W"], np.zeros(2))
    assert_allclose(layer.forward(x), expected, rtol=1e-12, atol=1e-13)


def test_weights_start_at_the_variance_of_their_fan_in_and_biases_at_zero():
    he = build(100, 200).params["W"]  # 20000 numbers: the variance is known to about 1 %
    assert he.var() == pytest.approx(2 / 100, rel=0.05)
    glorot = build(100, 200, kernel_initializer="glorot_normal").params["W"]
    assert glorot.var() == pytest.approx(2 / 300, rel=0.05)
    assert not build(100, 200).params["b"].any()


@pytest.mark.parametrize(
    "arguments",
    [{"units": 0}, {"units": -3}, {"units": 2.0}, {"units": True}, {"units": 2, "kernel_initializer": "one"}],
    ids=str,
)
def test_bad_arguments_are_rejected_by_name(arguments):
    with pytest.raises(ConfigError, match=list(arguments)[-1]):
        Dense(**arguments)


@pytest.mark.parametrize("input_shape", [(4, 4, 1), (4, 4)])
def test_an_image_is_rejected_with_a_hint_at_flatten(input_shape):
    with pytest.raises(ShapeError, match="Flatten"):
        Dense(2).build(input_shape, np.random.default_rng(0))
