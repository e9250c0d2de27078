"""The pools of the captured engine, run on the host, equal the layers."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minicnn import layers as L
from minicnn.engine.cuda.blocks.pool import PoolBlock
from minicnn.engine.cuda.device import Device
from tests.engine.cuda import hostcupy
from tests.strategies import normal, whole

N, SHAPE = 3, (6, 7, 2)
UNEVEN = {"strides": (1, 2), "padding": ((1, 0), (0, 2))}
POOLS = [
    L.MaxPool2D((2, 3), **UNEVEN), L.MaxPool2D(3, strides=4, padding="same"), L.GlobalMaxPool2D(),
    L.AvgPool2D((2, 3), **UNEVEN), L.AvgPool2D(3, strides=4, padding="same"), L.GlobalAvgPool2D(),
]  # fmt: skip


def run(layer, cupy, x, dy):
    """Return y and dx of the layer's block; each number must be written once."""
    block = PoolBlock(Device(cupy, "fp32"), [layer])
    y, dx = np.full(dy.size, 99, np.float32), np.full(x.size, 99, np.float32)
    y, dx = cupy.asarray(y), cupy.asarray(dx)
    block.connect(N, cupy.asarray(x.reshape(-1)), y)
    block.connect_gradients(dx, cupy.asarray(dy.reshape(-1)))
    for launch in [*block.forward(N, None, True), *block.backward(N, None)]:
        launch()
    return hostcupy.asnumpy(y).reshape(dy.shape), hostcupy.asnumpy(dx).reshape(x.shape)


@pytest.mark.parametrize("layer", POOLS, ids=repr)
def test_forward_and_backward_are_those_of_the_layer(layer, cupy):
    layer.build(SHAPE, np.random.default_rng(0))
    x = whole(0, (N, *SHAPE), "float32")  # with many ties
    expected = layer.forward(x, training=True)
    dy = normal(1, expected.shape, "float32")
    y, dx = run(layer, cupy, x, dy)
    assert_allclose(y, expected, rtol=1e-6)
    assert_allclose(dx, layer.backward(dy), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("layer", POOLS[:3], ids=repr)
def test_a_maximum_that_is_not_finite(layer, odd, cupy):
    layer.build(SHAPE, np.random.default_rng(0))
    x = np.full((N, *SHAPE), -np.inf, np.float32)
    x[0, 1, 1] = x[1, 2, 3] = x[1, 3, 2] = odd
    expected = layer.forward(x, training=True)
    dy = normal(1, expected.shape, "float32")
    y, dx = run(layer, cupy, x, dy)
    assert_array_equal(y, expected)
    assert_allclose(dx, layer.backward(dy), rtol=1e-5, atol=1e-6)
