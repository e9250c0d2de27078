"""Convolution: by hand, against the naive loops, and against numerical gradients."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from minicnn import ops
from minicnn.errors import ConfigError, ShapeError
from minicnn.layers import Conv2D
from tests import oracle
from tests.strategies import Window, normal, seeds, windows

pytestmark = pytest.mark.quick

KERNELS = pytest.mark.parametrize("kernel_set", ops.KERNELS)


def build(window, filters, seed, **arguments):
    """Return a float64 layer for ``window``, its bias moved off 0."""
    layer = Conv2D(filters, window.kernel, window.stride, window.padding, window.dilation, **arguments)
    layer.build(window.shape[1:], np.random.default_rng(seed), "float64")
    if layer.use_bias:
        layer.params["b"] += normal(seed, filters)
    return layer


def test_a_4x4_image_and_one_3x3_filter_by_hand():
    # x =  1  2  0  1      W =  1  0 −1      b = 10
    #      0  1  3  1           2  0 −2
    #      2  0  1  0           0  1  0
    #      1  1  0  2
    #
    # Four windows; each is 1·a − 1·c + 2·d − 2·f + 1·h of its pixels a b c / d e f / g h i, plus 10:
    #   y[0,0] = 1 − 0 + 2·0 − 2·3 + 0 + 10 = 5      y[0,1] = 2 − 1 + 2·1 − 2·1 + 1 + 10 = 12
    #   y[1,0] = 0 − 3 + 2·2 − 2·1 + 1 + 10 = 10     y[1,1] = 1 − 1 + 2·0 − 2·0 + 0 + 10 = 10
    x = np.array([[1, 2, 0, 1], [0, 1, 3, 1], [2, 0, 1, 0], [1, 1, 0, 2]], "float64")
    W = np.array([[1, 0, -1], [2, 0, -2], [0, 1, 0]], "float64")
    layer = Conv2D(1, 3)
    assert layer.build((4, 4, 1), np.random.default_rng(0), "float64") == (2, 2, 1)
    layer.params["W"][:, :, 0, 0] = W
    layer.params["b"][:] = 10
    y = layer.forward(x.reshape(1, 4, 4, 1), training=True)
    assert_array_equal(y.reshape(2, 2), [[5, 12], [10, 10]])

    # dy = 1  2
    #      3 −1
    # db = 1 + 2 + 3 − 1 = 5
    # dW[i,j] = 1·x[i,j] + 2·x[i,j+1] + 3·x[i+1,j] − 1·x[i+1,j+1], the pixels that W[i,j] was multiplied by:
    #   row 0:  1 + 4 + 0 − 1 =  4     2 + 0 + 3 − 3 =  2     0 + 2 + 9 − 1 = 10
    #   row 1:  0 + 2 + 6 − 0 =  8     1 + 6 + 0 − 1 =  6     3 + 2 + 3 − 0 =  8
    #   row 2:  2 + 0 + 3 − 1 =  4     0 + 2 + 3 − 0 =  5     1 + 0 + 0 − 2 = −1
    dy = np.array([[1, 2], [3, -1]], "float64")
    dx = layer.backward(dy.reshape(1, 2, 2, 1))
    assert_array_equal(layer.grads["b"], [5])
    assert_array_equal(layer.grads["W"][:, :, 0, 0], [[4, 2, 10], [8, 6, 8], [4, 5, -1]])

    # dx = W placed at each window, times that window's dy, added up:
    #   1·W at (0,0)      2·W at (0,1)      3·W at (1,0)      −1·W at (1,1)      sum
    #   1  0 −1  .        .  2  0 −2        .  .  .  .        .  .  .  .         1  2 −1 −2
    #   2  0 −2  .        .  4  0 −4        3  0 −3  .        . −1  0  1         5  3 −5 −3
    #   0  1  0  .        .  0  2  0        6  0 −6  .        . −2  0  2         6 −1 −4  2
    #   .  .  .  .        .  .  .  .        0  3  0  .        .  0 −1  0         0  3 −1  0
    assert_array_equal(dx.reshape(4, 4), [[1, 2, -1, -2], [5, 3, -5, -3], [6, -1, -4, 2], [0, 3, -1, 0]])


@KERNELS
@given(window=windows(max_batch=3), filters=st.integers(1, 3), seed=seeds)
def test_forward_and_backward_equal_the_loops(kernel_set, window, filters, seed):
    layer = build(window, filters, seed)
    x, W, b = normal(seed, window.shape), layer.params["W"], layer.params["b"]
    geometry = window.stride, window.dilation, window.padding
    with ops.use(kernel_set):
        y = layer.forward(x, training=True)
        dy = normal(seed + 1, y.shape)
        dx = layer.backward(dy)
    expected_dx, expected_dW, expected_db = oracle.conv_backward(dy, x, W, *geometry)
    assert_allclose(y, oracle.conv_forward(x, W, b, *geometry), rtol=1e-12, atol=1e-12)
    assert_allclose(dx, expected_dx, rtol=1e-12, atol=1e-12)
    assert_allclose(layer.grads["W"], expected_dW, rtol=1e-12, atol=1e-12)
    assert_allclose(layer.grads["b"], expected_db, rtol=1e-12, atol=1e-12)


@KERNELS
@example(window=Window((2, 5, 4, 2), (2, 3), (2, 1), (1, 2), ((1, 0), (0, 2))), seed=0)
@given(window=windows(max_batch=2, max_channels=2, max_extra=2), seed=seeds)
def test_gradients_equal_the_numerical_ones(kernel_set, window, seed):
    layer = build(window, 2, seed)
    x = normal(seed, window.shape)
    dy = normal(seed + 1, (window.shape[0], *layer.output_shape))

    def loss():
        return np.vdot(layer.forward(x), dy)

    with ops.use(kernel_set):
        layer.forward(x, training=True)
        dx = layer.backward(dy)
        for array, gradient in [(x, dx), *((layer.params[name], layer.grads[name]) for name in "Wb")]:
            assert_allclose(gradient, oracle.numerical_gradient(loss, array), rtol=1e-7, atol=1e-7)


@KERNELS
def test_gradients_of_a_larger_layer_along_random_directions(kernel_set):
    layer = build(Window((5, 13, 17, 4), (3, 5), (2, 1), (1, 2), ((2, 1), (0, 3))), 6, 0)
    x = normal(1, (5, 13, 17, 4))
    dy = normal(2, (5, *layer.output_shape))
    with ops.use(kernel_set):
        layer.forward(x, training=True)
        dx = layer.backward(dy)
        for array, gradient in ((x, dx), *((layer.params[name], layer.grads[name]) for name in "Wb")):
            direction, start = normal(3, array.shape), array.copy()
            losses = []
            for step in (1e-3, -1e-3):
                array[...] = start + step * direction
                losses.append(np.vdot(layer.forward(x), dy))
            array[...] = start
            assert_allclose(np.vdot(gradient, direction), (losses[0] - losses[1]) / 2e-3, rtol=1e-9)


def test_without_a_bias_there_is_no_b():
    window = Window((2, 4, 5, 2), (3, 2), (1, 1), (1, 1), ((0, 0), (0, 0)))
    layer = build(window, 3, 0, use_bias=False)
    x = normal(0, window.shape)
    expected = oracle.conv_forward(x, layer.params["W"], np.zeros(3), (1, 1), (1, 1), window.padding)
    assert_allclose(layer.forward(x), expected, rtol=1e-12, atol=1e-12)
    assert list(layer.params) == ["W"]


def test_weights_start_at_the_variance_of_their_fan_in_and_biases_at_zero():
    layer = Conv2D(64, (3, 5))
    layer.build((9, 9, 16), np.random.default_rng(0), "float64")
    W = layer.params["W"]  # 15360 numbers: the variance is known to about 1 %
    assert W.var() == pytest.approx(2 / (3 * 5 * 16), rel=0.05)
    assert not layer.params["b"].any()
    glorot = Conv2D(64, (3, 5), kernel_initializer="glorot_uniform")
    glorot.build((9, 9, 16), np.random.default_rng(0), "float64")
    assert glorot.params["W"].var() == pytest.approx(2 / (3 * 5 * (16 + 64)), rel=0.05)


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        (2, ((2, 2), (2, 2))),
        ((1, 3), ((1, 1), (3, 3))),
        (((1, 2), (3, 4)), ((1, 2), (3, 4))),
        ([[1, 2], [3, 4]], ((1, 2), (3, 4))),
        (np.int64(1), ((1, 1), (1, 1))),
    ],
)
def test_padding_is_read_as_height_then_width(padding, expected):
    assert Conv2D(1, 3, padding=padding).padding == expected


@pytest.mark.parametrize(
    "arguments",
    [
        {"filters": 0},
        {"filters": -1},
        {"filters": 2.0},
        {"filters": True},
        {"filters": "8"},
        {"kernel_size": 0},
        {"kernel_size": (3, -1)},
        {"kernel_size": (3, 3, 3)},
        {"kernel_size": (3,)},
        {"kernel_size": 2.5},
        {"kernel_size": True},
        {"kernel_size": "3"},
        {"kernel_size": None},
        {"strides": 0},
        {"strides": (1, 0)},
        {"strides": 1.0},
        {"dilation_rate": 0},
        {"dilation_rate": (1, -2)},
        {"padding": "sane"},
        {"padding": -1},
        {"padding": 1.5},
        {"padding": True},
        {"padding": (1, 2, 3)},
        {"padding": ((1, 2), (3, -4))},
        {"padding": ((1, 2, 3), (0, 0))},
        {"padding": None},
        {"kernel_initializer": "zeros"},
    ],
    ids=str,
)
def test_bad_arguments_are_rejected_by_name(arguments):
    (name, value) = next(iter(arguments.items()))
    with pytest.raises(ConfigError, match=name):
        Conv2D(**({"filters": 4, "kernel_size": 3} | {name: value}))


@pytest.mark.parametrize(
    ("layer", "input_shape"),
    [
        (Conv2D(1, (4, 2)), (3, 9, 1)),  # too high
        (Conv2D(1, (2, 4)), (9, 3, 1)),  # too wide
        (Conv2D(1, 2, dilation_rate=(3, 1)), (3, 9, 1)),  # a window of 4 × 2 pixels
        (Conv2D(1, 6, padding=1), (3, 9, 1)),
    ],
    ids=str,
)
def test_a_window_that_does_not_fit_is_rejected(layer, input_shape):
    with pytest.raises(ShapeError, match="does not fit into an input of"):
        layer.build(input_shape, np.random.default_rng(0))


@pytest.mark.parametrize("input_shape", [(5,), (5, 5), (1, 5, 5, 1)])
def test_an_input_that_is_no_image_is_rejected(input_shape):
    for padding in ("valid", "same", 1):
        with pytest.raises(ShapeError, match=r"\(H, W, C\)"):
            Conv2D(1, 1, padding=padding).build(input_shape, np.random.default_rng(0))
