"""Run a block stage by stage, in an engine's arrays, and its layers for comparison.

The arrays have been used for a larger batch of NaN before, so that leftovers show.
"""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from minicnn.engine.cpu.blocks import zeros
from tests.strategies import whole

UNTOUCHED = np.float32(0.77)  # no sum of whole numbers
_MARGIN = 64
UNIT = 2.0**-24
"""The largest relative error of one operation in float32."""


@st.composite
def axes(draw):
    """Draw (kernel, stride, dilation, padding, input size, output size) of a convolution along one axis."""
    k, s, d = draw(st.integers(1, 5)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    padding = draw(st.tuples(*2 * [st.integers(0, 3)]))
    n = max((k - 1) * d + 1 - sum(padding), 1) + draw(st.integers(0, 7))
    return k, s, d, padding, n, (n + sum(padding) - (k - 1) * d - 1) // s + 1


class Result(NamedTuple):
    y: np.ndarray
    dx: np.ndarray | None
    grads: dict[str, np.ndarray]


def built(layers, input_shape, seed=0, draw=whole, dtype="float32"):
    """Build the layers; the first one's parameters are drawn, the same float32 numbers in every dtype."""
    for layer in layers:
        input_shape = layer.build(input_shape, np.random.default_rng(0), dtype)
    for i, array in enumerate(layers[0].params.values()):
        array[...] = draw(seed + 1000 + i, array.shape, "float32")
    return layers


def run_layers(layers, x, dy, need_dx=True):
    """Return the results of the layers."""
    for layer in layers:
        x = layer.forward(x, training=True)
    for layer in reversed(layers):
        dy = layer.backward(dy, need_dx or layer is not layers[0])
    return Result(x, dy, layers[0].grads)


def run_stages(stages, N, parts):
    parts = min(parts, N)
    for stage in stages:
        if stage.whole:
            stage.run(0, 0, N)
            continue
        for part in range(parts):
            stage.run(part, N * part // parts, N * (part + 1) // parts)


def step(block, N):
    """Run a forward and backward pass on the block's arrays; return the gradients that it yields."""
    block.take_weights(training=True)
    block.begin(N, training=True)
    for part in range(block.parts):
        block.pack(part, training=True)
    run_stages(block.forward(training=True), N, block.parts)
    run_stages(block.backward(), N, block.parts)
    grads = {name: np.full(array.shape, UNTOUCHED) for name, array in block.layer.params.items()}
    for part in range(block.parts):
        for name, first, last in block.gradients(part, block.parts, N):
            grads[name].reshape(-1)[first:last] = block.layer.grads[name].reshape(-1)[first:last]
    return grads


def _within(size):
    """Return ``size`` numbers in the middle of a larger array, and the larger array."""
    array = zeros(size + 2 * _MARGIN)
    array[:] = UNTOUCHED
    return array[_MARGIN : _MARGIN + size], array


def run_block(block, x, dy, need_dx=True):
    """Return the results of the block; it must only write the results of these images."""
    N, layers = len(x), block.layers
    x_in, dy_in = zeros((N + 1) * block.input_size), zeros((N + 1) * block.output_size)
    (y, y_around), (dx, dx_around) = _within(dy_in.size), _within(x_in.size)
    block.connect(N + 1, x_in, y)
    block.connect_gradients(dx if need_dx else None, dy_in)
    x_in[:] = dy_in[:] = np.nan
    step(block, N + 1)
    y[:] = dx[:] = UNTOUCHED
    x_in[: x.size], dy_in[: dy.size] = x.reshape(-1), dy.reshape(-1)
    grads = step(block, N)
    results = y[: dy.size].copy(), dx[: x.size].copy()
    y[: dy.size] = dx[: x.size] = UNTOUCHED
    assert (y_around == UNTOUCHED).all()
    assert (dx_around == UNTOUCHED).all()
    assert need_dx or (results[1] == UNTOUCHED).all()
    assert (x_in[: x.size] == x.reshape(-1)).all() or np.isnan(x).any()
    assert (dy_in[: dy.size] == dy.reshape(-1)).all()
    return Result(
        results[0].reshape(N, *layers[-1].output_shape),
        results[1].reshape(x.shape) if need_dx else None,
        grads,
    )


def assert_equal(ours, theirs):
    """Compare two results, or one with (y, dx, gradients), to the last bit."""
    np.testing.assert_array_equal(ours.y, theirs.y, "y")
    assert (ours.dx is None) == (theirs.dx is None)
    if ours.dx is not None:
        np.testing.assert_array_equal(ours.dx, theirs.dx, "dx")
    assert ours.grads.keys() == theirs.grads.keys()
    for name, gradient in ours.grads.items():
        np.testing.assert_array_equal(gradient, theirs.grads[name], f"d{name}")


def rounding(summands):
    """Return γ: float32 sums of that many products, in any order, err by at most γ·Σ|x·w|.

    Source: Higham 2002, "Accuracy and Stability of Numerical Algorithms", section 3.1.
    """
    return summands * UNIT / (1 - summands * UNIT)
