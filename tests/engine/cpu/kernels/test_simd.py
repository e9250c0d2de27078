"""The LLVM code of each vector function computes the same as the NumPy function of that name."""

import inspect
import json
import os
import platform
import re
import subprocess
import sys

import llvmlite.binding as llvm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba.core.errors import TypingError
from numba.core.registry import cpu_target
from numpy.testing import assert_allclose, assert_array_equal

from minicnn.engine.cpu.kernels.simd import (
    LANES,
    add_outer,
    load,
    load_bytes,
    load_rows,
    multiply_add,
    splat,
    store,
    store_bytes,
    store_rows,
    transpose,
    where,
)
from minicnn.runtime.compiled import compiled
from tests.strategies import normal, seeds, whole

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1, -1, 2], "float32")


def compiled_and_plain(function):
    return pytest.mark.parametrize(
        "run", [pytest.param(compiled(function), id="compiled"), pytest.param(function, id="plain")]
    )


def numbers(size, seed=0):
    return normal(seed, size, "float32")


# --- the width of a register -------------------------------------------------------------------------


def additions(width):
    """Count the instructions that LLVM makes of the sum of two vectors of ``width`` numbers."""
    kind = f"<{width} x float>"
    module = llvm.parse_assembly(
        f"define {kind} @add({kind} %a, {kind} %b) {{\n  %c = fadd {kind} %a, %b\n  ret {kind} %c\n}}"
    )
    assembly = cpu_target.target_context.codegen()._tm.emit_assembly(module)
    return len(re.findall(r"^\s*(?:v?addps|fadd)\b", assembly, re.MULTILINE))


def test_llvm_adds_lanes_numbers_with_one_instruction():
    assert LANES in (4, 8, 16)
    assert additions(LANES) == 1
    assert additions(2 * LANES) == 2


# --- loading and storing -----------------------------------------------------------------------------


def copy(x, at, y, to):
    store(y, to, load(x, at, 3))


@compiled_and_plain(copy)
@given(at=st.integers(0, 20), to=st.integers(0, 20))
def test_load_and_store_copy_whole_registers_at_any_position(run, at, to):
    x, y = numbers(3 * LANES + 20), numbers(3 * LANES + 20, 1)
    expected = y.copy()
    expected[to : to + 3 * LANES] = x[at : at + 3 * LANES]
    run(x, at, y, to)
    assert_array_equal(y, expected)


def splats(value, whole_number, y):
    store(y, 0, splat(value, 2))
    store(y, 2 * LANES, splat(whole_number, 1))
    store(y, 3 * LANES, splat(value, 1) - load(y, 0, 1))


@compiled_and_plain(splats)
def test_splat_rounds_one_number_to_float32_and_repeats_it(run):
    y = np.full(5 * LANES, 5, "float32")
    run(0.1, 7, y)
    assert_array_equal(y, np.repeat(np.array([0.1, 0.1, 7, 0, 5], "float32"), LANES))


def copy_rows(x, at, step, y, to, y_step):
    store_rows(y, to, y_step, load_rows(x, at, step, 3, 2), 2)


@compiled_and_plain(copy_rows)
@given(at=st.integers(0, 5), step=st.integers(0, 40), to=st.integers(0, 5), gap=st.integers(0, 5))
def test_rows_with_a_stride_are_loaded_and_stored(run, at, step, to, gap):
    row = 2 * LANES
    x, y = numbers(at + 2 * step + row), np.full(to + 3 * (row + gap) + 5, 7, "float32")
    expected = y.copy()
    for r in range(3):
        start = to + r * (row + gap)
        expected[start : start + row] = x[at + r * step : at + r * step + row]
    run(x, at, step, y, to, row + gap)
    assert_array_equal(y, expected)


def as_bytes(x, y, at):
    for k in range(0, len(x), 2 * LANES):
        store_bytes(y, at + k, load(x, k, 2))


@compiled_and_plain(as_bytes)
def test_store_bytes_writes_every_whole_number_that_a_byte_holds(run):
    y = np.full(262, 99, np.uint8)
    run(np.arange(256, dtype="float32"), y, 3)
    assert_array_equal(y, [99, 99, 99, *range(256), 99, 99, 99])


def from_bytes(x, at, y):
    for k in range(0, len(y), 2 * LANES):
        store(y, k, load_bytes(x, at + k, 2))


@compiled_and_plain(from_bytes)
def test_load_bytes_reads_every_whole_number_that_a_byte_holds(run):
    y = numbers(256)
    run(np.array([99, 99, 99, *range(256), 99, 99, 99], np.uint8), 3, y)
    assert_array_equal(y, np.arange(256, dtype="float32"))


def copy_bytes(x, at, y, to):
    store(y, to, load_bytes(x, at, 3))


@compiled_and_plain(copy_bytes)
@given(at=st.integers(0, 20), to=st.integers(0, 20), seed=seeds)
def test_load_bytes_reads_whole_registers_at_any_position(run, at, to, seed):
    x = np.random.default_rng(seed).integers(0, 256, 3 * LANES + 20, np.uint8)
    y = numbers(3 * LANES + 20)
    expected = y.copy()
    expected[to : to + 3 * LANES] = x[at : at + 3 * LANES]
    run(x, at, y, to)
    assert_array_equal(y, expected)


def transposed(x, at, y):
    store(y, 0, transpose(load(x, at, LANES)))


@compiled_and_plain(transposed)
@given(at=st.integers(0, 5))
def test_transpose_exchanges_rows_and_columns(run, at):
    x, y = np.arange(LANES * LANES + 5, dtype="float32"), numbers(LANES * LANES)
    run(x, at, y)
    expected = [at + column * LANES + row for row in range(LANES) for column in range(LANES)]
    assert_array_equal(y, expected)


def transposed_twice(x, y):
    store(y, 0, transpose(transpose(load(x, 0, LANES))))


@compiled_and_plain(transposed_twice)
def test_transposing_twice_restores_every_bit(run):
    x, y = np.resize(SPECIAL, LANES * LANES), numbers(LANES * LANES)
    run(x, y)
    assert_array_equal(y.view("uint32"), x.view("uint32"))


# --- arithmetic --------------------------------------------------------------------------------------


def arithmetic(a, b, y):
    p, q = load(a, 0, 2), load(b, 0, 2)
    store(y, 0, p + q)
    store(y, 2 * LANES, p - q)
    store(y, 4 * LANES, p * q)


@compiled_and_plain(arithmetic)
@given(seed=seeds)
def test_sums_differences_and_products_are_those_of_float32(run, seed):
    a, b = numbers(2 * LANES, seed), numbers(2 * LANES, seed + 1)
    y = np.empty(6 * LANES, "float32")
    run(a, b, y)
    assert_array_equal(y, np.concatenate([a + b, a - b, a * b]))


def scale_and_add(factor, a, b, y):
    store(y, 0, multiply_add(factor, load(a, 0, 2), load(b, 0, 2)))


@compiled_and_plain(scale_and_add)
@given(seed=seeds)
def test_multiply_add_of_whole_numbers_is_exact(run, seed):
    a, b, y = whole(seed, 2 * LANES, "float32"), whole(seed + 1, 2 * LANES, "float32"), numbers(2 * LANES)
    run(3.0, a, b, y)
    assert_array_equal(y, 3 * a + b)


@compiled_and_plain(scale_and_add)
def test_multiply_add_takes_the_factor_as_float32(run):
    y = numbers(2 * LANES)
    run(0.1, np.ones(2 * LANES, "float32"), np.zeros(2 * LANES, "float32"), y)
    assert_array_equal(y, np.full(2 * LANES, np.float32(0.1)))


def one_step_of_a_product(x, at, step, row, y):
    store(y, 0, add_outer(load(y, 0, 6), x, at, step, load(row, 0, 2)))


@compiled_and_plain(one_step_of_a_product)
@given(at=st.integers(0, 5), step=st.integers(1, 7), seed=seeds)
def test_add_outer_adds_a_multiple_of_the_row_to_each_row(run, at, step, seed):
    x, row = whole(seed, at + 2 * step + 1, "float32"), whole(seed + 1, 2 * LANES, "float32")
    y = whole(seed + 2, 6 * LANES, "float32")
    expected = [y[r * 2 * LANES + k] + x[at + r * step] * row[k] for r in range(3) for k in range(2 * LANES)]
    run(x, at, step, row, y)
    assert_array_equal(y, expected)


# --- comparisons -------------------------------------------------------------------------------------


def compare(a, b, y):
    one, zero, size = splat(1.0, 1), splat(0.0, 1), len(a)
    for k in range(0, size, LANES):
        p, q = load(a, k, 1), load(b, k, 1)
        store(y, k, where(p > q, one, zero))
        store(y, size + k, where(p <= q, one, zero))
        store(y, 2 * size + k, where(p == q, one, zero))
        store(y, 3 * size + k, where(p != q, one, zero))
        store(y, 4 * size + k, where((p > q) & (p == one), one, zero))
        store(y, 5 * size + k, where((p > q) | (p == one), one, zero))


@compiled_and_plain(compare)
def test_comparisons_equal_those_of_numbers_and_nan_is_unequal_to_everything(run):
    a, b = np.repeat(SPECIAL, 8), np.tile(SPECIAL, 8)
    y = np.empty(6 * 64, "float32")
    run(a, b, y)
    pairs = [(float(p), float(q)) for p, q in zip(a, b, strict=True)]
    expected = [
        [p > q for p, q in pairs],
        [p <= q for p, q in pairs],
        [p == q for p, q in pairs],
        [p != q for p, q in pairs],
        [p > q and p == 1 for p, q in pairs],
        [p > q or p == 1 for p, q in pairs],
    ]
    assert_array_equal(y.reshape(6, 64), expected)
    assert_array_equal(y.reshape(6, 8, 8)[:, 0, 0], [0, 0, 0, 1, 0, 0])  # NaN with NaN


def larger(a, b, y):
    p, q = load(a, 0, 2), load(b, 0, 2)
    store(y, 0, where(p > q, p, q))


@compiled_and_plain(larger)
def test_where_selects_elementwise(run):
    a, b, y = numbers(2 * LANES, 1), numbers(2 * LANES, 2), numbers(2 * LANES, 3)
    run(a, b, y)
    assert_array_equal(y, np.maximum(a, b))


# --- errors of types ---------------------------------------------------------------------------------


def adds_different_lengths(x, n):
    store(x, 0, load(x, 0, 1) + load(x, 0, 2))


def loads_a_length_that_is_no_constant(x, n):
    store(x, 0, load(x, 0, n))


def picks_by_numbers(x, n):
    store(x, 0, where(load(x, 0, 1), load(x, 0, 1), load(x, 0, 1)))


def adds_rows_that_do_not_fit(x, n):
    store(x, 0, add_outer(load(x, 0, 3), x, 0, 1, load(x, 0, 2)))


def loads_bytes_of_a_length_that_is_no_constant(x, n):
    store(x, 0, load_bytes(np.zeros(4 * LANES, np.uint8), 0, n))


def transposes_what_is_no_square(x, n):
    store(x, 0, transpose(load(x, 0, 2)))


@pytest.mark.parametrize(
    "loop",
    [
        adds_different_lengths,
        loads_a_length_that_is_no_constant,
        picks_by_numbers,
        adds_rows_that_do_not_fit,
        loads_bytes_of_a_length_that_is_no_constant,
        transposes_what_is_no_square,
    ],
)
def test_the_compiler_rejects_vectors_that_do_not_fit(loop):
    with pytest.raises(TypingError):
        compiled(loop)(numbers(4 * LANES), 1)


# --- other CPUs, and no compiler ---------------------------------------------------------------------


def one_step(normalized):
    """Take one step with a model that uses every kind of convolution; return loss and arrays."""
    import numpy as np

    from minicnn import Sequential, SoftmaxCrossEntropy
    from minicnn.engine.cpu.engine import FusedEngine
    from minicnn.engine.cpu.kernels import simd
    from minicnn.layers import BatchNorm, Conv2D, Dense, Flatten, MaxPool2D, ReLU
    from minicnn.optimizers import SGD

    layers = [Conv2D(16, 2, padding="same"), ReLU()]
    layers += [Conv2D(16, 3, padding="same", use_bias=not normalized), *(normalized * [BatchNorm()])]
    layers += [ReLU(), MaxPool2D(2), Conv2D(5, 3, padding="same"), ReLU(), Flatten(), Dense(3)]
    model = Sequential(layers, (6, 6, 1))
    images = np.random.default_rng(0).random((3, 6, 6, 1), np.float32)
    optimizer = SGD(0.5, momentum=0.9)
    result = FusedEngine(model, SoftmaxCrossEntropy(), optimizer).train_step(images, np.array([2, 0, 1]))
    arrays = {name: array.ravel().tolist() for name, array in model.arrays().items()}
    return {"lanes": simd.LANES, "loss": result.loss, "arrays": arrays}


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory):
    """Return a function that takes the step in a process with these variables and an empty cache."""

    def run(normalized, **variables):
        cache = str(tmp_path_factory.mktemp("numba"))
        script = f"import json\n{inspect.getsource(one_step)}\nprint(json.dumps(one_step({normalized})))"
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", script],
            env=os.environ | {"NUMBA_CACHE_DIR": cache, "MINICNN_NUM_THREADS": "1"} | variables,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def assert_same_step(theirs, ours):
    assert theirs["loss"] == pytest.approx(ours["loss"], rel=1e-6)
    for name, array in ours["arrays"].items():
        assert_allclose(theirs["arrays"][name], array, rtol=0, atol=1e-6 * np.abs(array).max(), err_msg=name)


@pytest.mark.parametrize("normalized", [False, True])
def test_without_the_compiler_the_plain_functions_take_the_same_step(elsewhere, thread_count, normalized):
    thread_count(1)
    plain = elsewhere(normalized, NUMBA_DISABLE_JIT="1")
    assert plain["lanes"] == LANES
    assert_same_step(plain, one_step(normalized))


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="these are CPUs of x86-64")
@pytest.mark.parametrize(("cpu", "lanes"), [("generic", 4), ("haswell", 8)])
def test_a_cpu_with_narrower_registers_takes_the_same_step(elsewhere, thread_count, cpu, lanes):
    if lanes >= LANES:
        pytest.skip(f"the registers of this CPU hold {LANES} numbers: no more than those of {cpu}")
    thread_count(1)
    # Without features the name alone says what there is; else this CPU's own would be used too.
    other = elsewhere(False, NUMBA_CPU_NAME=cpu, NUMBA_CPU_FEATURES="")
    assert other["lanes"] == lanes
    assert_same_step(other, one_step(False))
