"""Small data sets and models to train in tests."""

import numpy as np

import minicnn as mc
from minicnn import layers as L
from minicnn.engine.base import Engine

SHAPE = (4, 3, 1)


def data(n=24, classes=3, seed=0, name="toy"):
    """Return an easy data set: class k has a bright row k; all images are different."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    images = rng.integers(0, 100, (n, *SHAPE), np.uint8)
    images[np.arange(n), labels] += 150
    return mc.data.Dataset(images, labels, tuple("abcd"[:classes]), name)


def model(seed=0, classes=3, extra=()):
    """Return a small network, (4, 3, 1) → logits."""
    layers = [L.Conv2D(2, 2), L.ReLU(), *extra, L.Flatten(), L.Dense(classes)]
    return mc.Sequential(layers, SHAPE, seed=seed)


def trainer(seed=0, learning_rate=0.1, **arguments):
    return mc.Trainer(
        model(seed, **arguments), mc.optimizers.SGD(learning_rate, momentum=0.5 if learning_rate < 1 else 0)
    )


def copies(model):
    """Return copies of everything that a model file would hold."""
    return {name: array.copy() for name, array in model.arrays().items()}


def assert_same_arrays(model, expected):
    arrays = model.arrays()
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, expected[name], name)


class Spy(Engine):
    """Replaces the trainer's engine: records each batch, and takes the step or returns a given result."""

    def __init__(self, trainer, answers=None):
        self.engine, self.answers = trainer.engine, answers
        self.model, self.batches = trainer.model, []
        trainer.engine = self

    def _step(self, images, labels):
        self.batches.append((images.copy(), labels.copy()))
        if self.answers is None:
            return self.engine._step(images, labels)
        return self.answers[len(self.batches) - 1]

    @property
    def sizes(self):
        return [len(images) for images, _ in self.batches]


def keys(images):
    """Return each image as bytes, to count and compare."""
    return [image.tobytes() for image in images]
