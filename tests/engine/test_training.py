"""The fused engine apart from its results: errors, memory, threads, copies."""

import copy
import multiprocessing
import pickle
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minicnn as mc
from minicnn import layers as L
from minicnn import optimizers
from minicnn.engine.cpu import update
from minicnn.engine.cpu.engine import FusedEngine
from minicnn.engine.layerwise import LayerwiseEngine
from minicnn.errors import DataError, DTypeError, NonFiniteError, ShapeError
from tests.engine.models import CLASSES, SHAPE, batch, copies, network
from tests.interrupts import interrupted_everywhere


def engine(model=None, seed=0):
    model = network(seed=seed) if model is None else model
    return FusedEngine(model, mc.SoftmaxCrossEntropy(0.1), mc.optimizers.SGD(0.02, momentum=0.9))


def take(runner, steps=3):
    return [runner.train_step(*batch(6 - step, step)) for step in range(steps)]


def assert_same(model, expected):
    for name, array in model.arrays().items():
        assert_array_equal(array, expected[name], name)


@pytest.fixture(autouse=True)
def default_threads():
    yield
    mc.set_num_threads(None)


class TestRefusing:
    @pytest.mark.parametrize(
        ("images", "labels", "error"),
        [
            ((6, *SHAPE[:2], 2), np.zeros(6, int), ShapeError),
            ((6, 1, 1, 1), np.zeros(6, int), ShapeError),
            ((0, *SHAPE), np.zeros(0, int), ShapeError),
            ((6, *SHAPE), np.zeros(5, int), ShapeError),
            ((6, *SHAPE), np.full(6, CLASSES), DataError),
            ((6, *SHAPE), np.full(6, -1), DataError),
            ((6, *SHAPE), np.zeros(6), DTypeError),
        ],
    )
    def test_an_invalid_batch_raises_and_changes_nothing(self, images, labels, error):
        runner = engine()
        take(runner)
        before, steps = copies(runner.model), runner.optimizer.steps
        with pytest.raises(error):
            runner.train_step(np.zeros(images, np.uint8), labels)
        assert_same(runner.model, before)
        assert runner.optimizer.steps == steps

    def test_a_loss_that_is_not_finite_changes_nothing_and_names_the_layer(self):
        runner, other = engine(), engine()
        take(runner), take(other)
        before = copies(runner.model)
        good = runner.model.layers[3].params["W"].copy()
        runner.model.layers[3].params["W"][0, 0] = np.inf
        with pytest.raises(NonFiniteError, match="conv2d_2"):
            runner.train_step(*batch())
        runner.model.layers[3].params["W"][...] = good
        assert_same(runner.model, before)
        assert take(runner) == take(other)
        assert_same(runner.model, other.model.arrays())


def test_a_custom_loss_is_called():
    class Doubled(mc.SoftmaxCrossEntropy):
        def forward(self, logits, targets):
            return 2 * super().forward(logits, targets)

        def backward(self):
            return 2 * super().backward()

    plain, doubled = engine(), engine()
    doubled.loss = Doubled(0.1)
    a, b = plain.train_step(*batch()), doubled.train_step(*batch())
    assert b.loss == pytest.approx(2 * a.loss, rel=1e-5)
    assert b.correct == a.correct
    for one, two in zip(plain.model.layers, doubled.model.layers, strict=True):
        for name, gradient in one.grads.items():
            scale = max(abs(gradient).max(), 1e-3)
            assert_allclose(two.grads[name] / scale, 2 * gradient / scale, atol=1e-3)


def test_a_step_allocates_no_batch_sized_arrays():
    model = mc.Sequential(
        [L.Conv2D(16, 3, padding="same"), L.ReLU(), L.MaxPool2D(2), L.Flatten(), L.Dense(CLASSES)],
        (28, 28, 1),
    )
    runner, rng = engine(model), np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (64, 28, 28, 1), dtype=np.uint8), rng.integers(0, CLASSES, 64)
    for _ in range(3):
        runner.train_step(images, labels)
    arrays = [id(array) for array in runner.network.activations + runner.network.gradients]
    tracemalloc.start()
    runner.train_step(images, labels)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    one_activation = 64 * 14 * 14 * 16 * 4
    assert peak < one_activation / 10
    assert [id(array) for array in runner.network.activations + runner.network.gradients] == arrays


@pytest.mark.parametrize("threads", [1, 2, 3, 9])
def test_the_same_number_of_threads_gives_the_same_bits(threads):
    mc.set_num_threads(threads)
    one, two = engine(), engine()
    assert take(one) == take(two)
    assert_same(one.model, two.model.arrays())


def test_the_number_of_threads_may_change_between_steps():
    runner, other = engine(), engine()
    results = []
    for threads in (1, 3, 2):
        mc.set_num_threads(threads)
        results.append(runner.train_step(*batch()).loss)
        assert runner.network.parts == threads
    mc.set_num_threads(2)
    assert_allclose(results, [other.train_step(*batch()).loss for _ in range(3)], rtol=1e-4)


def test_two_models_may_be_trained_at_once():
    mc.set_num_threads(2)
    alone = [engine(seed=seed) for seed in range(3)]
    expected = [take(runner, 5) for runner in alone]
    together = [engine(seed=seed) for seed in range(3)]
    with ThreadPoolExecutor(3) as callers:
        assert list(callers.map(lambda runner: take(runner, 5), together)) == expected
    for runner, other in zip(together, alone, strict=True):
        assert_same(runner.model, other.model.arrays())


def _losses_in_child(runner, answers):
    answers.put(take(runner))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # tested here
def test_a_forked_child_trains_on():
    mc.set_num_threads(2)
    runner = engine()
    take(runner)
    forked = multiprocessing.get_context("fork")
    answers = forked.Queue()
    child = forked.Process(target=_losses_in_child, args=(runner, answers))
    child.start()
    from_child = answers.get(timeout=120)
    child.join(120)
    assert child.exitcode == 0
    assert take(runner) == from_child


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda runner: pickle.loads(pickle.dumps(runner))])
def test_a_copy_trains_independently_with_equal_results(clone):
    runner = engine()
    take(runner)
    twin = clone(runner)
    before = copies(runner.model)
    results = take(twin)
    assert_same(runner.model, before)
    assert take(runner) == results


def test_gradients_are_in_layer_grads():
    runner = engine()
    take(runner, 1)
    for layer in runner.model.layers:
        assert layer.grads.keys() == layer.params.keys()
        for name, w in layer.params.items():
            assert layer.grads[name].shape == w.shape
            assert layer.grads[name].dtype == w.dtype


@pytest.mark.parametrize("layers", [[L.GlobalMaxPool2D()], [L.GlobalAvgPool2D()]])
def test_a_model_without_parameters_takes_steps(layers):
    model = mc.Sequential(copy.deepcopy(layers), (4, 5, CLASSES))
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, CLASSES), dtype=np.uint8)
    logits = model.forward(model.preprocess(images))
    expected = mc.SoftmaxCrossEntropy(0.1)(logits, np.array([0, 1, 2]))
    assert engine(model).train_step(images, np.array([0, 1, 2])).loss == pytest.approx(expected, rel=1e-5)


def test_a_pool_of_one_pixel_that_skips_others_is_a_pool():
    def model(dtype):
        layers = [L.Conv2D(16, 3, padding="same"), L.ReLU(), L.Conv2D(16, 3, padding="same"), L.ReLU()]
        layers += [L.MaxPool2D(1, strides=2), L.Flatten(), L.Dense(CLASSES)]
        return mc.Sequential(layers, SHAPE, dtype=dtype)

    fused = engine(model("float32"))
    optimizer = mc.optimizers.SGD(0.02, momentum=0.9)
    plain = LayerwiseEngine(model("float64"), mc.SoftmaxCrossEntropy(0.1), optimizer)
    plain.model.set_arrays(fused.model.arrays())
    assert fused.train_step(*batch()).loss == pytest.approx(plain.train_step(*batch()).loss, rel=1e-5)
    for layer, exact in zip(fused.model.layers, plain.model.layers, strict=True):
        for name, gradient in exact.grads.items():
            assert_allclose(layer.grads[name], gradient, atol=1e-4 * abs(gradient).max(), err_msg=layer.name)


def test_weights_in_another_memory_order_keep_their_momentum():
    runner, other = engine(), engine()
    assert take(runner) == take(other)
    dense = runner.model.layers[-1]
    dense.params["W"] = np.asfortranarray(dense.params["W"])
    assert take(runner) == take(other)
    assert_same(runner.model, other.model.arrays())


def test_a_replaced_layer_is_detected():
    runner = engine()
    runner.train_step(*batch())
    head = L.Dense(CLASSES)
    head.build(runner.model.layers[-1].input_shape, np.random.default_rng(5))
    head.name = "head"
    runner.model.layers[-1] = head
    before = head.params["W"].copy()
    runner.train_step(*batch())
    assert abs(head.params["W"] - before).max() > 0


class OwnSGD(mc.optimizers.SGD):
    """A custom optimizer, whose ``step`` the engine calls."""


@pytest.mark.parametrize("optimizer", [mc.optimizers.SGD(0.1), OwnSGD(0.1)])
def test_a_step_that_is_interrupted_is_taken_by_all_parameters_or_none(optimizer):
    mc.set_num_threads(2)
    model = mc.Sequential([L.Conv2D(3, 2), L.ReLU(), L.Flatten(), L.Dense(CLASSES)], SHAPE)
    runner = FusedEngine(model, mc.SoftmaxCrossEntropy(), optimizer)
    x, labels = batch(4, 0)
    before = copies(model)
    runner.train_step(x, labels)
    after = copies(model)

    def prepare():
        model.set_arrays(before)
        return (lambda: runner.train_step(x, labels)), None

    for _ in interrupted_everywhere(prepare, update, optimizers):
        assert_same(model, before if (model.layers[0].params["W"] == before["conv2d_1.W"]).all() else after)
    model.set_arrays(before)
    runner.train_step(x, labels)
    assert_same(model, after)
