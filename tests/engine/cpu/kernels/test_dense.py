"""A dense layer with its ReLU over flat arrays, against plain loops and against the layers."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from minicnn.engine.cpu.blocks import DenseBlock
from minicnn.engine.cpu.blocks import dense as dense_block
from minicnn.engine.cpu.kernels import dense, gemm
from minicnn.engine.cpu.kernels.gemm import PANEL
from minicnn.layers import Dense, ReLU
from tests import oracle
from tests.engine.cpu.blockwise import UNTOUCHED, assert_equal, built, rounding, run_block, run_layers
from tests.strategies import normal, seeds, whole

batches = st.integers(1, 20)
inputs = st.integers(3, 2 * dense.STRIPE + PANEL + 3)
units = st.integers(1, 2 * PANEL + 3)


def arrays(layers, N, D, seed, draw=whole):
    """Build the layers; return x and the gradient of their results."""
    built(layers, (D,), seed, draw)
    return draw(seed, (N, D), "float32"), draw(seed + 1, (N, *layers[-1].output_shape), "float32")


@settings(max_examples=10)
@given(st.integers(1, 7), st.integers(1, PANEL + 3), st.integers(1, PANEL + 3), seeds)
def test_a_dense_layer_equals_the_loops(N, D, units, seed):
    layers = [Dense(units)]
    x, dy = arrays(layers, N, D, seed)
    result = run_block(DenseBlock(layers, 1), x, dy)
    W, b = layers[0].params["W"], layers[0].params["b"]
    assert_array_equal(result.y, oracle.dense_forward(x, W, b))
    dx, dW, db = oracle.dense_backward(dy, x, W)
    assert_array_equal(result.dx, dx)
    assert_array_equal(result.grads["W"], dW)
    assert_array_equal(result.grads["b"], db)


@settings(max_examples=60)
@given(batches, inputs, units, st.booleans(), st.booleans(), st.booleans(), st.integers(1, 3), seeds)
def test_a_block_equals_its_layers(N, D, units, relu, use_bias, need_dx, parts, seed):
    layers = [Dense(units, use_bias=use_bias)] + relu * [ReLU()]
    x, dy = arrays(layers, N, D, seed)
    assert_equal(run_block(DenseBlock(layers, parts), x, dy, need_dx), run_layers(layers, x, dy, need_dx))


def test_the_gradient_is_yielded_in_pieces_that_cover_each_weight_once(monkeypatch):
    monkeypatch.setattr(dense_block, "_PIECE", 100)
    layers = [Dense(5)]
    x, dy = arrays(layers, 4, 3 * dense.STRIPE + 7, 0)
    block = DenseBlock(layers, 2)
    assert_equal(run_block(block, x, dy), run_layers(layers, x, dy))
    pieces = [list(block.gradients(part, 2, 4)) for part in range(2)]
    seen = np.zeros(layers[0].params["W"].size, int)
    for name, first, last in pieces[0] + pieces[1]:
        seen[first:last] += name == "W"
    assert (seen == 1).all()
    assert [name for name, _, _ in pieces[0]] == ["W", "W", "b"]
    assert [name for name, _, _ in pieces[1]] == ["W", "W"]


def test_more_parts_than_inputs_still_give_the_gradient_of_the_bias():
    layers = [Dense(4)]
    x, dy = arrays(layers, 5, 2, 0)
    assert_equal(run_block(DenseBlock(layers, 3), x, dy), run_layers(layers, x, dy))


@given(batches, inputs, units, seeds)
def test_real_numbers_are_within_the_rounding_of_float32(N, D, units, seed):
    x, dy = arrays(layers := [Dense(units)], N, D, seed, normal)
    ours = run_block(DenseBlock(layers, 2), x, dy)
    x, dy, W = (a.astype("float64") for a in (x, dy, layers[0].params["W"]))
    b = layers[0].params["b"].astype("float64")
    X, DY = np.abs(x), np.abs(dy)

    def close(result, exact, summands, sizes):
        return (np.abs(result - exact) <= rounding(summands) * sizes).all()

    assert close(ours.y, x @ W + b, D + 1, X @ np.abs(W) + np.abs(b))
    assert close(ours.dx, dy @ W.T, units, DY @ np.abs(W).T)
    assert close(ours.grads["W"], x.T @ dy, N, X.T @ DY)
    assert close(ours.grads["b"], dy.sum(axis=0), N, DY.sum(axis=0))


def through_relu(x):
    """Return y and dx, for dy = 1, 2, 3, …, with the identity as weights."""
    layers = built([Dense(len(x), use_bias=False), ReLU()], (len(x),))
    layers[0].params["W"][...] = np.eye(len(x))
    dy = np.arange(1, len(x) + 1, dtype="float32")
    result = run_block(DenseBlock(layers, 1), np.array([x], "float32"), dy[None])
    return result.y[0], result.dx[0]


def test_relu_is_closed_at_zero():
    y, dx = through_relu([-1, -0.0, 0.0, 2**-100, 1])
    assert_array_equal(y, [0, 0, 0, 2**-100, 1])
    assert_array_equal(dx, [0, 0, 0, 4, 5])


def test_relu_keeps_nan_and_infinity_and_nan_gets_no_gradient():
    layers = built([Dense(3), ReLU()], (1,))
    layers[0].params["W"][...] = 1
    layers[0].params["b"][...] = [np.nan, np.inf, -np.inf]
    result = run_block(DenseBlock(layers, 1), np.ones((1, 1), "float32"), np.ones((1, 3), "float32"))
    assert_array_equal(result.y, [[np.nan, np.inf, 0]])
    assert_array_equal(result.grads["b"], [0, 1, 0])


# --- parts of the work -------------------------------------------------------------------------------


def test_only_the_requested_rows_of_the_gradient_are_computed():
    N, D, units = 7, 2 * dense.STRIPE, PANEL + 1
    x, dz = whole(0, (N, D), "float32"), whole(1, (N, units), "float32")
    panels = np.zeros(gemm.panels_size(N, units), "float32")
    gemm.pack(dz.reshape(-1), 0, N, units, panels, N * PANEL)
    dW = np.full((D, units), UNTOUCHED)
    tail = np.empty(dense.STRIPE * PANEL, "float32")
    sizes = dense.Sizes(N, D, units, relu=False)
    dense.gradient(sizes, x.reshape(-1), panels, tail, dW.reshape(-1), 3, 60)
    assert_array_equal(dW[3:60], (x.T @ dz)[3:60])
    assert_array_equal(dW[:3], UNTOUCHED)
    assert_array_equal(dW[60:], UNTOUCHED)
