"""With NumPy set to raise at underflow, nothing raises, on any engine or in a custom loop."""

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


def test_a_custom_training_loop():
    model, loss, optimizer = large_logits(), mc.SoftmaxCrossEntropy(), mc.optimizers.Adam()
    images, labels = batch()
    for _ in range(3):
        loss.forward(model.forward(model.preprocess(images), training=True), labels)
        model.backward(loss.backward())
        optimizer.step(model)
    for layer in model.layers:
        layer.grads = {name: np.full_like(w, 1e-30) for name, w in layer.params.items()}
    optimizer.step(model)


def test_numpys_error_settings_are_unchanged_afterwards():
    test_a_custom_training_loop()
    with pytest.raises(FloatingPointError, match="underflow"):
        np.exp(np.float32(-200))
