"""The dense gradient of a convolution that needs no dx, and which gradient a convolution uses.

Whole numbers make every sum exact, in any order: results equal the layers' to the last bit.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.engine.cpu.blocks import ConvBlock, zeros
from minicnn.engine.cpu.blocks.conv import (
    _SHORT,
    DenseGradient,
    SparseGradient,
    WinogradGradient,
)
from minicnn.engine.cpu.kernels.gemm import PANEL
from minicnn.engine.cpu.kernels.simd import LANES
from minicnn.layers import Conv2D, MaxPool2D, ReLU
from tests.engine.cpu.blockwise import assert_equal, axes, built, run_block, run_layers
from tests.strategies import seeds, whole


def arrays(layers, shape, seed):
    """Build the layers; return images and gradients of their results."""
    built(layers, shape[1:], seed)
    return whole(seed, shape, "float32"), whole(seed + 1, (shape[0], *layers[-1].output_shape), "float32")


@st.composite
def blocks(draw):
    """Draw the layers of a block with short windows, and the shape of its images."""
    kernel, strides, dilation, padding, size, outputs = zip(draw(axes()), draw(axes()), strict=True)
    taps = kernel[0] * kernel[1]
    followers = [ReLU()] if draw(st.booleans()) else []
    if min(outputs) >= 2 and 4 * taps <= _SHORT and draw(st.booleans()):
        followers.insert(draw(st.integers(0, len(followers))), MaxPool2D(2))
        taps *= 4
    # Fewer than LANES: not by Winograd's algorithm.
    channels = draw(st.integers(1, min(4, LANES - 1, _SHORT // taps)))
    filters, use_bias = draw(st.integers(1, 2 * PANEL + 3)), draw(st.booleans())
    layers = [Conv2D(filters, kernel, strides, padding, dilation, use_bias), *followers]
    return layers, (draw(st.integers(1, 4)), *size, channels)


def assert_same(layers, shape, parts, seed):
    x, dy = arrays(layers, shape, seed)
    block = ConvBlock(layers, parts)
    ours = run_block(block, x, dy, need_dx=False)
    assert isinstance(block.gradient, DenseGradient)
    assert_equal(ours, run_layers(layers, x, dy, need_dx=False))


# --- against the layers ------------------------------------------------------------------------------


@settings(max_examples=150)
@given(blocks(), st.integers(1, 3), seeds)
def test_a_block_equals_its_layers(drawn, parts, seed):
    layers, shape = drawn
    assert_same(layers, shape, parts, seed)


@pytest.mark.parametrize("size", [(4, 4), (5, 4), (4, 5), (3, 7)])
@pytest.mark.parametrize(
    "filters", [1, LANES, LANES + 1, PANEL, PANEL + 1, PANEL + LANES, PANEL + LANES + 1, 2 * PANEL + 1]
)
def test_pixels_that_no_pool_covers_contribute_nothing(filters, size):
    assert_same(
        [Conv2D(filters, (1, 2), padding="same"), ReLU(), MaxPool2D(2)], (3, *size, 2), 2, seed=filters
    )


@pytest.mark.parametrize("pool", [MaxPool2D(1), MaxPool2D(1, 2), MaxPool2D(1, (1, 3))])
def test_a_pool_of_one_cell_sends_the_gradient_to_its_pixel(pool):
    layers = [Conv2D(3, 2), pool, ReLU()]
    x, dy = arrays(layers, (2, 6, 5, 2), seed=0)
    assert_equal(run_block(ConvBlock(layers, 1), x, dy, False), run_layers(layers, x, dy, False))


# --- which gradient ----------------------------------------------------------------------------------


def gradient_of(layers, input_shape, need_dx=False):
    """Return the gradient class that the block selects."""
    built(layers, input_shape)
    block = ConvBlock(layers, 1)
    block.connect(1, zeros(block.input_size), zeros(block.output_size))
    block.connect_gradients(zeros(block.input_size) if need_dx else None, zeros(block.output_size))
    return type(block.gradient)


@pytest.mark.parametrize("followers", [[], [ReLU()], [MaxPool2D(2)], [ReLU(), MaxPool2D(2)]])
def test_short_windows_use_the_dense_gradient_without_dx_and_the_sparse_one_with_dx(followers):
    layers = [Conv2D(3, (2, 1)), *followers]
    assert gradient_of(layers, (7, 6, 1)) is DenseGradient
    assert gradient_of(layers, (7, 6, 1), need_dx=True) is SparseGradient


@pytest.mark.parametrize(("followers", "cells"), [([ReLU()], 1), ([ReLU(), MaxPool2D(2)], 4)])
def test_a_pool_lowers_the_depth_limit_of_the_dense_gradient(followers, cells):
    layers = [Conv2D(2, 1), *followers]
    assert gradient_of(layers, (4, 4, _SHORT // cells)) is DenseGradient
    assert gradient_of(layers, (4, 4, _SHORT // cells + 1)) is SparseGradient


@pytest.mark.parametrize(
    "pool",
    [
        MaxPool2D(1, 2),
        MaxPool2D(2, 1),
        MaxPool2D(3, 2),
        MaxPool2D(3),
        MaxPool2D((2, 1)),
        MaxPool2D(2, 3),
        MaxPool2D(2, padding="same"),
        MaxPool2D(2, padding=((0, 1), (0, 0))),
        MaxPool2D(2, padding=1),
    ],
)
def test_pools_other_than_2x2_without_overlap_use_the_sparse_gradient(pool):
    assert gradient_of([Conv2D(3, 1), pool], (5, 5, 1)) is SparseGradient


@pytest.mark.parametrize("need_dx", [True, False])
def test_winograds_algorithm_is_preferred_where_every_output_has_a_gradient(need_dx):
    layers = [Conv2D(3, 3), ReLU()]
    assert gradient_of(layers, (6, 6, LANES), need_dx) is WinogradGradient
    assert gradient_of([*layers, MaxPool2D(2)], (6, 6, LANES), need_dx) is SparseGradient
