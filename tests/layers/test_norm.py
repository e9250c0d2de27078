"""Batch normalization: against the naive loops and numerical gradients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from minicnn.errors import ConfigError
from minicnn.layers import BatchNorm
from tests import oracle
from tests.strategies import normal, seeds

pytestmark = pytest.mark.quick

images = st.tuples(*4 * [st.integers(1, 3)])
vectors = st.tuples(*2 * [st.integers(1, 5)])


def build(shape, seed=0, **arguments):
    """Return a float64 layer whose gamma and beta are not 1 and 0."""
    layer = BatchNorm(**arguments)
    layer.build(shape[1:], np.random.default_rng(0), "float64")
    layer.params["gamma"] += normal(seed, shape[-1])
    layer.params["beta"] += normal(seed + 1, shape[-1])
    return layer


@given(shape=images | vectors, epsilon=st.sampled_from([1e-5, 1e-3, 0.5]), seed=seeds)
def test_forward_and_backward_equal_the_loops(shape, epsilon, seed):
    layer = build(shape, seed, epsilon=epsilon)
    gamma, beta = layer.params["gamma"], layer.params["beta"]
    x, dy = 2 * normal(seed, shape) + 3, normal(seed + 1, shape)
    y = layer.forward(x, training=True)
    expected = oracle.batchnorm_forward(x, gamma, beta, *oracle.batchnorm_statistics(x), epsilon)
    assert_allclose(y, expected, rtol=1e-9, atol=1e-9)
    results = layer.backward(dy), layer.grads["gamma"], layer.grads["beta"]
    for result, expected in zip(results, oracle.batchnorm_backward(dy, x, gamma, epsilon), strict=True):
        assert_allclose(result, expected, rtol=1e-9, atol=1e-9)


@given(shape=images | vectors, seed=seeds)
def test_gradients_equal_the_numerical_ones(shape, seed):
    layer = build(shape, seed, epsilon=0.1)  # so large that a step of 1e-5 is small beside √(σ² + ε)
    x, dy = normal(seed, shape), normal(seed + 1, shape)
    layer.forward(x, training=True)
    dx, grads = layer.backward(dy), dict(layer.grads)
    for array, gradient in [(x, dx), *((layer.params[name], grads[name]) for name in grads)]:
        expected = oracle.numerical_gradient(lambda: np.vdot(layer.forward(x, training=True), dy), array)
        assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("shape", [(8, 3, 4, 2), (50, 3)])
def test_each_channel_has_mean_beta_and_deviation_gamma(shape):
    layer = build(shape, epsilon=1e-12)
    y = layer.forward(5 * normal(0, shape) + 7, training=True).reshape(-1, shape[-1])
    assert_allclose(y.mean(axis=0), layer.params["beta"], rtol=1e-10, atol=1e-12)
    assert_allclose(y.std(axis=0), abs(layer.params["gamma"]), rtol=1e-10)


def test_running_averages_by_hand():
    # Batch 1: 1, 3 → mean 2, variance 1 (divided by M = 2). Batch 2: 0, 8 → mean 4, variance 16.
    # running ← 0.75·running + 0.25·batch, from 0 and 1:
    #   mean: 0.25·2 = 0.5,           then 0.75·0.5 + 0.25·4 = 1.375
    #   var:  0.75·1 + 0.25·1 = 1,    then 0.75·1 + 0.25·16 = 4.75
    layer = BatchNorm(momentum=0.75)
    layer.build((1,), np.random.default_rng(0), "float64")
    layer.forward(np.array([[1.0], [3.0]]), training=True)
    assert (layer.state["running_mean"].item(), layer.state["running_var"].item()) == (0.5, 1.0)
    layer.forward(np.array([[0.0], [8.0]]), training=True)
    assert (layer.state["running_mean"].item(), layer.state["running_var"].item()) == (1.375, 4.75)


@given(shape=images | vectors, seed=seeds)
def test_prediction_uses_the_running_averages_without_changing_them(shape, seed):
    layer = build(shape, seed, momentum=0.5)
    layer.forward(normal(seed, shape) + 1, training=True)
    mean, var = (layer.state[name].copy() for name in ("running_mean", "running_var"))
    x = normal(seed + 1, shape)
    expected = oracle.batchnorm_forward(x, layer.params["gamma"], layer.params["beta"], mean, var, 1e-5)
    assert_allclose(layer.forward(x), expected, rtol=1e-10, atol=1e-10)
    assert_array_equal(layer.state["running_mean"], mean)
    assert_array_equal(layer.state["running_var"], var)


def test_a_fresh_layer_predicts_almost_the_identity():
    layer = BatchNorm()
    layer.build((3,), np.random.default_rng(0), "float64")
    x = normal(0, (2, 3))
    assert_allclose(layer.forward(x), x / np.sqrt(1 + 1e-5), rtol=1e-15)


def test_one_vector_alone_normalizes_to_beta_and_has_no_gradient():
    layer = build((1, 4))
    assert_array_equal(layer.forward(normal(0, (1, 4)), training=True), layer.params["beta"][None])
    assert_array_equal(layer.backward(normal(1, (1, 4))), np.zeros((1, 4)))
    assert_array_equal(layer.grads["gamma"], np.zeros(4))


@pytest.mark.parametrize(("shape", "moved"), [((1, 4), False), ((1, 1, 1, 4), False), ((1, 1, 2, 4), True)])
def test_a_single_value_per_channel_does_not_change_the_running_averages(shape, moved):
    layer = build(shape)
    before = dict(layer.state)
    layer.forward(normal(0, shape), training=True)
    for name in ("running_mean", "running_var"):
        assert np.array_equal(layer.state[name], before[name]) != moved, name


def test_a_constant_channel_stays_finite():
    layer = build((4, 2, 2, 1))
    y = layer.forward(np.full((4, 2, 2, 1), 3.0), training=True)
    dx = layer.backward(normal(0, y.shape))
    assert_array_equal(y, np.broadcast_to(layer.params["beta"], y.shape))
    assert np.isfinite(dx).all()


def test_a_large_mean_does_not_drown_the_variance_in_float32():
    # E[x²] − E[x]² would lose every digit: 10⁶ plus numbers of size 1 has 24 bits for 40 of x².
    layer = BatchNorm()
    layer.build((1,), np.random.default_rng(0), "float32")
    x = np.array([[1e4], [1e4 + 1], [1e4 + 2]], "float32")
    y = layer.forward(x, training=True)
    assert_allclose(y.ravel(), [-np.sqrt(1.5), 0, np.sqrt(1.5)], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "arguments",
    [
        {"momentum": -0.1},
        {"momentum": 1},
        {"momentum": float("nan")},
        {"epsilon": 0},
        {"epsilon": -1e-5},
        {"epsilon": float("nan")},
    ],
    ids=str,
)
def test_bad_arguments_are_rejected_by_name(arguments):
    with pytest.raises(ConfigError, match=next(iter(arguments))):
        BatchNorm(**arguments)
