"""A custom layer on a GPU: its own array code runs there, in the layerwise engine."""

import numpy as np
from numpy.testing import assert_allclose

import minicnn as mc
from tests.test_custom_layer import data, network


def steps(device):
    trainer = mc.Trainer(network(), mc.optimizers.SGD(0.05, 0.9), device=device)
    trainer.fit(data(), epochs=2, batch_size=10, progress=False)
    return trainer, trainer.model.logits(data().images)


def test_it_trains_and_predicts_as_on_the_cpu(cupy):
    on_gpu, logits = steps("cuda")
    assert on_gpu.engine.name == "layerwise"
    assert not isinstance(on_gpu.model.layers[1].params["a"], np.ndarray)
    assert_allclose(logits, steps("cpu")[1], rtol=1e-3, atol=1e-4)
