"""Golden losses: ten steps from a fixed seed give ten fixed numbers.

They were computed once and confirmed by PyTorch from the same weights: `parity/test_torch.py` repeats that.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from minicnn import ops
from minicnn.engine.cpu.engine import FusedEngine
from minicnn.engine.layerwise import LayerwiseEngine
from minicnn.layers import Conv2D, Dense, Flatten, MaxPool2D, ReLU
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.model import Sequential
from minicnn.optimizers import SGD

pytestmark = pytest.mark.quick

LOSSES = [
    2.08543367977501,
    1.8264808536549424,
    1.653934645902659,
    1.4521863214214745,
    1.382238689112209,
    1.3712308567404154,
    1.3286722076011723,
    1.2726688735786287,
    1.226180440036564,
    1.194379907325116,
]


def batch(dtype):
    """Return 16 fixed random images of 9 × 8 × 2 and their labels."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(16, 9, 8, 2)).astype(dtype), rng.integers(5, size=16)


def two_convolutions(dtype):
    """Return the model: odd sizes, so that swapping height and width changes the losses."""
    layers = [
        Conv2D(4, (3, 2), padding="same"),
        ReLU(),
        MaxPool2D((2, 3), strides=2),
        Conv2D(6, (2, 3), strides=(2, 1), padding=((1, 0), (0, 2))),
        ReLU(),
        Flatten(),
        Dense(7),
        ReLU(),
        Dense(5),
    ]
    return Sequential(layers, input_shape=(9, 8, 2), seed=0, dtype=dtype)


def ten_losses(dtype):
    model, criterion, optimizer = two_convolutions(dtype), SoftmaxCrossEntropy(), SGD(0.05, momentum=0.9)
    x, labels = batch(dtype)
    losses = []
    for _ in range(10):
        losses.append(criterion.forward(model.forward(x, training=True), labels))
        model.backward(criterion.backward())
        optimizer.step(model)
    return losses


@pytest.mark.parametrize("kernel_set", ops.KERNELS)
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-9), ("float32", 2e-6)])
def test_ten_steps_give_the_golden_losses(kernel_set, dtype, rtol):
    with ops.use(kernel_set):
        assert_allclose(ten_losses(dtype), LOSSES, rtol=rtol)


@pytest.mark.parametrize("engine", [LayerwiseEngine, FusedEngine])
def test_ten_steps_of_both_engines_give_the_golden_losses(engine):
    images, labels = batch("float32")
    runner = engine(two_convolutions("float32"), SoftmaxCrossEntropy(), SGD(0.05, momentum=0.9))
    assert_allclose([runner.train_step(images, labels).loss for _ in LOSSES], LOSSES, rtol=2e-6)
