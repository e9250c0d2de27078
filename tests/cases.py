"""Every layer with odd sizes, built and run the same way each time, for the contract tests."""

import copy
from functools import partial

import numpy as np

from minicnn.layers import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    LeakyReLU,
    MaxPool2D,
    ReLU,
    registry,
)
from tests.strategies import normal

UNEVEN = ((1, 0), (0, 2))

# How to make the layer, the shape of one sample, the shape of one result, the shapes of the parameters.
CASES = [
    (
        lambda: Conv2D(3, (2, 3), strides=(2, 1), padding=UNEVEN, dilation_rate=(1, 2)),
        (6, 5, 2),
        (3, 3, 3),
        {"W": (2, 3, 2, 3), "b": (3,)},
    ),
    (
        lambda: Conv2D(2, 3, padding="same", use_bias=False, kernel_initializer="glorot_uniform"),
        (4, 3, 3),
        (4, 3, 2),
        {"W": (3, 3, 3, 2)},
    ),
    (lambda: Conv2D(1, 1, strides=2), (4, 3, 2), (2, 2, 1), {"W": (1, 1, 2, 1), "b": (1,)}),
    (lambda: MaxPool2D((2, 3), strides=(1, 2), padding=UNEVEN), (4, 5, 2), (4, 3, 2), {}),
    (lambda: MaxPool2D(), (5, 4, 3), (2, 2, 3), {}),
    (lambda: AvgPool2D((2, 3), strides=(1, 2), padding=UNEVEN), (4, 5, 2), (4, 3, 2), {}),
    (lambda: AvgPool2D(3, padding="same"), (5, 4, 2), (2, 2, 2), {}),
    (lambda: GlobalAvgPool2D(), (3, 4, 2), (2,), {}),
    (lambda: GlobalMaxPool2D(), (3, 4, 2), (2,), {}),
    (lambda: Dense(4), (5,), (4,), {"W": (5, 4), "b": (4,)}),
    (lambda: Dense(3, use_bias=False, kernel_initializer="he_uniform"), (4,), (3,), {"W": (4, 3)}),
    (lambda: ReLU(), (3, 4, 2), (3, 4, 2), {}),
    (lambda: LeakyReLU(0.2), (3, 4, 2), (3, 4, 2), {}),
    (lambda: Dropout(0.4), (3, 4, 2), (3, 4, 2), {}),
    (lambda: BatchNorm(momentum=0.8, epsilon=1e-3), (3, 4, 2), (3, 4, 2), {"gamma": (2,), "beta": (2,)}),
    (lambda: BatchNorm(), (5,), (5,), {"gamma": (5,), "beta": (5,)}),
    (lambda: Flatten(), (3, 4, 2), (24,), {}),
]
CASES += [
    (partial(copy.deepcopy, layer), shape, layer.compute_output_shape(shape), layer.param_shapes(shape))
    for kind in registry.values()
    for _, layer, shape in kind.examples()
]
N = 4


class Case:
    """One layer under test, built and run the same way each time."""

    def __init__(self, make, input_shape, output_shape, param_shapes, dtype):
        self.make, self.dtype, self.param_shapes = make, np.dtype(dtype), param_shapes
        self.input_shape, self.output_shape = input_shape, output_shape
        self.x = normal(1, (N, *input_shape), dtype)
        self.dy = normal(2, (N, *output_shape), dtype)

    def built(self):
        """Return the layer, built from a fixed seed, its parameters moved off 0 and 1."""
        layer = self.make()
        layer.build(self.input_shape, np.random.default_rng(0), self.dtype)
        for number, w in enumerate(layer.params.values()):
            w += normal(10 + number, w.shape, self.dtype)
        return layer

    def results(self, x=None, dy=None, need_dx=True):
        """Return y, dx and the gradients of a fresh layer."""
        layer = self.built()
        y = layer.forward(self.x if x is None else x, training=True)
        dx = layer.backward(self.dy if dy is None else dy, need_dx=need_dx)
        return y, dx, layer.grads


def names(case):
    return repr(case[0]()).replace(" ", "")
