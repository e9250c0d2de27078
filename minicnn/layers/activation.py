"""Activation functions."""

from minicnn import ops
from minicnn.backend import Array, array_module
from minicnn.checks import number
from minicnn.layers.base import Layer, Shape


class ReLU(Layer):
    """y = max(x, 0); dx = dy where x > 0, else 0 (also at x = 0).

    Backward needs only y, as y > 0 exactly where x > 0.

    Notes
    -----
    Shapes: any. Source: Nair & Hinton 2010, "Rectified Linear Units Improve Restricted Boltzmann
    Machines".
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute max(x, 0)."""
        self._check(x)
        y = ops.of(x).relu_forward(x)
        if training:
            self._save_for_backward(x, y)
        return y

    def backward(self, dy: Array, need_dx: bool = True) -> Array | None:
        """Return dx: dy where y > 0, else 0."""
        y = self._saved(dy)
        return ops.of(dy).relu_backward(dy, y) if need_dx else None


class LeakyReLU(Layer):
    """y = x where x > 0, else a·x; dx = dy where x > 0, else a·dy (also at x = 0).

    Parameters
    ----------
    negative_slope : float
        a, at least 0 and below 1.

    Raises
    ------
    ConfigError
        If ``negative_slope`` is out of range.

    Notes
    -----
    Shapes: any. Source: Maas, Hannun & Ng 2013, "Rectifier Nonlinearities Improve Neural Network
    Acoustic Models", equation 2.
    """

    tunable = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = number(negative_slope, "negative_slope", "[0, 1)")

    @classmethod
    def examples(cls) -> list[tuple[str, Layer, Shape]]:
        """Return the gradient checker's cases."""
        return [("", cls(0.1), (4, 3, 2))]

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute x where x > 0, else a·x."""
        self._check(x)
        if training:
            self._save_for_backward(x, x > 0)
        return array_module(x).where(x > 0, x, self.negative_slope * x)

    def backward(self, dy: Array, need_dx: bool = True) -> Array | None:
        """Return dx: dy where x > 0, else a·dy."""
        positive = self._saved(dy)
        return array_module(dy).where(positive, dy, self.negative_slope * dy) if need_dx else None
