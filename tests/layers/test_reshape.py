"""Flatten: the order of the elements."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minicnn.layers import Flatten

pytestmark = pytest.mark.quick


def test_flatten_is_row_major_and_backward_inverts_it():
    layer = Flatten()
    assert layer.build((2, 3, 2), np.random.default_rng(0), "float64") == (12,)
    x = np.arange(24.0).reshape(2, 2, 3, 2)
    y = layer.forward(x, training=True)
    for n, h, w, c in np.ndindex(x.shape):
        assert y[n, (h * 3 + w) * 2 + c] == x[n, h, w, c]
    assert_array_equal(layer.backward(y), x)


def test_flattening_a_vector_changes_nothing():
    layer = Flatten()
    assert layer.build((5,), np.random.default_rng(0), "float64") == (5,)
    assert_array_equal(layer.forward(np.ones((2, 5))), np.ones((2, 5)))
