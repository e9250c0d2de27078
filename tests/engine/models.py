"""Models shared by the engine tests."""

import numpy as np

import minicnn as mc
from minicnn import layers as L

SHAPE = (9, 8, 1)
CLASSES = 3


def network(dtype="float32", seed=0, extra=(), **arguments):
    """Return a model with every kind of block and of convolution."""
    layers = [L.Conv2D(16, 3, padding="same"), L.ReLU(), L.MaxPool2D(2)]
    layers += [L.Conv2D(16, 3, padding="same"), L.ReLU(), L.Conv2D(8, 3), L.BatchNorm(), L.ReLU()]
    layers += [*extra, L.Flatten(), L.Dense(20), L.ReLU(), L.Dense(CLASSES)]
    return mc.Sequential(layers, SHAPE, seed=seed, dtype=dtype, **arguments)


def batch(n=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, *SHAPE), dtype=np.uint8), rng.integers(0, CLASSES, n)


def copies(model):
    return {name: array.copy() for name, array in model.arrays().items()}
