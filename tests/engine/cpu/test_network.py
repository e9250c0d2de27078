"""Predictions of the blocks equal those of the layers, for any batch size and number of threads."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minicnn as mc
from minicnn import layers as L
from minicnn import ops
from minicnn.engine import select as module
from minicnn.errors import NonFiniteError
from minicnn.runtime.threads import num_threads
from tests.engine.models import CLASSES, batch, network

EXTRAS = {"blocks only": (), "with layers": (L.Dropout(0.5), L.LeakyReLU(0.1), L.AvgPool2D(2))}


def trained(seed=0, extra=()):
    """Return a model with running averages other than the initial ones."""
    model = network(seed=seed, extra=copy.deepcopy(extra), preprocessing=mc.Standardize(0.3, 0.4))
    mc.Trainer(model, mc.optimizers.SGD(0.01)).engine.train_step(*batch())
    return model


@pytest.fixture(autouse=True)
def default_threads():
    yield
    mc.set_num_threads(None)


@pytest.mark.parametrize("n", [1, 33, 70])
@pytest.mark.parametrize("extra", EXTRAS)
def test_predictions_equal_the_layers(extra, n):
    model, images = trained(extra=EXTRAS[extra]), batch(n)[0]
    expected = model.forward(model.preprocess(images))
    assert_allclose(model.logits(images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2, 3, 50])
def test_neither_batch_size_nor_threads_change_a_bit(threads):
    model, images = trained(), batch(70)[0]
    mc.set_num_threads(1)
    expected = model.logits(images)
    mc.set_num_threads(threads)
    for size in (1, 7, 32, 1000):
        assert_array_equal(model.logits(images, size), expected)
    assert_array_equal(np.concatenate([model.logits(image[None]) for image in images]), expected)


def test_new_weights_are_used():
    model, other, images = trained(), trained(1), batch(5)[0]
    model.logits(images)
    model.set_arrays(other.arrays())
    assert_array_equal(model.logits(images), other.logits(images))
    model.layers[-1].params["b"] += 1
    assert_allclose(model.logits(images), other.logits(images) + 1, rtol=1e-5)


def test_further_training_is_used():
    model, images = trained(), batch(5)[0]
    before = model.logits(images)
    mc.Trainer(model, mc.optimizers.SGD(0.1)).engine.train_step(*batch())
    after = model.logits(images)
    assert abs(after - before).max() > 1e-3
    assert_allclose(after, model.forward(model.preprocess(images)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_predicts_with_its_own_weights(clone):
    model, images = trained(), batch(5)[0]
    expected = model.logits(images)
    twin = clone(model)
    twin.layers[-1].params["b"] += 1
    assert_allclose(twin.logits(images), expected + 1, rtol=1e-5)
    assert_array_equal(model.logits(images), expected)


@pytest.mark.parametrize("extra", EXTRAS)
def test_several_threads_may_predict_with_one_model(extra):
    model, images = trained(extra=EXTRAS[extra]), batch(40)[0]
    mc.set_num_threads(2)
    expected = model.logits(images)
    with ThreadPoolExecutor(4) as callers:
        for logits in callers.map(lambda _: model.logits(images), range(12)):
            assert_array_equal(logits, expected)


def test_the_layers_predict_in_float64_and_with_the_reference_kernels(monkeypatch):
    exact, model, images = network("float64"), network(), batch(3)[0]
    seen = []
    for each in (exact, model):
        forward = each.forward
        monkeypatch.setattr(each, "forward", lambda x, f=forward: seen.append(x.dtype.name) or f(x))
    model.logits(images)
    exact.logits(images)
    with ops.use("reference"):
        model.logits(images)
    assert seen == ["float64", "float32"]


def test_weights_that_are_not_finite_raise():
    model = network()
    model.layers[0].params["W"][0, 0, 0, 0] = np.nan
    with pytest.raises(NonFiniteError):
        model.logits(batch(2)[0])


def test_a_last_convolution_keeps_its_shape():
    model = mc.Sequential([L.Conv2D(CLASSES, 3)], (9, 8, 1))
    images = batch(4)[0]
    assert_allclose(model.logits(images), model.forward(model.preprocess(images)), rtol=1e-4, atol=1e-5)


def test_a_replaced_layer_is_used():
    model, images = trained(), batch(4)[0]
    model.logits(images)
    at = next(i for i, layer in enumerate(model.layers) if isinstance(layer, L.ReLU))
    leaky = L.LeakyReLU(0.5)
    leaky.build(model.layers[at].input_shape, np.random.default_rng(0))
    model.layers[at] = leaky
    assert_allclose(model.logits(images), model.forward(model.preprocess(images)), rtol=1e-4, atol=1e-5)


def test_a_smaller_batch_size_needs_less_memory():
    model, images = trained(), batch(70)[0]
    mc.set_num_threads(2)
    model.logits(images, 10)
    assert model.predictors.free[0].network.capacity == 10
    model.logits(images, 10_000)
    assert [predictor.network.capacity for predictor in model.predictors.free] == [128]


def test_large_activations_are_predicted_a_few_images_at_a_time(monkeypatch):
    model = mc.Sequential([L.Conv2D(2, 3, padding="same"), L.ReLU(), L.Flatten(), L.Dense(3)], (12, 11, 1))
    images = np.random.default_rng(0).integers(0, 256, (50, 12, 11, 1), np.uint8)
    whole = model.logits(images)
    activations, workspace = model.image_memory
    monkeypatch.setattr(module, "MOST_MEMORY", num_threads() * (workspace + 7 * activations))
    model.predictors.free.clear()
    assert_allclose(model.logits(images), whole, rtol=1e-5)
    assert model.predictors.free[0].chunk == 7
    monkeypatch.setattr(module, "MOST_MEMORY", 1)  # less than one image takes, which there must be room for
    assert_allclose(model.logits(images), whole, rtol=1e-5)
    assert model.predictors.free[0].chunk == 1
    rows = []
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda x: rows.append(len(x)) or forward(x))
    monkeypatch.setattr(module, "MOST_MEMORY", 6 * sum(model.image_memory))
    with ops.use("reference"):
        assert_allclose(model.logits(images), whole, rtol=1e-4)
    assert max(rows) == 6
