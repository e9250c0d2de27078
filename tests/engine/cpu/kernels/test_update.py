"""The update kernels take the steps of ``minicnn.optimizers``, also slice by slice."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minicnn.engine.cpu.kernels import update
from minicnn.optimizers import SGD, Adam, AdamW
from tests.engine.cpu.blockwise import UNIT
from tests.strategies import normal

SIZE, RATES = 50, (0.1, 0.1, 0.03)  # a schedule may change the rate between steps
GRADIENTS = [normal(step, SIZE, "float32") for step in range(3)]
OPTIMIZERS = {
    "sgd": SGD(),
    "sgd with L2": SGD(weight_decay=0.1),
    "sgd with decoupled decay": SGD(weight_decay=0.1, decoupled=True),
    "momentum": SGD(momentum=0.9),
    "momentum with L2": SGD(momentum=0.9, weight_decay=0.1),
    "momentum with decoupled decay": SGD(momentum=0.9, weight_decay=0.1, decoupled=True),
    "nesterov": SGD(momentum=0.9, nesterov=True),
    "nesterov with L2": SGD(momentum=0.9, nesterov=True, weight_decay=0.1),
    "nesterov with decoupled decay": SGD(momentum=0.9, nesterov=True, weight_decay=0.1, decoupled=True),
    "clipped": SGD(global_clipnorm=0.5),
    "clipped momentum with L2": SGD(momentum=0.9, weight_decay=0.1, global_clipnorm=0.5),
    "clipped nesterov with L2": SGD(momentum=0.9, nesterov=True, weight_decay=0.1, global_clipnorm=0.5),
    "clipped adam": Adam(epsilon=0.1, global_clipnorm=0.5),
    "adam": Adam(),
    "adam with other betas": Adam(beta_1=0.5, beta_2=0.9, epsilon=0.1),
    "adam with L2": Adam(weight_decay=0.1),
    "adamw": AdamW(weight_decay=0.1),
}
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def zero_moments(optimizer, dtype="float32"):
    if isinstance(optimizer, SGD):
        return [np.zeros(SIZE if optimizer.momentum else 0, dtype)]
    return [np.zeros(SIZE, dtype), np.zeros(SIZE, dtype)]


def step(o, w, g, moments, first, last, rate, number):
    o = copy.deepcopy(o)
    norm = np.linalg.norm(g.astype("float64"))
    clip = 1.0 if o.global_clipnorm is None else min(1.0, o.global_clipnorm / norm)
    o.learning_rate, o.steps = rate, number
    apply = getattr(update, o.kernel)
    apply(w, g, *moments, first, last, o.numbers(), o.weight_decay, clip)


def three_steps(optimizer, *slices):
    """Return w and the moments after each of three steps on the slices."""
    w, moments, path = normal(9, SIZE, "float32"), zero_moments(optimizer), []
    for number, (rate, g) in enumerate(zip(RATES, GRADIENTS, strict=True), 1):
        for first, last in slices:
            step(optimizer, w, g, moments, first, last, rate, number)
        path.append([w.copy(), *(moment.copy() for moment in moments)])
    return path


def three_exact_steps(optimizer):
    """Return the same from the optimizer itself, in float64."""
    optimizer, path = copy.deepcopy(optimizer), []
    w = normal(9, SIZE, "float32").astype("float64")
    layer = SimpleNamespace(name="layer", decayed=("W",), params={"W": w}, grads={})
    model = SimpleNamespace(layers=[layer])
    for rate, g in zip(RATES, GRADIENTS, strict=True):
        optimizer.learning_rate = rate
        layer.grads["W"] = g.astype("float64")
        optimizer.step(model)
        moments = zero_moments(optimizer, "float64")
        if moments[0].size:
            moments = optimizer.moments("layer.W", w, len(moments))
        path.append([w.copy(), *(moment.copy() for moment in moments)])
    return path


@every_optimizer
def test_three_steps_equal_those_of_the_optimizer(name):
    for ours, exact in zip(
        three_steps(OPTIMIZERS[name], (0, SIZE)), three_exact_steps(OPTIMIZERS[name]), strict=True
    ):
        for array, expected in zip(ours, exact, strict=True):
            assert array.dtype == np.float32
            assert_allclose(array, expected, rtol=0, atol=8 * UNIT)


@every_optimizer
def test_without_the_compiler_the_steps_are_bitwise_equal(name, monkeypatch):
    compiled = three_steps(OPTIMIZERS[name], (0, SIZE))
    for loop in ("sgd", "adam"):
        monkeypatch.setattr(update, loop, getattr(update, loop).py_func)
    for ours, plain in zip(compiled, three_steps(OPTIMIZERS[name], (0, SIZE)), strict=True):
        for array, expected in zip(ours, plain, strict=True):
            assert_array_equal(array, expected)


@every_optimizer
def test_slices_give_equal_results_and_change_nothing_else(name):
    optimizer = OPTIMIZERS[name]
    before = [normal(9, SIZE, "float32"), *zero_moments(optimizer)]
    whole = three_steps(optimizer, (0, SIZE))[-1]
    in_slices = three_steps(optimizer, (20, SIZE), (0, 7), (7, 20))[-1]
    middle = three_steps(optimizer, (7, 20))[-1]
    for all_at_once, sliced, some, start in zip(whole, in_slices, middle, before, strict=True):
        assert_array_equal(sliced, all_at_once)
        assert_array_equal(some[7:20], all_at_once[7:20])
        assert_array_equal(some[:7], start[:7])
        assert_array_equal(some[20:], start[20:])
        assert start.size == 0 or (some[7:20] != start[7:20]).all()


def test_the_gradient_is_only_read():
    gradients = [g.copy() for g in GRADIENTS]
    for optimizer in OPTIMIZERS.values():
        three_steps(optimizer, (0, SIZE))
    assert_array_equal(GRADIENTS, gradients)


@every_optimizer
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_in_a_gradient_reach_the_weights(name, bad):
    optimizer = OPTIMIZERS[name]
    w, g = np.ones(SIZE, "float32"), np.ones(SIZE, "float32")
    g[3] = bad
    step(optimizer, w, g, zero_moments(optimizer), 0, SIZE, 0.1, 1)
    assert_array_equal(np.isfinite(w), np.arange(SIZE) != 3)


@pytest.mark.parametrize(("first", "last"), [(0, 1000), (3, 999), (5, 69), (7, 8), (4, 4)])
def test_the_sum_of_squares_of_a_slice_is_computed_in_float64(first, last):
    g = normal(3, 1000, "float32") * np.float32(1e25)  # squares beyond float32
    g[:first], g[last:] = np.nan, np.nan
    expected = (g[first:last].astype("float64") ** 2).sum()
    assert_allclose(update.square_sum(g, first, last), expected, rtol=1e-14)
    assert_allclose(update.square_sum.py_func(g, first, last), expected, rtol=1e-14)
