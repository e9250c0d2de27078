"""A convolution with its bias, ReLU and pool, forward, and backward over the open outputs only.

Whole numbers make every sum exact, in any order, and cause many ties and zeros: results equal the layers'
to the last bit, and so does the pixel that gets a gradient.
"""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from minicnn.engine.cpu.blocks import ConvBlock, zeros
from minicnn.engine.cpu.blocks.conv import _workspace
from minicnn.engine.cpu.kernels.simd import LANES
from minicnn.layers import Conv2D, MaxPool2D, ReLU
from tests import oracle
from tests.engine.cpu.blockwise import UNTOUCHED, assert_equal, axes, built, rounding, run_block, run_layers
from tests.strategies import normal, seeds, whole


@st.composite
def convolutions(draw):
    """Draw (Conv2D's arguments, size of the images, size of the results)."""
    kernel, strides, dilation, padding, size, outputs = zip(draw(axes()), draw(axes()), strict=True)
    filters, use_bias = draw(st.integers(1, 2 * LANES + 3)), draw(st.booleans())
    return (filters, kernel, strides, padding, dilation, use_bias), size, outputs


@st.composite
def pools(draw, size):
    """Draw MaxPool2D's arguments for images of that size: windows overlap, leave gaps or exceed the image."""
    sides = []
    for n in size:
        k, s = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        padding = draw(st.tuples(*2 * [st.integers(0, k - 1)]))
        sides.append((k, s, padding) if k <= n + sum(padding) else (1, s, (0, 0)))
    return tuple(zip(*sides, strict=True))


@st.composite
def blocks(draw, channels=(1, 2, 3, LANES, LANES + 1, 2 * LANES), max_batch=4):
    """Draw the layers of a block, and the shape of its images."""
    arguments, size, outputs = draw(convolutions())
    followers = [ReLU()] if draw(st.booleans()) else []
    if draw(st.booleans()):
        plain = min(outputs) >= 2 and draw(st.booleans())
        pool = MaxPool2D(2) if plain else MaxPool2D(*draw(pools(outputs)))
        followers.insert(draw(st.integers(0, len(followers))), pool)
    shape = draw(st.integers(1, max_batch)), *size, draw(st.sampled_from(channels))
    return [Conv2D(*arguments), *followers], shape


def arrays(layers, shape, seed, draw=whole):
    """Build the layers; return images and gradients of their results."""
    built(layers, shape[1:], seed, draw)
    return draw(seed, shape, "float32"), draw(seed + 1, (shape[0], *layers[-1].output_shape), "float32")


# --- against the layers ------------------------------------------------------------------------------


@settings(max_examples=150)
@given(blocks(), st.booleans(), st.integers(1, 3), seeds)
def test_a_block_equals_its_layers(drawn, need_dx, parts, seed):
    layers, shape = drawn
    x, dy = arrays(layers, shape, seed)
    assert_equal(run_block(ConvBlock(layers, parts), x, dy, need_dx), run_layers(layers, x, dy, need_dx))


@settings(max_examples=15)
@given(convolutions(), seeds)
def test_a_convolution_equals_the_loops(drawn, seed):
    (_, kernel, strides, padding, dilation, use_bias), size, _ = drawn
    layers = [Conv2D(2, kernel, strides, padding, dilation, use_bias)]
    x, dy = arrays(layers, (1, *size, 2), seed)
    result = run_block(ConvBlock(layers, 1), x, dy)
    W, b = layers[0].params["W"], layers[0].params.get("b", np.zeros(2))
    assert_array_equal(result.y, oracle.conv_forward(x, W, b, strides, dilation, padding))
    dx, dW, db = oracle.conv_backward(dy, x, W, strides, dilation, padding)
    assert_array_equal(result.dx, dx)
    assert_array_equal(result.grads["W"], dW)
    assert_array_equal(result.grads.get("b", db), db)


@pytest.mark.parametrize("need_dx", [True, False])
@pytest.mark.parametrize("missing", [0, 1, LANES - 1])
@pytest.mark.parametrize("registers", [1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 21, 27])
def test_runs_of_any_length_are_added(registers, missing, need_dx):
    layers = [Conv2D(3, 1), ReLU()]
    x, dy = arrays(layers, (2, 3, 2, registers * LANES - missing), registers)
    assert_equal(run_block(ConvBlock(layers, 1), x, dy, need_dx), run_layers(layers, x, dy, need_dx))


@given(blocks(), seeds)
def test_only_the_requested_images_are_computed(drawn, seed):
    layers, (_, *size) = drawn
    x, dy = arrays(layers, (4, *size), seed)
    expected = run_layers(layers, x, dy)
    block = ConvBlock(layers, 1)
    x[[0, 3]] = dy[[0, 3]] = np.nan
    y, dx = zeros(dy.size), zeros(x.size)
    y[:] = dx[:] = UNTOUCHED
    block.connect(4, x.reshape(-1), y)
    block.connect_gradients(dx, dy.reshape(-1))
    block.take_weights(training=True)
    block.begin(4, training=True)
    block.pack(0, training=True)
    for stage in block.forward(training=True) + block.backward():
        stage.run(0, 1, 3)
    for ours, theirs in ((y.reshape(dy.shape), expected.y), (dx.reshape(x.shape), expected.dx)):
        assert_array_equal(ours[1:3], theirs[1:3])
        assert_array_equal(ours[[0, 3]], UNTOUCHED)


# --- lines of the result one at a time, or all at once ------------------------------------------------


@given(convolutions(), st.booleans(), st.booleans(), st.sampled_from([1, 3, LANES + 1]), seeds)
def test_lines_computed_one_at_a_time_equal_those_computed_at_once(drawn, pooled, relu, channels, seed):
    arguments, size, outputs = drawn
    layers = [Conv2D(*arguments), *(relu * [ReLU()])]
    layers += (pooled and min(outputs) >= 2) * [MaxPool2D(2)]
    x, dy = arrays(layers, (2, *size, channels), seed)
    by_line, at_once = ConvBlock(layers, 1), ConvBlock(layers, 1)
    assert not by_line.g.overlap
    at_once.g = by_line.g._replace(overlap=True)
    starts = at_once.workspaces[0].starts
    at_once.workspaces = [_workspace(at_once.g, starts, at_once.bias)]
    assert_equal(run_block(by_line, x, dy), run_block(at_once, x, dy))


@given(
    st.tuples(*2 * [st.integers(1, 5)]),
    st.tuples(*2 * [st.integers(1, 4)]),
    st.tuples(*2 * [st.integers(1, 5)]),
    st.integers(1, 3),
    st.sampled_from([1, LANES]),
    st.booleans(),
    st.booleans(),
    seeds,
)
def test_pools_that_overlap_or_exceed_tiny_images_see_every_line(
    size, pool_size, strides, kernel, channels, relu, need_dx, seed
):
    pool = MaxPool2D(pool_size, strides, "same")
    layers = [Conv2D(3, kernel, padding="same"), *(relu * [ReLU()]), pool]
    x, dy = arrays(layers, (2, *size, channels), seed)
    assert_equal(run_block(ConvBlock(layers, 2), x, dy, need_dx), run_layers(layers, x, dy, need_dx))


@pytest.mark.parametrize("need_dx", [True, False])
@pytest.mark.parametrize("strides", [(3, 1), (3, 2), (5, 3)])
@pytest.mark.parametrize("pool_size", [(1, 2), (2, 2), (3, 2), (5, 3)])
@pytest.mark.parametrize("size", [(1, 1), (1, 4), (2, 3), (3, 5)])
def test_a_pool_with_one_line_of_results_sees_all_lines_that_it_covers(size, pool_size, strides, need_dx):
    layers = [Conv2D(LANES + 1, (3, 2), padding="same"), MaxPool2D(pool_size, strides, "same"), ReLU()]
    x, dy = arrays(layers, (3, *size, 2), seed=1)
    block = ConvBlock(layers, 2)
    assert block.g.PH == 1
    assert_equal(run_block(block, x, dy, need_dx), run_layers(layers, x, dy, need_dx))


@pytest.mark.parametrize(
    "pool", [MaxPool2D(2), MaxPool2D(2, 1), MaxPool2D((3, 2), (2, 1)), MaxPool2D((2, 1))]
)
@pytest.mark.parametrize("height", [3, 5, 7])
def test_each_pool_sees_its_own_lines_of_an_odd_height(height, pool):
    layers = [Conv2D(3, 1), pool]
    x, dy = arrays(layers, (2, height, 4, 2), seed=height)
    assert_equal(run_block(ConvBlock(layers, 1), x, dy), run_layers(layers, x, dy))


# --- which pixel gets the gradient -------------------------------------------------------------------


def through(*followers, x):
    """Return y and dx, for dy = 1, 2, 3, …, after a convolution that is the identity."""
    H, W = np.shape(x)
    layers = built([Conv2D(1, 1, use_bias=False), *followers], (H, W, 1), draw=lambda *_: 1)
    dy = np.arange(1, np.prod(layers[-1].output_shape) + 1, dtype="float32")
    result = run_block(
        ConvBlock(layers, 1),
        np.array(x, "float32").reshape(1, H, W, 1),
        dy.reshape(1, *layers[-1].output_shape),
    )
    return result.y[0, :, :, 0], result.dx[0, :, :, 0]


@pytest.mark.parametrize("pool", [MaxPool2D(2), MaxPool2D(2, padding=((0, 1), (0, 0)))], ids=["plain", "any"])
@pytest.mark.parametrize(
    ("x", "where"),
    [
        ([[7, 7], [7, 7]], (0, 0)),
        ([[1, 7], [7, 7]], (0, 1)),
        ([[1, 2], [7, 7]], (1, 0)),
        ([[1, 2], [3, 7]], (1, 1)),
        ([[1, 9], [3, 7]], (0, 1)),
    ],
)
def test_the_gradient_of_a_tie_goes_to_the_first_maximum(pool, x, where):
    y, dx = through(ReLU(), pool, x=x)
    assert y[0, 0] == np.max(x)
    assert dx[where] == 1
    assert dx.sum() == 1


def test_where_windows_overlap_the_gradients_add_up():
    y, dx = through(MaxPool2D(2, strides=1), x=[[0, 0, 0], [0, 5, 0], [0, 0, 0]])
    assert_array_equal(y, [[5, 5], [5, 5]])
    assert_array_equal(dx, [[0, 0, 0], [0, 1 + 2 + 3 + 4, 0], [0, 0, 0]])


def test_padding_never_wins_against_negative_results():
    y, dx = through(MaxPool2D(2, strides=1, padding=1), x=[[-2]])
    assert_array_equal(y, [[-2, -2], [-2, -2]])
    assert_array_equal(dx, [[10]])


def test_relu_is_closed_at_zero():
    y, dx = through(ReLU(), x=[[-1, -0.0, 0.0, 2**-100, 1]])
    assert_array_equal(y, [[0, 0, 0, 2**-100, 1]])
    assert_array_equal(dx, [[0, 0, 0, 4, 5]])


@pytest.mark.parametrize("followers", [(ReLU(), MaxPool2D(2)), (MaxPool2D(2), ReLU())])
def test_a_window_whose_maximum_is_zero_gets_no_gradient(followers):
    y, dx = through(*followers, x=[[0, -1], [-2, 0]])
    assert_array_equal(y, [[0]])
    assert_array_equal(dx, np.zeros((2, 2)))


@pytest.mark.parametrize("open_at", [0, 254, None])
def test_the_largest_window_has_a_switch_for_each_cell_and_one_for_closed(open_at):
    x = np.full((15, 17), -1.0)
    expected = np.zeros((15, 17))
    if open_at is not None:
        x.flat[open_at], expected.flat[open_at] = 3, 1
    y, dx = through(MaxPool2D((15, 17)), ReLU(), x=x)
    assert y == max(x.max(), 0)
    assert_array_equal(dx, expected)


# --- real numbers ------------------------------------------------------------------------------------


@given(convolutions(), st.sampled_from([1, 3, LANES]), seeds)
def test_real_numbers_are_within_the_rounding_of_float32(drawn, channels, seed):
    arguments, size, _ = drawn
    x, dy = arrays([layer := Conv2D(*arguments)], (3, *size, channels), seed, normal)
    block = ConvBlock([layer], 2)
    assume(block.g.TH == 0)  # for Winograd's algorithm see test_winograd.py
    ours = run_block(block, x, dy)
    double = [built([Conv2D(*arguments)], x.shape[1:], seed, normal, "float64") for _ in range(2)]
    exact = run_layers(double[0], x.astype("float64"), dy.astype("float64"))
    for array in double[1][0].params.values():
        np.abs(array, out=array)
    sizes = run_layers(double[1], np.abs(x).astype("float64"), np.abs(dy).astype("float64"))
    depth, pixels = np.prod(layer.params["W"].shape[:3]), dy.size // layer.filters
    assert (np.abs(ours.y - exact.y) <= rounding(depth + 1) * sizes.y).all()
    taps = np.prod(layer.kernel_size) * layer.filters
    assert (np.abs(ours.dx - exact.dx) <= rounding(taps) * sizes.dx).all()
    for name, gradient in ours.grads.items():
        assert (np.abs(gradient - exact.grads[name]) <= rounding(pixels) * sizes.grads[name]).all()


# --- NaN and infinity --------------------------------------------------------------------------------


@settings(max_examples=60)
@given(blocks(channels=(1, 3)), seeds)
def test_nan_and_infinity_propagate_as_in_the_layers(drawn, seed):
    layers, shape = drawn
    x, dy = arrays(layers, shape, seed)
    W = layers[0].params["W"]
    W[W == 0] = 1  # a product that skips zeros would not see 0 · ∞
    rng = np.random.default_rng(seed)
    x[rng.random(shape) < 0.1] = np.nan
    x[rng.random(shape) < 0.1] = np.inf
    x[rng.random(shape) < 0.1] = -np.inf
    ours = run_block(ConvBlock(layers, 1), x, dy)
    with np.errstate(invalid="ignore"):
        theirs = run_layers(layers, x, dy)
    assert_array_equal(ours.y, theirs.y)
    assert_array_equal(ours.dx, theirs.dx)  # dW differs: here nothing is multiplied with a gradient of 0


@pytest.mark.parametrize("pool", [MaxPool2D(2), MaxPool2D(2, padding=((0, 1), (0, 0)))], ids=["plain", "any"])
def test_the_first_nan_of_a_window_wins(pool):
    y, dx = through(pool, x=[[1, np.nan], [np.nan, np.inf]])
    assert np.isnan(y[0, 0])
    assert_array_equal(dx, [[0, 1], [0, 0]])


def test_the_gradient_of_a_window_of_minus_infinity_stays_inside_the_image():
    y, dx = through(MaxPool2D(3, strides=1, padding=((2, 0), (2, 0))), x=[[-np.inf]])
    assert_array_equal(y, [[-np.inf]])
    assert_array_equal(dx, [[1]])


def test_relu_keeps_nan_and_infinity():
    y, dx = through(ReLU(), x=[[np.nan, np.inf, -np.inf]])
    assert_array_equal(y, [[np.nan, np.inf, 0]])
    assert_array_equal(dx, [[0, 2, 0]])
