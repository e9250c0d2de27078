"""Data and helpers for the tests of figures."""

import numpy as np

from minicnn.data import Dataset
from minicnn.metrics import Evaluation

NAMES = ("cat", "dog", "horse")


def data(n=12, shape=(5, 4, 1), names=NAMES, seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)
    return Dataset(images, np.arange(n) % len(names), names, "pets")


def evaluation(labels, predicted, confidence=None, names=NAMES):
    """Return the evaluation of a model that predicts these classes with these confidences."""
    confidence = np.full(len(labels), 0.9) if confidence is None else np.array(confidence)
    probabilities = np.repeat((1 - confidence)[:, None], len(names), axis=1) / max(len(names) - 1, 1)
    probabilities[np.arange(len(labels)), predicted] = confidence
    return Evaluation(0.5, np.array(labels), probabilities, names)


def title(figure):
    return figure.get_suptitle()


def panels(figure):
    """Return the axes that show an image."""
    return [axes for axes in figure.axes if axes.images]
