"""The kernels of the readable path, run on the host, compute what the reference computes, to the last bit."""

import inspect

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from minicnn import ops
from minicnn.ops import cuda, reference
from tests.engine.cuda import hostcupy
from tests.strategies import DTYPES, normal, seeds, whole, windows

dtypes = st.sampled_from(DTYPES)
pytestmark = pytest.mark.usefixtures("cupy")
shared_fixture = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def on_device(x):
    return hostcupy.asarray(np.asarray(x))


def assert_same(name, arrays, *window):
    """Call a function of both modules with the same arrays, and compare the results bit by bit."""
    expected = getattr(reference, name)(*arrays, *window)
    result = getattr(cuda, name)(*map(on_device, arrays), *window)
    pairs = zip(result, expected, strict=True) if isinstance(expected, tuple) else [(result, expected)]
    for got, wanted in pairs:
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        assert_array_equal(hostcupy.asnumpy(got), wanted)


def test_both_files_hold_the_same_functions():
    plain = {
        name
        for name, f in inspect.getmembers(reference, inspect.isfunction)
        if f.__module__ == reference.__name__
    }
    assert set(cuda.__all__) == {name for name in plain if not name.startswith("_")} - {"output_size"}


def test_a_device_array_gets_the_cuda_kernels_unless_the_reference_is_asked_for():
    x = on_device(np.zeros(3))
    assert ops.of(x) is cuda
    with ops.use("reference"):
        assert ops.of(x) is reference


@shared_fixture
@given(windows(), seeds, dtypes)
def test_im2col_and_col2im(window, seed, dtype):
    x = normal(seed, window.shape, dtype)
    assert_same("im2col", [x], *window.conv)
    cols = reference.im2col(x, *window.conv)
    assert_same("col2im", [normal(seed + 1, cols.shape, dtype)], window.shape, *window.conv)


@shared_fixture
@given(windows(pooling=True), seeds, dtypes)
def test_max_pool(window, seed, dtype):
    x = whole(seed, window.shape, dtype)  # with many ties
    assert_same("max_pool_forward", [x], *window.pool)
    y, argmax = reference.max_pool_forward(x, *window.pool)
    dy = normal(seed + 1, y.shape, dtype)
    expected = reference.max_pool_backward(dy, argmax, window.shape, *window.pool)
    dx = cuda.max_pool_backward(on_device(dy), on_device(argmax), window.shape, *window.pool)
    assert_array_equal(hostcupy.asnumpy(dx), expected)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_max_pool_with_what_is_not_finite(odd):
    x = np.full((1, 4, 4, 1), -np.inf)
    x[0, 1, 1] = x[0, 2, 3] = x[0, 3, 2] = odd
    assert_same("max_pool_forward", [x], (2, 2), (2, 2), ((0, 0), (0, 0)))
    assert_same("max_pool_forward", [x], (3, 3), (1, 1), ((1, 1), (1, 1)))


@shared_fixture
@given(windows(pooling=True), seeds, dtypes)
def test_avg_pool(window, seed, dtype):
    x = normal(seed, window.shape, dtype)
    assert_same("avg_pool_forward", [x], *window.pool)
    dy = normal(seed + 1, reference.avg_pool_forward(x, *window.pool).shape, dtype)
    assert_same("avg_pool_backward", [dy], window.shape, *window.pool)


@pytest.mark.parametrize("dtype", DTYPES)
def test_relu(dtype):
    x = np.append(normal(0, 2000, dtype), [0, -0.0, np.nan, np.inf, -np.inf]).astype(dtype)
    assert_same("relu_forward", [x])
    assert_same("relu_backward", [normal(1, x.shape, dtype), x])


def test_what_does_not_lie_in_one_piece_is_taken_as_it_is():
    x = normal(0, (2, 6, 5, 4))
    view = on_device(x)[:, ::2, :, 1:3]
    window = (2, 2), (1, 1), (1, 1), ((0, 1), (1, 0))
    expected = reference.im2col(x[:, ::2, :, 1:3], *window)
    assert_array_equal(hostcupy.asnumpy(cuda.im2col(view, *window)), expected)


def test_many_more_numbers_than_threads(monkeypatch):
    monkeypatch.setattr(cuda, "MOST_BLOCKS", 3)
    assert_same("relu_forward", [normal(0, 5000)])
