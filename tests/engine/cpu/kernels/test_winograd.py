"""Winograd's algorithm is exact for whole numbers, and otherwise about as accurate as im2col."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from minicnn import ops
from minicnn.engine.cpu.blocks import ConvBlock, geometry
from minicnn.engine.cpu.kernels import winograd
from minicnn.engine.cpu.kernels.gemm import PANEL
from minicnn.engine.cpu.kernels.simd import LANES
from minicnn.layers import Conv2D, MaxPool2D, ReLU
from tests import oracle
from tests.engine.cpu.blockwise import UNTOUCHED, assert_equal, built, run_block, run_layers
from tests.strategies import normal, seeds, whole

G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
ONE = (1, 1)


@st.composite
def convolutions(draw, channels=(LANES, 2 * LANES), filters=(1, 2, PANEL + 1)):
    """Draw (shape of the images, filters, padding): 3 × 3, with at least one output."""
    padding = tuple(draw(st.tuples(*2 * [st.integers(0, 2)])) for _ in range(2))
    size = [max(3 - sum(sides), 1) + draw(st.integers(0, 4)) for sides in padding]
    N, C = draw(st.integers(1, 2)), draw(st.sampled_from(channels))
    return (N, *size, C), draw(st.sampled_from(filters)), padding


def block_of(layers, parts=1):
    block = ConvBlock(layers, parts)
    assert block.g.TH > 0, "not computed by Winograd's algorithm"
    return block


# --- against the loops -------------------------------------------------------------------------------


@settings(max_examples=20)
@given(convolutions(), seeds)
def test_the_result_equals_the_loops(convolution, seed):
    shape, filters, padding = convolution
    (layer,) = layers = built([Conv2D(filters, 3, padding=padding)], shape[1:], seed)
    x, dy = whole(seed, shape, "float32"), np.zeros((shape[0], *layer.output_shape), "float32")
    y = run_block(block_of(layers), x, dy).y
    assert_array_equal(y, oracle.conv_forward(x, layer.params["W"], layer.params["b"], ONE, ONE, padding))


@settings(max_examples=15)
@given(convolutions(filters=(1, 3)), st.integers(1, 3), seeds)
def test_the_gradients_equal_the_loops(convolution, parts, seed):
    shape, filters, padding = convolution
    (layer,) = layers = built([Conv2D(filters, 3, padding=padding)], shape[1:], seed)
    x, dy = whole(seed, shape, "float32"), whole(seed + 1, (shape[0], *layer.output_shape), "float32")
    result = run_block(block_of(layers, parts), x, dy)
    dx, dW, db = oracle.conv_backward(dy, x, layer.params["W"], ONE, ONE, padding)
    assert_array_equal(result.dx, dx)
    assert_array_equal(result.grads["W"], dW)
    assert_array_equal(result.grads["b"], db)


# --- against the layers, which the loops have checked ------------------------------------------------


@given(
    convolutions(channels=(LANES, 3 * LANES), filters=(1, LANES, PANEL, 2 * PANEL + 3)),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1, 500, 10**6]),
    st.integers(1, 3),
    seeds,
)
def test_any_number_of_bands_parts_and_filters_equals_the_layers(
    convolution, relu, need_dx, band_bytes, parts, seed
):
    shape, filters, padding = convolution
    layers = [Conv2D(filters, 3, padding=padding)] + relu * [ReLU()]
    built(layers, shape[1:], seed)
    x, dy = whole(seed, shape, "float32"), whole(seed + 1, (shape[0], *layers[-1].output_shape), "float32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(geometry, "_BAND", band_bytes * LANES)
        block = block_of(layers, parts)
    assert_equal(run_block(block, x, dy, need_dx), run_layers(layers, x, dy, need_dx))


def test_the_last_band_of_tiles_may_be_smaller(monkeypatch):
    layers = built([Conv2D(3, 3, padding="same")], (9, 5, LANES))
    monkeypatch.setattr(geometry, "_BAND", 2 * 16 * 3 * LANES * 4)
    block = block_of(layers)
    assert (block.g.TH, block.g.TW, block.g.band) == (5, 3, 2)
    x, dy = whole(1, (2, 9, 5, LANES), "float32"), whole(2, (2, 9, 5, 3), "float32")
    assert_equal(run_block(block, x, dy), run_layers(layers, x, dy))


@pytest.mark.parametrize("filters", [PANEL - 1, PANEL])
@pytest.mark.parametrize("size", [(4, 4), (4, 5), (5, 4), (5, 5)])
def test_values_left_by_the_forward_pass_do_not_affect_gradients(size, filters):
    layers = built([Conv2D(filters, 3, padding="same")], (*size, LANES))
    x, dy = whole(1, (2, *size, LANES), "float32"), whole(2, (2, *size, filters), "float32")
    assert_equal(run_block(block_of(layers), x, dy), run_layers(layers, x, dy))
    x[1] = np.nan  # dx depends only on dy and the weights
    assert_array_equal(run_block(block_of(layers), x, dy).dx, run_layers(layers, x, dy).dx)


# --- the transforms of the weights -------------------------------------------------------------------


@pytest.mark.parametrize("exchanged", [False, True])
def test_filters_are_transformed_into_panels(exchanged):
    C, OC = LANES, PANEL + 3
    w, depth = whole(0, (3, 3, C, OC), "float32"), OC + 2
    if exchanged:  # as dx needs them: a row for each filter, a column for each channel
        taps, arguments = w.swapaxes(2, 3), (OC, 1, C, OC)
    else:
        taps, arguments = w, (C, OC, OC, 1)
    rows, columns = taps.shape[2:]
    panels = -(-columns // PANEL)
    u = np.full(panels * 16 * depth * PANEL, UNTOUCHED)
    winograd.transform_weights(w.reshape(-1), *arguments, depth, u, np.empty(9 * LANES, "float32"))
    side_by_side = np.concatenate(list(u.reshape(panels, 4, 4, depth, PANEL)), axis=-1)
    assert_array_equal(side_by_side[:, :, :rows, :columns], np.einsum("ai,ijrc,bj->abrc", G, taps, G))
    assert_array_equal(side_by_side[:, :, :rows, columns:], 0)
    assert_array_equal(side_by_side[:, :, rows:], UNTOUCHED)


def test_the_gradient_of_the_transformed_filters_is_transformed_back():
    dU = whole(0, (2, 4, 4, LANES, PANEL), "float32")
    assert_array_equal(winograd.weights_gradient(dU), np.einsum("ai,pabco,bj->pijco", G, dU, G))


# --- rounding ----------------------------------------------------------------------------------------


def test_real_numbers_lose_at_most_four_times_what_im2col_loses():
    x, dy = normal(0, (2, 28, 28, 64), "float32"), normal(1, (2, 28, 28, 64), "float32")

    def one(dtype="float32"):
        return built([Conv2D(64, 3, padding="same")], x.shape[1:], 2, normal, dtype)

    with ops.use("cpu"):
        exact = run_layers(one("float64"), x.astype("float64"), dy.astype("float64"))
        im2col = run_layers(one(), x, dy)
    ours = run_block(block_of(one()), x, dy)

    def error(a, b):
        return np.abs(a - b).max() / np.abs(b).max()

    for name in ("y", "dx"):
        assert error(getattr(ours, name), getattr(exact, name)) <= 4 * error(
            getattr(im2col, name), getattr(exact, name)
        ), name
    dW = exact.grads["W"]
    assert error(ours.grads["W"], dW) <= 4 * error(im2col.grads["W"], dW)


# --- NaN and infinity --------------------------------------------------------------------------------


@given(convolutions(filters=(2,)), st.sampled_from([np.nan, np.inf, -np.inf]), seeds)
def test_nan_and_infinity_reach_only_outputs_whose_window_contains_them(convolution, bad, seed):
    shape, filters, padding = convolution
    (layer,) = layers = built([Conv2D(filters, 3, padding=padding)], shape[1:], seed)
    x, dy = whole(seed, shape, "float32"), np.zeros((shape[0], *layer.output_shape), "float32")
    x.reshape(-1)[seed % x.size] = bad
    with np.errstate(invalid="ignore"):
        expected = run_layers(layers, x, dy).y
    assert_array_equal(np.isfinite(run_block(block_of(layers), x, dy).y), np.isfinite(expected))


@given(convolutions(filters=(3,)), st.booleans(), seeds)
def test_relu_and_pool_hide_no_nan_and_no_infinity(convolution, relu_first, seed):
    shape, filters, padding = convolution
    pool = MaxPool2D(2, strides=1, padding=1)
    layers = [Conv2D(filters, 3, padding=padding), *([ReLU(), pool] if relu_first else [pool, ReLU()])]
    built(layers, shape[1:], seed)
    x, dy = whole(seed, shape, "float32"), np.zeros((shape[0], *layers[-1].output_shape), "float32")
    x.reshape(-1)[np.random.default_rng(seed).choice(x.size, 3, replace=False)] = [np.nan, np.inf, -np.inf]
    with np.errstate(invalid="ignore"):
        bad = ~np.isfinite(run_layers(layers, x, dy).y)
    ours = run_block(block_of(layers), x, dy).y
    assert bad.any()
    assert not np.isfinite(ours[bad]).any()
