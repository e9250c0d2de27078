"""Steps and predictions of all kinds of models, between fences, for a process that checks each index."""

from itertools import product

import numpy as np

import minicnn as mc
from minicnn import layers as L
from minicnn.engine.cpu.engine import FusedEngine
from minicnn.engine.cpu.kernels.simd import LANES
from tests.engine.cpu.fences import fenced

SHAPES = (9, 8, 1), (7, 10, LANES)
STACKS = {
    "winograd and sparse": lambda: [
        L.Conv2D(2 * LANES, 3, padding="same"), L.ReLU(), L.MaxPool2D(2), L.Conv2D(LANES + 1, 3), L.ReLU(),
    ],
    "strided, overlapping": lambda: [
        L.Conv2D(LANES, 3, padding="same"), L.Conv2D(3, (2, 3), strides=(1, 2)), L.MaxPool2D(3, strides=2),
    ],
    "dilated, norm": lambda: [
        L.Conv2D(5, 3, padding=((1, 0), (0, 2)), dilation_rate=(1, 2)), L.BatchNorm(), L.ReLU(),
        L.MaxPool2D(2),
    ],
}  # fmt: skip
OPTIMIZERS = {
    "nesterov": lambda: mc.optimizers.SGD(0.02, momentum=0.9, nesterov=True),
    "adam": lambda: mc.optimizers.Adam(0.001),
}


def run(layers, shape, optimizer, threads):
    mc.set_num_threads(threads)
    stack = [*layers(), L.Flatten(), L.Dense(2 * LANES + 3), L.ReLU(), L.Dense(3)]
    model = mc.Sequential(stack, shape, seed=threads)
    images = np.random.default_rng(0).integers(0, 256, (7, *shape), np.uint8)
    with fenced() as fences:
        engine = FusedEngine(model, mc.SoftmaxCrossEntropy(0.1), optimizer())
        for N in (7, 1, 5):
            engine.train_step(images[:N], np.arange(N) % 3)
            fences.check()
            fences.fence(model, engine.optimizer)
        logits = model.logits(images, 4)
        fences.check()
    np.testing.assert_allclose(logits, model.forward(model.preprocess(images)), rtol=1e-3, atol=1e-4)


if __name__ == "__main__":
    for shape, layers, optimizer, threads in product(SHAPES, STACKS.values(), OPTIMIZERS.values(), (1, 3)):
        run(layers, shape, optimizer, threads)
    print("every index was inside")
