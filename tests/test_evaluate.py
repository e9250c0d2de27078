"""`evaluate`: loss, accuracy and probabilities of a model on a data set, without an optimizer."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minicnn as mc
from minicnn import layers as L
from minicnn.errors import ConfigError, NonFiniteError
from tests.train.toys import SHAPE, assert_same_arrays, copies, data, model, trainer


def test_loss_and_accuracy_by_hand():
    net = mc.Sequential([L.Flatten(), L.Dense(2)], (1, 2, 1), dtype="float64")
    net.layers[1].params["W"][...] = np.eye(2)
    images = np.array([[0, 255], [255, 0], [255, 255], [51, 0], [0, 102]], np.uint8).reshape(5, 1, 2, 1)
    labels = np.array([1, 1, 0, 0, 0])
    # The logits are the pixels, 0…1; the loss of a difference d in favor of the label is log(1 + e^−d).
    expected = np.mean([math.log1p(math.exp(-d)) for d in (1, -1, 0, 0.2, -0.4)])
    for batch_size in (2, 5, 256):
        result = mc.evaluate(net, mc.data.Dataset(images, labels, ("left", "right")), batch_size)
        assert result.loss == pytest.approx(expected, rel=1e-12)
        assert_array_equal(result.predicted, [1, 0, 0, 0, 1])  # the first of equal logits
        assert result.accuracy == 3 / 5
        assert_allclose(result.probabilities.sum(axis=1), 1)


def test_it_works_in_batches_without_training(monkeypatch):
    net, seen = model(), []
    forward = net.forward
    monkeypatch.setattr(
        net, "forward", lambda x, training=False: seen.append((len(x), training)) or forward(x)
    )
    with mc.ops.use("reference"):  # otherwise the layers are not called
        mc.evaluate(net, data(10), batch_size=4)
    assert seen == [(4, False), (4, False), (2, False)]


def test_it_changes_nothing():
    net = model(extra=[L.BatchNorm(), L.Dropout(0.5)])
    before = copies(net)
    assert mc.evaluate(net, data()).loss == mc.evaluate(net, data()).loss
    assert_same_arrays(net, before)


def test_with_flip_tta_the_logits_are_the_mean_of_both_images():
    runner, other = trainer(), data(9, seed=5)
    runner.fit(data(), epochs=1, batch_size=8, progress=False)
    net = runner.model
    mean = np.mean([net.logits(x) for x in (other.images, other.images[:, :, ::-1].copy())], axis=0)
    result = mc.evaluate(net, other, flip_tta=True)
    assert_allclose(result.probabilities, mc.losses.softmax(mean), rtol=1e-5)
    assert result.loss == pytest.approx(mc.SoftmaxCrossEntropy()(mean, other.labels), rel=1e-5)
    assert result.loss != pytest.approx(mc.evaluate(net, other).loss, rel=1e-3)


def test_a_trainers_evaluation_is_the_same_without_label_smoothing():
    net, loss = model(), mc.SoftmaxCrossEntropy(label_smoothing=0.5)
    result = mc.Trainer(net, mc.optimizers.SGD(0.1), loss).evaluate(data())
    assert result.loss == mc.evaluate(net, data()).loss
    right = result.probabilities[np.arange(24), data().labels]
    assert result.loss == pytest.approx(-np.log(right).mean(), rel=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_broken_weights_raise_an_error(value):
    net = model()
    net.layers[-1].params["W"][...] = value
    with pytest.raises(NonFiniteError, match="the model's output holds NaN or infinity"):
        mc.evaluate(net, data())


def test_nearly_equal_logits_give_the_models_prediction():
    net = model()
    net.layers[-1].params["W"][...] = 0
    net.layers[-1].params["b"][...] = [0.1, np.nextafter(np.float32(0.1), np.float32(1)), 0]
    result = mc.evaluate(net, data())
    assert result.probabilities.dtype == np.float64
    assert_array_equal(net.predict(data().images), np.ones(24))
    assert_array_equal(result.predicted, np.ones(24))


@pytest.mark.parametrize("wrong", [mc.Sequential, None, data()], ids=["a class", "None", "swapped"])
def test_other_than_a_model_is_rejected(wrong):
    with pytest.raises(ConfigError, match="expected a Sequential model, got"):
        mc.evaluate(wrong, model())


def test_a_model_that_is_not_a_classifier_is_rejected():
    with pytest.raises(ConfigError, match=r"let it end in Dense\(classes\)"):
        mc.evaluate(mc.Sequential([L.ReLU()], SHAPE), data())


def test_flip_tta_is_true_or_false():
    with pytest.raises(ConfigError, match="flip_tta must be True or False, got 'no'"):
        mc.evaluate(model(), data(), flip_tta="no")


@pytest.mark.parametrize("batch_size", [0, -1, 2.5])
def test_an_invalid_batch_size_is_rejected(batch_size):
    with pytest.raises(ConfigError, match="batch_size"):
        mc.evaluate(model(), data(), batch_size)
