"""NumPy may be told to raise at every underflow: nothing here does then, on any engine or by hand."""

import numpy as np
import pytest

import minicnn as mc
from minicnn.engine import make_engine
from tests.engine.models import batch, network


@pytest.fixture(autouse=True)
def every_warning_raises():
    with np.errstate(all="raise"):
        yield


def large_logits():
    """Return a model whose logits are thousands apart: exp underflows, and so do tiny gradients."""
    model = network()
    model.layers[-1].params["W"] *= 1e4
    model.layers[3].params["W"][:] = 1e-30
    return model


@pytest.mark.parametrize("engine", ["layerwise", "fused"])
@pytest.mark.parametrize("optimizer", [lambda: mc.optimizers.SGD(1e-6, momentum=0.9), mc.optimizers.AdamW])
def test_training_and_predicting(engine, optimizer):
    model = large_logits()
    runner = make_engine(engine, model, mc.SoftmaxCrossEntropy(0.1), optimizer())
    for seed in range(2):
        assert np.isfinite(runner.train_step(*batch(seed=seed)).loss)
    assert (model.predict_proba(batch()[0]) == 0).any()


def test_a_loop_of_ones_own():
    model, loss, optimizer = large_logits(), mc.SoftmaxCrossEntropy(), mc.optimizers.Adam()
    images, labels = batch()
    for _ in range(3):
        loss.forward(model.forward(model.preprocess(images), training=True), labels)
        model.backward(loss.backward())
        optimizer.step(model)
    for layer in model.layers:
        layer.grads = {name: np.full_like(w, 1e-30) for name, w in layer.params.items()}
    optimizer.step(model)


def test_what_numpy_was_told_holds_afterwards():
    test_a_loop_of_ones_own()
    with pytest.raises(FloatingPointError, match="underflow"):
        np.exp(np.float32(-200))
