"""Which engine ``make_engine`` selects; both give the same results."""

import pytest
from numpy.testing import assert_allclose

import minicnn as mc
from minicnn import ops
from minicnn.errors import ConfigError
from tests.engine.models import CLASSES, batch, network


def trainer(engine="auto", dtype="float32"):
    return mc.Trainer(network(dtype), mc.optimizers.SGD(0.02, momentum=0.9), engine=engine)


def test_auto_selects_the_fused_engine_if_possible():
    assert trainer().engine.name == "fused"
    assert trainer("layerwise").engine.name == "layerwise"
    assert trainer(dtype="float64").engine.name == "layerwise"
    with ops.use("reference"):
        assert trainer().engine.name == "layerwise"


def test_impossible_engines_are_rejected():
    with pytest.raises(ConfigError, match=r'float64.*engine="auto"'):
        trainer("fused", "float64")
    with pytest.raises(ConfigError, match=r"'quick'.*auto, layerwise, fused"):
        trainer("quick")


def test_both_engines_write_the_same_history():
    data = mc.data.Dataset(*batch(50), tuple("abc")[:CLASSES])
    histories = [
        trainer(engine).fit(data, epochs=2, batch_size=16, validation=0.2, progress=False)
        for engine in ("fused", "layerwise")
    ]
    for name in ("loss", "val_loss"):
        fused, layerwise = ([row[name] for row in history] for history in histories)
        assert_allclose(fused, layerwise, rtol=1e-3)
