"""The Numba operations, the reference and the naive loops agree."""

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit
from numpy.testing import assert_allclose, assert_array_equal

from minicnn.ops import cpu, reference
from minicnn.runtime.compiled import compiled
from tests import oracle
from tests.strategies import DTYPES, normal, seeds, whole, windows

pytestmark = pytest.mark.quick

BOTH = [pytest.param(cpu, id="cpu"), pytest.param(reference, id="reference")]
dtypes = st.sampled_from(DTYPES)


def output_shape(window):
    N, H, W, C = window.shape
    return N, *oracle.output_shape((H, W), *window.conv), C


def cols_shape(window):
    N, OH, OW, C = output_shape(window)
    return N * OH * OW, window.kernel[0] * window.kernel[1] * C


def public_functions(module):
    return {
        name: inspect.signature(f)
        for name, f in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_") and f.__module__ == module.__name__
    }


def assert_identical(fast, plain):
    assert fast.dtype == plain.dtype
    assert fast.flags.c_contiguous
    assert_array_equal(fast, plain)


def test_both_modules_have_the_same_functions_and_signatures():
    plain = public_functions(reference)
    del plain["output_size"]  # geometry, which every file imports from the reference
    assert public_functions(cpu) == plain


def test_without_a_cache_folder_a_loop_is_still_compiled(monkeypatch):
    monkeypatch.setattr("numba.config.CACHE_DIR", "")
    names = {}
    exec("def inverse(x): return 1 / x", names)  # comes from no file: Numba has no place beside it
    with pytest.raises(RuntimeError, match="cannot cache function"):
        njit(cache=True)(names["inverse"])
    inverse = compiled(names["inverse"])
    assert (inverse(4.0), inverse(0.0)) == (0.25, np.inf)
    assert inverse.targetoptions["nogil"]


@given(windows(pooling=True) | windows())
def test_output_size_counts_the_windows(window):
    size = window.shape[1:3]
    assert reference.output_size(size, *window.conv) == oracle.output_shape(size, *window.conv)


# --- Numba against plain, to the last bit ------------------------------------------------------------


@given(windows(), dtypes, seeds)
def test_im2col_is_identical(window, dtype, seed):
    x = normal(seed, window.shape, dtype)
    assert_identical(cpu.im2col(x, *window.conv), reference.im2col(x, *window.conv))


@given(windows(), dtypes, seeds)
def test_col2im_is_identical(window, dtype, seed):
    cols = normal(seed, cols_shape(window), dtype)
    assert_identical(
        cpu.col2im(cols, window.shape, *window.conv), reference.col2im(cols, window.shape, *window.conv)
    )


@given(windows(pooling=True), dtypes, seeds, st.sampled_from([normal, whole]))
def test_max_pool_is_identical(window, dtype, seed, draw):
    x = draw(seed, window.shape, dtype)
    (y, argmax), (y_plain, argmax_plain) = (k.max_pool_forward(x, *window.pool) for k in (cpu, reference))
    assert_identical(y, y_plain)
    assert_identical(argmax, argmax_plain)
    dy = normal(seed + 1, y.shape, dtype)
    args = dy, argmax, window.shape, *window.pool
    assert_identical(cpu.max_pool_backward(*args), reference.max_pool_backward(*args))


@given(windows(pooling=True), dtypes, seeds)
def test_avg_pool_is_identical(window, dtype, seed):
    x = normal(seed, window.shape, dtype)
    y = cpu.avg_pool_forward(x, *window.pool)
    assert_identical(y, reference.avg_pool_forward(x, *window.pool))
    args = normal(seed + 1, y.shape, dtype), window.shape, *window.pool
    assert_identical(cpu.avg_pool_backward(*args), reference.avg_pool_backward(*args))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), dtypes, seeds, st.sampled_from([normal, whole]))
def test_relu_is_identical(shape, dtype, seed, draw):
    x, dy = draw(seed, shape, dtype), normal(seed + 1, shape, dtype)
    y = cpu.relu_forward(x)
    assert_identical(y, reference.relu_forward(x))
    assert_identical(cpu.relu_backward(dy, y), reference.relu_backward(dy, y))


@given(*3 * [st.integers(1, 9)], dtypes, seeds, st.booleans())
def test_matmul_is_the_sum_of_products(M, K, N, dtype, seed, transposed):
    a = whole(seed, (K, M), dtype).T if transposed else whole(seed, (M, K), dtype)
    b = whole(seed + 1, (K, N), dtype)
    expected = [[sum(float(a[m, k]) * float(b[k, n]) for k in range(K)) for n in range(N)] for m in range(M)]
    product = cpu.matmul(a, b)  # of whole numbers: exact in any order
    assert_identical(product, reference.matmul(a, b))
    assert_array_equal(product, expected)


@pytest.mark.parametrize("layout", [np.copy, np.asfortranarray])
@given(M=st.integers(1, 30), C=st.integers(1, 9), dtype=dtypes, seed=seeds)
def test_sum_rows_adds_up_each_column(layout, M, C, dtype, seed):
    x = layout(whole(seed, (M, C), dtype))
    total = cpu.sum_rows(x)
    assert_identical(total, reference.sum_rows(x))
    assert_array_equal(total, [sum(float(x[m, c]) for m in range(M)) for c in range(C)])


# --- both against the naive loops; whole numbers make every sum exact --------------------------------


@pytest.mark.parametrize("kernels", BOTH)
@given(window=windows(), dtype=dtypes, seed=seeds)
def test_im2col_equals_the_loops(kernels, window, dtype, seed):
    x = normal(seed, window.shape, dtype)
    assert_array_equal(kernels.im2col(x, *window.conv), oracle.im2col(x, *window.conv))


@pytest.mark.parametrize("kernels", BOTH)
@given(window=windows(), dtype=dtypes, seed=seeds)
def test_col2im_equals_the_loops(kernels, window, dtype, seed):
    cols = whole(seed, cols_shape(window), dtype)
    dx = kernels.col2im(cols, window.shape, *window.conv)
    assert_array_equal(dx, oracle.col2im(cols, window.shape, *window.conv))


@pytest.mark.parametrize("kernels", BOTH)
@given(window=windows(pooling=True), dtype=dtypes, seed=seeds)
def test_max_pool_equals_the_loops(kernels, window, dtype, seed):
    x = whole(seed, window.shape, dtype)
    y, argmax = kernels.max_pool_forward(x, *window.pool)
    expected_y, expected_argmax = oracle.max_pool_forward(x, *window.pool)
    assert_array_equal(y, expected_y)
    assert_array_equal(argmax, expected_argmax)
    assert argmax.dtype == np.int32
    dy = whole(seed + 1, y.shape, dtype)
    dx = kernels.max_pool_backward(dy, argmax, window.shape, *window.pool)
    assert_array_equal(dx, oracle.max_pool_backward(dy, x, *window.pool))


@pytest.mark.parametrize("kernels", BOTH)
@given(window=windows(pooling=True), seed=seeds)
def test_avg_pool_equals_the_loops(kernels, window, seed):
    x = whole(seed, window.shape)
    y = kernels.avg_pool_forward(x, *window.pool)
    assert_array_equal(y, oracle.avg_pool_forward(x, *window.pool))
    dy = normal(seed + 1, y.shape)
    dx = kernels.avg_pool_backward(dy, window.shape, *window.pool)
    assert_allclose(dx, oracle.avg_pool_backward(dy, window.shape, *window.pool), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("kernels", BOTH)
@given(window=windows(), seed=seeds)
def test_col2im_is_the_adjoint_of_im2col(kernels, window, seed):
    x, y = whole(seed, window.shape), whole(seed + 1, cols_shape(window))
    dx = kernels.col2im(y, window.shape, *window.conv)
    assert np.vdot(kernels.im2col(x, *window.conv), y) == np.vdot(x, dx)


# --- special numbers ---------------------------------------------------------------------------------

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0])


def special(seed, shape, dtype):
    return np.random.default_rng(seed).choice(SPECIAL, shape).astype(dtype)


@pytest.mark.parametrize("kernels", BOTH)
@given(window=windows(pooling=True), dtype=dtypes, seed=seeds)
def test_max_pool_of_nan_and_infinity_equals_the_loops(kernels, window, dtype, seed):
    x = special(seed, window.shape, dtype)
    y, argmax = kernels.max_pool_forward(x, *window.pool)
    expected_y, expected_argmax = oracle.max_pool_forward(x, *window.pool)
    assert_array_equal(y, expected_y)
    assert_array_equal(argmax, expected_argmax)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernels", BOTH)
def test_the_gradient_of_an_all_minus_infinity_window_stays_inside_the_image(kernels, dtype):
    x = np.full((1, 1, 1, 1), -np.inf, dtype)
    window = (3, 3), (1, 1), ((2, 0), (2, 0))
    y, argmax = kernels.max_pool_forward(x, *window)
    dx = kernels.max_pool_backward(np.ones_like(y), argmax, x.shape, *window)
    assert_array_equal(dx, [[[[1]]]])


@pytest.mark.parametrize("kernels", BOTH)
def test_ties_go_to_the_first_maximum(kernels):
    x = np.array([[1, 7, 2], [7, 7, 3]], "float32").reshape(1, 2, 3, 1)
    window = (2, 3), (1, 1), ((0, 0), (0, 0))
    y, argmax = kernels.max_pool_forward(x, *window)
    assert (y.item(), argmax.item()) == (7, 1)
    dx = kernels.max_pool_backward(np.full_like(y, 5), argmax, x.shape, *window)
    assert_array_equal(dx.reshape(2, 3), [[0, 5, 0], [0, 0, 0]])


@pytest.mark.parametrize("kernels", BOTH)
def test_padding_never_wins_against_negative_pixels(kernels):
    x = np.full((1, 1, 1, 1), -2.0)
    y, argmax = kernels.max_pool_forward(x, (2, 2), (1, 1), ((1, 1), (1, 1)))
    assert_array_equal(y.reshape(2, 2), [[-2, -2], [-2, -2]])
    assert_array_equal(argmax.reshape(2, 2), [[3, 2], [1, 0]])


@pytest.mark.parametrize("kernels", BOTH)
@given(window=windows(pooling=True), seed=seeds)
def test_avg_pool_spreads_nan_only_to_windows_that_contain_it(kernels, window, seed):
    x = whole(seed, window.shape)
    x[0, 0, 0, 0] = np.nan
    assert_array_equal(kernels.avg_pool_forward(x, *window.pool), oracle.avg_pool_forward(x, *window.pool))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernels", BOTH)
def test_relu_keeps_nan_and_infinity_and_is_closed_at_zero(kernels, dtype):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 2.0, -2.0], dtype)
    y = kernels.relu_forward(x)
    assert_array_equal(y, np.array([np.nan, np.inf, 0, 0, 0, 2, 0], dtype))
    dx = kernels.relu_backward(np.full_like(x, 3), y)
    assert_array_equal(dx, np.array([0, 3, 0, 0, 0, 3, 0], dtype))


# --- any memory layout, nothing written into ---------------------------------------------------------


def calls(kernels, layout):
    """Return the result of every operation for one fixed input in this memory layout."""
    window = (2, 3), (2, 1), ((1, 0), (0, 2))
    x, dy = normal(0, (3, 5, 4, 2)), normal(1, (3, 3, 4, 2))
    cols = normal(2, (36, 12))
    conv = window[0], window[1], (1, 1), window[2]
    _, argmax = reference.max_pool_forward(x, *window)
    y = reference.relu_forward(x)
    x_in, dy_in, cols_in, argmax_in, y_in = (layout(a) for a in (x, dy, cols, argmax, y))
    results = [
        kernels.im2col(x_in, *conv),
        kernels.col2im(cols_in, x.shape, *conv),
        *kernels.max_pool_forward(x_in, *window),
        kernels.max_pool_backward(dy_in, argmax_in, x.shape, *window),
        kernels.avg_pool_forward(x_in, *window),
        kernels.avg_pool_backward(dy_in, x.shape, *window),
        kernels.relu_forward(x_in),
        kernels.relu_backward(x_in, y_in),
    ]
    for given_array, original in ((x_in, x), (dy_in, dy), (cols_in, cols), (argmax_in, argmax), (y_in, y)):
        assert_array_equal(given_array, original, "a kernel wrote into its argument")
    return results


def every_other(a):
    return np.repeat(a, 2, axis=-1)[..., ::2]


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


@pytest.mark.parametrize("layout", [np.asfortranarray, every_other, read_only])
@pytest.mark.parametrize("kernels", BOTH)
def test_the_memory_layout_of_the_arguments_does_not_matter(kernels, layout):
    for result, expected in zip(calls(kernels, layout), calls(reference, np.copy), strict=True):
        assert_array_equal(result, expected)
