"""Flatten."""

import math

from minicnn.backend import Array
from minicnn.layers.base import Layer, Shape


class Flatten(Layer):
    """Reshape each sample to a vector, (N, H, W, C) → (N, H·W·C), and dy back to the shape of x."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (H·W·C,)."""
        return (math.prod(input_shape),)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Reshape to (N, H·W·C)."""
        self._check(x)
        if training:
            self._save_for_backward(x)
        return x.reshape(len(x), -1)

    def backward(self, dy: Array, need_dx: bool = True) -> Array | None:
        """Reshape dy back to x's shape."""
        self._saved(dy)
        return dy.reshape(len(dy), *self.input_shape) if need_dx else None
