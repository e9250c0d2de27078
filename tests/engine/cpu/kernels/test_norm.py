"""Batch normalization with its ReLU and pool, over flat arrays and in parts of the batch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from minicnn.engine.cpu.blocks import NormBlock, zeros
from minicnn.engine.cpu.kernels import norm
from minicnn.engine.cpu.kernels.simd import LANES
from minicnn.layers import BatchNorm, MaxPool2D, ReLU
from tests import oracle
from tests.engine.cpu.blockwise import UNIT, Result, built, run_block, run_layers, run_stages
from tests.strategies import normal, seeds, whole

channels = st.sampled_from([1, 3, LANES, 2 * LANES + 1])
parts = st.integers(1, 3)


def arrays(layers, shape, seed, draw=normal):
    """Build the layers; return images and gradients of their results."""
    built(layers, shape[1:], seed)
    layers[0].params["gamma"][...] = draw(seed + 2, shape[-1]) + 0.5  # not 0, nor is β
    layers[0].params["beta"][...] = normal(seed + 3, shape[-1])
    return draw(seed, shape, "float32"), normal(seed + 1, (shape[0], *layers[-1].output_shape), "float32")


def in_float64(layers, x, dy):
    """Return the results of copies of the layers in float64, with the same parameters."""
    copies = built([type(layer)(**layer.config()) for layer in layers], x.shape[1:], dtype="float64")
    for name, array in layers[0].params.items():
        copies[0].params[name][...] = array
    return run_layers(copies, x.astype("float64"), dy.astype("float64")), copies[0]


def statistics(x):
    """Return mean, standard deviation's inverse and largest |x̂| of each channel, in float64."""
    rows = x.astype("float64").reshape(-1, x.shape[-1])
    inv_std = 1 / np.sqrt(rows.var(axis=0) + 1e-5)
    return rows.mean(axis=0), inv_std, np.abs((rows - rows.mean(axis=0)) * inv_std).max(axis=0)


def assert_rounded(ours, exact, layer, x, dy, reuse=1):
    """Compare with exact results; a pixel gets at most ``reuse`` gradients.

    The bounds follow the formulas, with the mean rounded to float32 and each operation by one unit:
    x̂ errs by (7·|x̂| + |mean|·inv_std) units.
    """
    mean, inv_std, x_hat = statistics(x)
    gamma, beta = np.abs(layer.params["gamma"]), np.abs(layer.params["beta"])
    error = UNIT * (7 * x_hat + np.abs(mean) * inv_std)
    dz = reuse * np.abs(dy).reshape(-1, len(gamma))
    total, largest = dz.sum(axis=0), dz.max(axis=0)
    assert (np.abs(ours.y - exact.y) <= gamma * (error + 2 * UNIT * x_hat) + 2 * UNIT * beta).all()
    assert (np.abs(ours.grads["beta"] - exact.grads["beta"]) <= 4 * UNIT * total).all()
    assert (np.abs(ours.grads["gamma"] - exact.grads["gamma"]) <= total * (error + 4 * UNIT * x_hat)).all()
    if ours.dx is not None:
        bound = 12 * UNIT + 8 * UNIT * x_hat**2 + 2 * error * x_hat
        assert (np.abs(ours.dx - exact.dx) <= gamma * inv_std * largest * bound).all()


@settings(max_examples=8)
@given(st.integers(1, 3), st.integers(2, 3), channels, parts, seeds)
def test_normalization_equals_the_loops(N, H, C, parts, seed):
    (layer,) = layers = [BatchNorm()]
    x, dy = arrays(layers, (N, H, 2, C), seed)
    ours = run_block(NormBlock(layers, parts), x, dy)
    x_64, dy_64 = x.astype("float64"), dy.astype("float64")
    gamma, beta = layer.params["gamma"].astype("float64"), layer.params["beta"].astype("float64")
    y = oracle.batchnorm_forward(x_64, gamma, beta, *oracle.batchnorm_statistics(x_64), 1e-5)
    dx, dgamma, dbeta = oracle.batchnorm_backward(dy_64, x_64, gamma, 1e-5)
    assert_rounded(ours, Result(y, dx, {"gamma": dgamma, "beta": dbeta}), layer, x, dy)


@given(
    st.tuples(st.integers(1, 5), st.integers(2, 6), st.integers(2, 6), channels),
    st.booleans(),
    st.sampled_from([None, MaxPool2D(2), MaxPool2D((2, 1), 1, padding=((0, 1), (0, 0)))]),
    st.booleans(),
    st.booleans(),
    parts,
    seeds,
)
def test_a_block_equals_its_layers(shape, relu, pool, relu_first, need_dx, parts, seed):
    layers = [BatchNorm(), *(relu * [ReLU()]), *([pool] if pool else [])]
    if not relu_first:
        layers[1:] = layers[:0:-1]
    x, dy = arrays(layers, shape, seed)
    ours = run_block(NormBlock(layers, parts), x, dy, need_dx)
    assert_rounded(ours, in_float64(layers, x, dy)[0], layers[0], x, dy, reuse=2)


@given(st.integers(1, 9), channels, st.booleans(), parts, seeds)
def test_rows_of_a_dense_layer_are_normalized(N, C, relu, parts, seed):
    layers = [BatchNorm(), *(relu * [ReLU()])]
    x, dy = arrays(layers, (N, C), seed)
    ours = run_block(NormBlock(layers, parts), x, dy)
    assert_rounded(ours, in_float64(layers, x, dy)[0], layers[0], x, dy)


@given(st.booleans(), st.integers(1, 3), seeds)
def test_the_gradient_of_a_tie_goes_to_the_first_maximum(relu_first, C, seed):
    followers = [ReLU(), MaxPool2D(2, 1, padding=1)]
    layers = [BatchNorm(), *(followers if relu_first else followers[::-1])]
    x, dy = arrays(layers, (2, 4, 5, C), seed, whole)  # the same numbers stay the same
    layers[0].params["gamma"][...] = 1  # and in order
    ours = run_block(NormBlock(layers, 2), x, dy)
    assert_rounded(ours, in_float64(layers, x, dy)[0], layers[0], x, dy, reuse=4)


# --- the statistics ----------------------------------------------------------------------------------


def far_from_zero(seed=0, N=6, C=LANES + 1):
    """Return images with mean 1000 and deviation 1, each with its own mean."""
    images = normal(seed + 1, (N, 1, 1, C)) + np.arange(N)[:, None, None, None] % 2
    return (1000 + normal(seed, (N, 4, 5, C)) + images).astype("float32")


@pytest.mark.parametrize("parts", [1, 2, 5, 6, 7])
def test_a_mean_much_larger_than_the_deviation_costs_only_its_own_rounding(parts):
    (layer,) = layers = [BatchNorm()]
    x = far_from_zero()
    _, dy = arrays(layers, x.shape, 0)
    block = NormBlock(layers, parts)
    ours, (exact, _) = run_block(block, x, dy), in_float64(layers, x, dy)
    assert_rounded(ours, exact, layer, x, dy)
    rows = x.astype("float64").reshape(-1, x.shape[-1])
    assert_array_equal(block.mean, rows.mean(axis=0).astype("float32"))
    assert_array_equal(block.var, rows.var(axis=0).astype("float32"))


def test_moments_of_some_images_are_computed_in_float64():
    x = far_from_zero()
    block = NormBlock(built([BatchNorm()], x.shape[1:]), 1)
    norm.moments(block.g, block.workspaces[0], x.reshape(-1), 1, 4)
    (mean, squares), rows = block.sums[0], x[1:4].reshape(60, -1).astype("float64")
    assert_allclose(mean, rows.mean(axis=0), rtol=60 * 2.0**-53)
    # Σ x² − M·mean² loses as many digits as mean² / variance has, here six.
    assert_allclose(squares, 60 * rows.var(axis=0), rtol=1e6 * 60 * 2.0**-53)


def test_the_running_averages_equal_those_of_the_layer():
    layers = [BatchNorm(momentum=0.75)]
    x, dy = arrays(layers, (4, 3, 2, 5), 0)
    block = NormBlock(layers, 2)
    run_block(block, x, dy)
    block.commit()
    _, copy = in_float64(layers, x, dy)
    for name, array in layers[0].state.items():
        assert_allclose(array, copy.state[name], rtol=4 * UNIT, atol=4 * UNIT)


def test_a_single_value_per_channel_does_not_change_the_running_averages():
    layers = [BatchNorm()]
    x, dy = arrays(layers, (1, 1, 1, 3), 0)
    block = NormBlock(layers, 2)
    result = run_block(block, x, dy)
    block.commit()
    assert_array_equal(layers[0].state["running_mean"], 0)
    assert_array_equal(layers[0].state["running_var"], 1)
    assert_array_equal(result.y, np.broadcast_to(layers[0].params["beta"], (1, 1, 1, 3)))


def test_prediction_uses_the_running_averages():
    layers = [BatchNorm(), ReLU()]
    x, _ = arrays(layers, (4, 3, 2, 5), 0)
    layers[0].state = {"running_mean": normal(4, 5, "float32"), "running_var": normal(5, 5, "float32") ** 2}
    expected = layers[1].forward(layers[0].forward(x))
    block, y = NormBlock(layers, 2), zeros(x.size)
    block.connect(4, x.reshape(-1), y)
    block.take_weights(training=False)
    block.begin(4, training=False)
    run_stages(block.forward(training=False), 4, 2)
    assert_allclose(y.reshape(x.shape), expected, rtol=8 * UNIT, atol=8 * UNIT)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_affect_their_own_channel_only_and_pass_relu(bad):
    layers = [BatchNorm(), ReLU(), MaxPool2D(2)]
    x, dy = arrays(layers, (3, 4, 4, 3), 0)
    x[1, 2, 2, 1] = bad
    with np.errstate(invalid="ignore"):
        y = run_block(NormBlock(layers, 2), x, dy).y
    assert np.isnan(y[..., 1]).all()
    assert np.isfinite(y[..., [0, 2]]).all()
