"""Padding "same" follows the rule of Keras."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from minicnn.layers import AvgPool2D, Conv2D, MaxPool2D
from minicnn.layers.window import resolve_padding

pytestmark = pytest.mark.quick


def same(size, kernel, stride=(1, 1), dilation=(1, 1)):
    return resolve_padding("same", size, kernel, stride, dilation)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "expected"),
    [
        # The last window starts at pixel (⌈n/s⌉ − 1)·s and reaches (k − 1)·d further: so much sticks out.
        ((5, 7), (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1))),
        ((5, 7), (2, 4), (1, 1), (1, 1), ((0, 1), (1, 2))),  # 1 and 3 in all: the odd one goes last
        ((6, 7), (3, 3), (2, 2), (1, 1), ((0, 1), (1, 1))),  # windows at 0 2 4 | 0 2 4 6
        ((6, 7), (3, 3), (1, 1), (2, 3), ((2, 2), (3, 3))),  # a reach of 5 and of 7
        ((6, 7), (2, 2), (1, 1), (3, 2), ((1, 2), (1, 1))),
        ((7, 6), (2, 3), (4, 3), (1, 1), ((0, 0), (0, 0))),  # 0 4 | 0 3, both inside: nothing is missing
        ((8, 8), (1, 1), (3, 3), (1, 1), ((0, 0), (0, 0))),  # never a negative padding
        ((2, 1), (5, 6), (1, 1), (1, 1), ((2, 2), (2, 3))),  # a kernel larger than the image
    ],
)
def test_same_padding_is_the_keras_rule(size, kernel, stride, dilation, expected):
    assert same(size, kernel, stride, dilation) == expected


pairs = st.tuples(st.integers(1, 5), st.integers(1, 5))


@given(size=st.tuples(st.integers(1, 12), st.integers(1, 12)), kernel=pairs, stride=pairs, dilation=pairs)
def test_same_padding_gives_one_output_per_stride_and_puts_the_odd_pixel_last(size, kernel, stride, dilation):
    for before, after in same(size, kernel, stride, dilation):
        assert after - before in (0, 1)
    layer = Conv2D(1, kernel, stride, "same", dilation)
    OH, OW, _ = layer.build((*size, 1), np.random.default_rng(0))
    assert (-(-size[0] // stride[0]), -(-size[1] // stride[1])) == (OH, OW)


def test_same_convolution_pads_the_bottom_and_the_right():
    # A 2×2 window of ones: each output is the pixel, its right, its lower and its lower right neighbor.
    layer = Conv2D(1, 2, padding="same", use_bias=False)
    layer.build((2, 3, 1), np.random.default_rng(0))
    layer.params["W"][:] = 1
    x = np.array([[1, 2, 4], [8, 16, 32]], "float32").reshape(1, 2, 3, 1)
    assert_array_equal(layer.forward(x).reshape(2, 3), [[27, 54, 36], [24, 48, 32]])


def test_same_pooling_pads_the_bottom_and_the_right():
    x = np.array([[1, 2, 4], [8, 16, 32], [64, 128, 256]], "float32").reshape(1, 3, 3, 1)
    for layer, expected in (
        (MaxPool2D(2, padding="same"), [[16, 32], [128, 256]]),
        (AvgPool2D(2, padding="same"), [[27 / 4, 36 / 2], [192 / 2, 256]]),
    ):
        layer.build((3, 3, 1), np.random.default_rng(0))
        assert_array_equal(layer.forward(x).reshape(2, 2), expected)


@pytest.mark.parametrize("rule", ["valid", ((3, 1), (0, 2))])
def test_other_paddings_do_not_depend_on_the_image(rule):
    expected = ((0, 0), (0, 0)) if rule == "valid" else rule
    assert resolve_padding(rule, (5, 6), (3, 3), (2, 2), (1, 1)) == expected
