"""Pooling: by hand, against the naive loops, and against numerical gradients."""

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal

from minicnn import ops
from minicnn.errors import ConfigError, ShapeError
from minicnn.layers import AvgPool2D, GlobalAvgPool2D, GlobalMaxPool2D, MaxPool2D
from tests import oracle
from tests.strategies import distinct, normal, seeds, whole, windows

pytestmark = pytest.mark.quick

KERNELS = pytest.mark.parametrize("kernel_set", ops.KERNELS)
POOLS = pytest.mark.parametrize("pool", [MaxPool2D, AvgPool2D])
GLOBAL = pytest.mark.parametrize("pool", [GlobalMaxPool2D, GlobalAvgPool2D])


def build(layer, shape):
    layer.build(shape[1:], np.random.default_rng(0), "float64")
    return layer


def assert_numerical(layer, x, dy):
    layer.forward(x, training=True)
    dx = layer.backward(dy)
    expected = oracle.numerical_gradient(lambda: np.vdot(layer.forward(x), dy), x)
    assert_allclose(dx, expected, rtol=1e-7, atol=1e-7)


def test_max_pooling_by_hand():
    # Windows of 2×2, a column apart: | 1 5 |, | 5 2 |, | 2 2 | over | 3 4 |, | 4 6 |, | 6 0 |.
    x = np.array([[1, 5, 2, 2], [3, 4, 6, 0]], "float64").reshape(1, 2, 4, 1)
    layer = build(MaxPool2D(2, strides=1), x.shape)
    assert_array_equal(layer.forward(x, training=True).ravel(), [5, 6, 6])
    # The 6 was the maximum of two windows: its gradient is 20 + 30.
    dx = layer.backward(np.array([10, 20, 30], "float64").reshape(1, 1, 3, 1))
    assert_array_equal(dx.reshape(2, 4), [[0, 10, 0, 0], [0, 0, 50, 0]])


def test_average_pooling_by_hand():
    # Padding of one column on the left: the first window has two pixels of the image, the second four.
    x = np.array([[1, 5, 2], [3, 4, 6]], "float64").reshape(1, 2, 3, 1)
    layer = build(AvgPool2D(2, padding=((0, 0), (1, 0))), x.shape)
    assert_array_equal(layer.forward(x, training=True).ravel(), [(1 + 3) / 2, (5 + 2 + 4 + 6) / 4])
    dx = layer.backward(np.array([10, 20], "float64").reshape(1, 1, 2, 1))
    assert_array_equal(dx.reshape(2, 3), [[5, 5, 5], [5, 5, 5]])


@KERNELS
@given(window=windows(pooling=True), seed=seeds)
def test_max_pooling_equals_the_loops(kernel_set, window, seed):
    layer = build(MaxPool2D(*window.pool), window.shape)
    x = whole(seed, window.shape)  # with many ties
    with ops.use(kernel_set):
        y = layer.forward(x, training=True)
        dy = normal(seed + 1, y.shape)
        dx = layer.backward(dy)
    assert_array_equal(y, oracle.max_pool_forward(x, *window.pool)[0])
    assert_allclose(dx, oracle.max_pool_backward(dy, x, *window.pool), rtol=1e-13, atol=1e-14)


@KERNELS
@given(window=windows(pooling=True), seed=seeds)
def test_average_pooling_equals_the_loops(kernel_set, window, seed):
    layer = build(AvgPool2D(*window.pool), window.shape)
    x = normal(seed, window.shape)
    with ops.use(kernel_set):
        y = layer.forward(x, training=True)
        dy = normal(seed + 1, y.shape)
        dx = layer.backward(dy)
    assert_allclose(y, oracle.avg_pool_forward(x, *window.pool), rtol=1e-13, atol=1e-14)
    assert_allclose(dx, oracle.avg_pool_backward(dy, x.shape, *window.pool), rtol=1e-13, atol=1e-14)


@KERNELS
@POOLS
@given(window=windows(pooling=True, max_batch=2, max_channels=2), seed=seeds)
def test_the_gradient_equals_the_numerical_one(kernel_set, pool, window, seed):
    layer = build(pool(*window.pool), window.shape)
    with ops.use(kernel_set):
        dy = normal(seed + 1, (window.shape[0], *layer.output_shape))
        assert_numerical(layer, distinct(seed, window.shape), dy)


def test_strides_are_the_pool_size_if_not_given():
    assert MaxPool2D((2, 3)).strides == (2, 3)
    assert AvgPool2D((2, 3), strides=1).strides == (1, 1)


@POOLS
@pytest.mark.parametrize(
    "arguments",
    [
        {"pool_size": 0},
        {"pool_size": (2, -2)},
        {"pool_size": 2.0},
        {"pool_size": False},
        {"pool_size": (2, 2, 2)},
        {"strides": 0},
        {"strides": (0, 1)},
        {"strides": 1.5},
        {"padding": "full"},
        {"padding": -1},
        {"padding": True},
    ],
    ids=str,
)
def test_bad_arguments_are_rejected_by_name(pool, arguments):
    with pytest.raises(ConfigError, match=next(iter(arguments))):
        pool(**arguments)


@POOLS
@pytest.mark.parametrize("padding", [2, (0, 3), ((2, 0), (0, 0)), ((0, 0), (0, 3))])
def test_padding_as_large_as_the_window_is_rejected(pool, padding):
    with pytest.raises(ConfigError, match="smaller than pool_size"):
        pool((2, 3), padding=padding)
    pool((2, 3), padding=(1, 2))


@POOLS
def test_a_window_whose_pixels_cannot_be_numbered_is_rejected(pool):
    # The position of a maximum is stored in 32 bits: an overflow would send the gradient out of its array.
    with pytest.raises(
        ConfigError, match=r"pixels in pool_size must be at most 2,147,483,647, got 4900000000"
    ):
        pool(70_000, padding="same")
    assert pool((2**31 - 1, 1), padding="same").pool_size == (2**31 - 1, 1)


@POOLS
def test_a_window_that_does_not_fit_is_rejected(pool):
    for pool_size in ((4, 2), (2, 4)):
        with pytest.raises(ShapeError, match="does not fit"):
            pool(pool_size).build((3, 3, 1), np.random.default_rng(0))


@pytest.mark.parametrize(
    "layer", [MaxPool2D(1), AvgPool2D(1, padding="same"), GlobalMaxPool2D(), GlobalAvgPool2D()], ids=repr
)
@pytest.mark.parametrize("input_shape", [(8,), (8, 8), (1, 8, 8, 1)])
def test_an_input_that_is_no_image_is_rejected(layer, input_shape):
    with pytest.raises(ShapeError, match=r"\(H, W, C\)"):
        layer.build(input_shape, np.random.default_rng(0))


# --- over the whole image ----------------------------------------------------------------------------


@GLOBAL
@given(window=windows(), seed=seeds)
def test_global_pooling_is_pooling_with_one_window_over_the_image(pool, window, seed):
    x = whole(seed, window.shape)
    N, H, W, C = x.shape
    layer = build(pool(), x.shape)
    y = layer.forward(x, training=True)
    dy = normal(seed + 1, (N, C))
    dx = layer.backward(dy)
    geometry = (H, W), (1, 1), ((0, 0), (0, 0))
    dy_image = dy.reshape(N, 1, 1, C)
    if pool is GlobalMaxPool2D:
        expected = oracle.max_pool_forward(x, *geometry)[0]
        expected_dx = oracle.max_pool_backward(dy_image, x, *geometry)
    else:
        expected = oracle.avg_pool_forward(x, *geometry)
        expected_dx = oracle.avg_pool_backward(dy_image, x.shape, *geometry)
    assert_allclose(y, expected.reshape(N, C), rtol=1e-13, atol=1e-14)
    assert_allclose(dx, expected_dx, rtol=1e-13, atol=1e-14)


@GLOBAL
@given(window=windows(max_batch=2), seed=seeds)
def test_the_gradient_of_global_pooling_equals_the_numerical_one(pool, window, seed):
    layer = build(pool(), window.shape)
    dy = normal(seed + 1, (window.shape[0], window.shape[3]))
    assert_numerical(layer, distinct(seed, window.shape), dy)
