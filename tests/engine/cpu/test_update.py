"""The fused engine's update equals the optimizer's step."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minicnn as mc
from minicnn.engine.cpu.engine import FusedEngine
from minicnn.engine.layerwise import LayerwiseEngine
from minicnn.errors import ConfigError
from minicnn.optimizers import SGD, Adam, AdamW
from tests.engine.models import batch, network


class SignedSGD(SGD):
    """A custom subclass of SGD, which must not be treated as SGD."""

    def _direction(self, key, g):
        return np.sign(g)


OPTIMIZERS = {
    "plain": lambda: SGD(0.05),
    "momentum": lambda: SGD(0.02, momentum=0.9),
    "nesterov": lambda: SGD(0.02, momentum=0.9, nesterov=True, weight_decay=0.01),
    "coupled decay of all": lambda: SGD(0.02, momentum=0.9, weight_decay=0.1, decay_all=True),
    "decoupled decay": lambda: SGD(0.02, momentum=0.5, weight_decay=0.1, decoupled=True),
    "plain with decay": lambda: SGD(0.02, weight_decay=0.1, decoupled=True, decay_all=True),
    "Adam": lambda: Adam(0.001, weight_decay=0.1),
    "AdamW": lambda: AdamW(0.001, weight_decay=0.1, decay_all=True),
    "clipped": lambda: SGD(0.02, momentum=0.9, nesterov=True, weight_decay=0.1, global_clipnorm=0.5),
    "hardly clipped": lambda: SGD(0.02, global_clipnorm=1e6),
    "clipped Adam": lambda: Adam(0.001, epsilon=0.1, weight_decay=0.1, global_clipnorm=0.5),
    "a user's own": lambda: SignedSGD(0.0005),
}


def same_gradients(engine, seed):
    """Give the optimizer the same gradients on both engines."""
    rng = np.random.default_rng(seed)
    for layer in engine.model.layers:
        for name, w in layer.params.items():
            layer.grads[name] = rng.normal(size=w.shape).astype(w.dtype)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_same_gradients_give_the_same_weights(name, monkeypatch):
    from minicnn.engine.cpu.update import Update

    fused, plain = (
        kind(network(), mc.SoftmaxCrossEntropy(), OPTIMIZERS[name]())
        for kind in (FusedEngine, LayerwiseEngine)
    )
    fused.train_step(*batch())
    plain.model.set_arrays(fused.model.arrays())
    fused.optimizer, plain.optimizer = OPTIMIZERS[name](), OPTIMIZERS[name]()
    for block in fused.network.blocks:
        monkeypatch.setattr(block, "gradients", type(block).__mro__[-2].gradients.__get__(block))
        monkeypatch.setattr(block, "own_gradients", {})
    for step in range(3):
        for engine in (fused, plain):
            same_gradients(engine, step)
        Update(fused.network).step(fused.optimizer, 6)
        plain.optimizer.step(plain.model)
    for key, array in plain.model.arrays().items():
        assert_allclose(fused.model.arrays()[key], array, rtol=2e-6, atol=1e-7, err_msg=key)
    assert fused.optimizer.steps == plain.optimizer.steps == 3


def test_a_learning_rate_may_change_between_steps():
    engine = FusedEngine(network(), mc.SoftmaxCrossEntropy(), SGD(0.1))
    engine.train_step(*batch())
    before = engine.model.layers[0].params["W"].copy()
    engine.optimizer.learning_rate = 1e-30
    engine.train_step(*batch())
    assert_array_equal(engine.model.layers[0].params["W"], before)


def test_momentum_continues_when_the_engine_changes():
    model, optimizer, loss = network(), SGD(0.02, momentum=0.9), mc.SoftmaxCrossEntropy()
    other = network(), SGD(0.02, momentum=0.9)
    plain = LayerwiseEngine(other[0], loss, other[1])
    for step, kind in enumerate((FusedEngine, LayerwiseEngine, FusedEngine)):
        kind(model, loss, optimizer).train_step(*batch(seed=step))
        plain.train_step(*batch(seed=step))
    for key, array in plain.model.arrays().items():
        assert_allclose(model.arrays()[key], array, rtol=1e-3, atol=1e-4, err_msg=key)


def test_an_optimizer_of_another_model_is_rejected_before_anything_changes():
    optimizer = SGD(0.1, momentum=0.9)
    FusedEngine(network(), mc.SoftmaxCrossEntropy(), optimizer).train_step(*batch())
    other = FusedEngine(network(seed=1), mc.SoftmaxCrossEntropy(), optimizer)
    before = {name: array.tobytes() for name, array in other.model.arrays().items()}
    with pytest.raises(ConfigError, match="another model"):
        other.train_step(*batch())
    assert {name: array.tobytes() for name, array in other.model.arrays().items()} == before
