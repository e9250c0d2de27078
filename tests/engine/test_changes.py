"""Random changes between steps: the engines agree, or both raise an error of minicnn."""

from collections import Counter

import numpy as np
import pytest

import minicnn as mc
from minicnn import layers as L
from minicnn import ops
from minicnn.engine.cpu.engine import FusedEngine
from minicnn.engine.layerwise import LayerwiseEngine
from minicnn.errors import MiniCNNError
from minicnn.optimizers import SGD, Adam
from tests.changes import CHANGES, SHAPE, K, make_model

IMAGES = np.random.default_rng(0).integers(0, 256, (5, *SHAPE), np.uint8)
LABELS = np.arange(5) % K
MAKERS = [lambda: SGD(0.02), lambda: SGD(0.02, momentum=0.9), lambda: Adam(0.001)]


@pytest.fixture(autouse=True)
def default_threads():
    yield
    mc.set_num_threads(None)


def attempt(action):
    """Return the result, or the error of minicnn; any other error fails the test."""
    try:
        return action(), None
    except MiniCNNError as error:
        return None, error


def runs(seed):
    """Return the fused and the layerwise engine, each with its own model from the same seed."""
    made = []
    for kind in (FusedEngine, LayerwiseEngine):
        rng = np.random.default_rng(seed)
        model, optimizer = make_model(rng), MAKERS[rng.integers(len(MAKERS))]()
        made.append(kind(model, mc.SoftmaxCrossEntropy(0.1), optimizer))
    return made


def both(action, engines):
    """Do it to both, and check that both raise or neither. Return the outcomes, or None."""
    (a, error_a), (b, error_b) = (attempt(lambda e=e: action(e)) for e in engines)
    assert (error_a is None) == (error_b is None), (error_a, error_b)
    if error_a is not None:
        assert str(error_a) == str(error_b), (error_a, error_b)
        return None
    return a, b


def weights(engine):
    """Return float64 copies of all parameters that are arrays."""
    held = [(layer.name, layer.params) for layer in engine.model.layers if isinstance(layer, L.Layer)]
    named = [(f"{layer}.{name}", w) for layer, params in held for name, w in (params or {}).items()]
    return {name: w.astype("float64") for name, w in named if isinstance(w, np.ndarray)}


def step(engine):
    """Take a step; return the loss, how each parameter moved, and the predictions afterwards."""
    before = weights(engine)
    loss = engine.train_step(IMAGES, LABELS).loss
    after = weights(engine)
    return loss, {
        name: after[name] - before[name] for name in after if before[name].shape == after[name].shape
    }


def predict(engine):
    # The plain way to predict: through the layers.
    if engine.name == "fused":
        return engine.model.logits(IMAGES)
    with ops.use("reference"):
        return engine.model.logits(IMAGES)


def follow(fused, plain):
    """Copy the fused model's arrays to the layerwise one, so that rounding does not add up."""
    for ours, theirs in zip(fused.model.layers, plain.model.layers, strict=True):
        for mine, other in ((ours.params, theirs.params), (ours.state, theirs.state)):
            for name in mine:
                other[name] = mine[name].copy()
    for key, moments in fused.optimizer._state.items():
        plain.optimizer._state[key] = [moment.copy() for moment in moments]


def assert_agree(fused, plain):
    moved = both(step, (fused, plain))
    if moved is not None:
        (loss, ours), (expected, theirs) = moved
        assert loss == pytest.approx(expected, rel=1e-3, abs=1e-4)
        if isinstance(
            fused.optimizer, SGD
        ):  # the step of Adam is as large where the gradient is but rounding
            scale = max((abs(change).max() for change in theirs.values()), default=0)
            for name, change in theirs.items():
                assert abs(ours[name] - change).max() <= 0.05 * scale + 1e-6, name
        follow(fused, plain)
    logits = both(predict, (fused, plain))
    if logits is not None:
        np.testing.assert_allclose(*logits, rtol=1e-2, atol=1e-2 * max(1, abs(logits[1]).max()))
    return moved is not None


def walk(seed, changes=4):
    """Take steps with a change before each, until one raises; return the outcome of each change."""
    engines, outcomes = runs(seed), Counter()
    assert assert_agree(*engines)
    for number in range(changes):
        change = CHANGES[np.random.default_rng([seed, number]).integers(len(CHANGES))]
        done = both(
            lambda e, n=number, c=change: c(e.model, e.optimizer, np.random.default_rng([seed, n, 1])),
            engines,
        )
        if done is None:  # build raised, and may have left the model half built
            break
        agreed = assert_agree(*engines)
        outcomes[change.__name__, "agreed" if agreed else "refused"] += 1
        if not agreed:
            break
    return outcomes


@pytest.mark.parametrize("block", range(6))
def test_after_any_change_the_engines_agree_or_both_raise(block):
    outcomes = sum((walk(20 * block + i) for i in range(20)), Counter())
    endings = Counter()
    for (_, ending), count in outcomes.items():
        endings[ending] += count
    assert endings["agreed"] > 10
    assert endings["refused"] > 5
