"""`LayerwiseEngine`: a step equals training by hand, and a failed step changes nothing."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minicnn as mc
from minicnn import layers as L
from minicnn.engine.cpu.engine import FusedEngine
from minicnn.engine.layerwise import LayerwiseEngine
from minicnn.errors import NonFiniteError, ShapeError, StateError
from minicnn.runtime import threads
from tests.test_golden import LOSSES, batch, two_convolutions

SHAPE = (5, 4, 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, *SHAPE), np.uint8)
LABELS = np.array([0, 1, 2, 2, 1, 0])


def network(dropout=0.2):
    layers = [L.Conv2D(2, 3, padding="same"), L.BatchNorm(), L.ReLU(), L.Dropout(dropout)]
    layers += [L.Flatten(), L.Dense(3)]
    return mc.Sequential(layers, SHAPE, preprocessing=mc.Standardize(0.3, 0.4))


def engine(model, optimizer=None):
    return LayerwiseEngine(model, mc.SoftmaxCrossEntropy(), optimizer or mc.optimizers.SGD(0.1, momentum=0.9))


def assert_same_arrays(model, other):
    for name, array in model.arrays().items():
        assert_array_equal(array, other[name], name)


def test_a_step_equals_forward_loss_backward_update_by_hand():
    model, by_hand = network(), network()
    loss, optimizer = mc.SoftmaxCrossEntropy(), mc.optimizers.SGD(0.1, momentum=0.9)
    runner = engine(model)
    for _ in range(3):
        result = runner.train_step(IMAGES, LABELS)
        logits = by_hand.forward(by_hand.preprocess(IMAGES), training=True)
        expected = loss.forward(logits, LABELS)
        by_hand.backward(loss.backward())
        optimizer.step(by_hand)
        assert result.loss == expected
        assert result.correct == (logits.argmax(axis=1) == LABELS).sum()
    assert_same_arrays(model, by_hand.arrays())


def test_ten_steps_give_the_golden_losses():
    images, labels = batch("float64")
    runner = engine(two_convolutions("float64"), mc.optimizers.SGD(0.05, momentum=0.9))
    losses = [runner.train_step(images, labels).loss for _ in LOSSES]
    assert_allclose(losses, LOSSES, rtol=1e-9)


@pytest.mark.parametrize("engine", [LayerwiseEngine, FusedEngine])
@pytest.mark.parametrize("rows", [6, 3])  # 3: as many as there are classes, which might be taken for labels
def test_probabilities_instead_of_labels_raise_before_anything_is_updated(engine, rows):
    model = network()
    before = {name: array.copy() for name, array in model.arrays().items()}
    runner = engine(model, mc.SoftmaxCrossEntropy(), mc.optimizers.SGD(0.1))
    with pytest.raises(ShapeError, match=rf"labels \(N,\), got .*\({rows}, 3\)"):
        runner.train_step(IMAGES[:rows], np.full((rows, 3), 1 / 3))
    assert_same_arrays(model, before)


def test_the_images_and_labels_do_not_change():
    images, labels = IMAGES.copy(), LABELS.copy()
    engine(network()).train_step(images, labels)
    assert_array_equal(images, IMAGES)
    assert_array_equal(labels, LABELS)


def test_a_step_leaves_no_caches():
    model = network()
    engine(model).train_step(IMAGES, LABELS)
    with pytest.raises(StateError, match="dense_1"):
        model.backward(np.zeros((6, 3), np.float32))


def stack(*values):
    model = mc.Sequential([L.Flatten(), *(L.Dense(3) for _ in values)], SHAPE)
    for layer, value in zip(model.layers[1:], values, strict=True):
        layer.params["W"][...] = value
    return model


class TestNonFinite:
    """A NaN or infinite loss: the error names the cause, and nothing is changed."""

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            (stack(1e30, 1e30, 1), "layer 'dense_2' produced it, its output overflowed"),
            (stack(1, 1, np.nan), "layer 'dense_3' produced it, its W became NaN or infinite"),
            (stack(1, np.inf, np.inf), "layer 'dense_2' produced it, its W became NaN or infinite"),
            (stack(0, 0, 0), "the loss overflowed"),
        ],
        ids=["overflow", "nan", "first of two", "loss"],
    )
    def test_the_first_layer_to_blame_is_named(self, model, message):
        if "the loss" in message:  # logits of ±3e38, whose difference is too large for float32
            model.layers[-1].params["b"][...] = [3e38, -3e38, 0]
        with pytest.raises(NonFiniteError, match=message) as caught:
            engine(model).train_step(IMAGES, np.ones(6, int))
        assert "lower the learning rate" in str(caught.value)

    def test_a_broken_bias_is_named_too(self):
        model = stack(1, 1)
        model.layers[1].params["b"][1] = np.inf
        with pytest.raises(NonFiniteError, match="layer 'dense_1' produced it, its b became NaN"):
            engine(model).train_step(IMAGES, LABELS)

    def test_the_step_changes_nothing_not_even_running_averages(self):
        model = network()
        model.layers[0].params["W"][0, 0] = np.inf
        before = {name: array.copy() for name, array in model.arrays().items()}
        optimizer = mc.optimizers.SGD(0.1, momentum=0.9)
        with pytest.raises(NonFiniteError):
            engine(model, optimizer).train_step(IMAGES, LABELS)
        assert_same_arrays(model, before)
        assert optimizer.steps == 0
        assert np.isfinite(model.layers[1].state["running_mean"]).all()

    def test_the_cache_is_freed(self):
        model = stack(1e30, 1e30)
        with pytest.raises(NonFiniteError):
            engine(model).train_step(IMAGES, LABELS)
        with pytest.raises(StateError, match="without a forward"):
            model.backward(np.zeros((6, 3), np.float32))

    def test_training_can_continue_after_the_error(self):
        model, untouched = network(dropout=0.0), network(dropout=0.0)
        runner, other = engine(model), engine(untouched)
        good = model.layers[-1].params["W"].copy()
        model.layers[-1].params["W"][0, 0] = np.nan
        with pytest.raises(NonFiniteError):
            runner.train_step(IMAGES, LABELS)
        model.layers[-1].params["W"][...] = good
        assert runner.train_step(IMAGES, LABELS) == other.train_step(IMAGES, LABELS)
        assert_same_arrays(model, untouched.arrays())

    def test_no_thread_warns_of_the_overflow(self, monkeypatch):
        monkeypatch.setattr(threads, "num_threads", lambda: 3)
        with pytest.raises(NonFiniteError, match="overflowed"):  # a warning would be an error here
            engine(stack(1e30, 1e30)).train_step(IMAGES, LABELS)
