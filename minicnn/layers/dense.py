"""The fully connected layer."""

import math

import numpy as np

from minicnn import initializers, ops
from minicnn.backend import Array
from minicnn.checks import flag, size
from minicnn.errors import ShapeError
from minicnn.layers.base import Layer, Shape


class Dense(Layer):
    """Fully connected layer, y = x @ W + b.

    Its gradients are::

        dW = xᵀ @ dy        db = Σ dy (rows)        dx = dy @ Wᵀ

    Parameters
    ----------
    units : int
        Number of outputs.
    use_bias : bool
        Whether to add b; a BatchNorm right after the layer makes it redundant.
    kernel_initializer : str
        One of ``minicnn.initializers``. He suits a layer followed by a ReLU; for the last layer,
        ``"glorot_uniform"`` starts with smaller logits.

    Raises
    ------
    ConfigError
        If ``units`` is below 1, ``use_bias`` is not a bool, or the initializer is unknown.

    Notes
    -----
    Shapes: x (N, D), y (N, units), W (D, units), b (units,).

    Source: Rumelhart, Hinton & Williams 1986, "Learning representations by back-propagating errors".
    """

    def __init__(self, units: int, use_bias: bool = True, kernel_initializer: str = "he_normal") -> None:
        super().__init__()
        self.units = size(units, "units")
        self.use_bias = flag(use_bias, "use_bias")
        self.kernel_initializer = initializers.check(kernel_initializer)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (units,), for vectors (D,)."""
        if len(input_shape) != 1:
            raise ShapeError(
                f"layer {self.name!r}: expected vectors of shape (D,), got {input_shape}: "
                "put Flatten() or a global pooling layer before it"
            )
        return (self.units,)

    def param_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return W (D, units) and b (units,)."""
        W, b = (input_shape[0], self.units), (self.units,)
        return {"W": W, "b": b} if self.use_bias else {"W": W}

    def _build(self, input_shape: Shape, rng: np.random.Generator) -> None:
        W = self.param_shapes(input_shape)["W"]
        self.params["W"] = initializers.get(self.kernel_initializer)(rng, W, self.dtype)
        if self.use_bias:
            self.params["b"] = np.zeros(self.units, self.dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute y = x @ W + b."""
        self._check(x)
        y = ops.of(x).matmul(x, self.params["W"])  # (N, units)
        if self.use_bias:
            y += self.params["b"]
        if training:
            self._save_for_backward(x, x)
        return y

    def backward(self, dy: Array, need_dx: bool = True) -> Array | None:
        """Assign dW and db; return dx = dy @ Wᵀ."""
        x, kernels = self._saved(dy), ops.of(dy)
        self.grads["W"] = kernels.matmul(x.T, dy)  # (D, units)
        if self.use_bias:
            self.grads["b"] = kernels.sum_rows(dy)  # (units,)
        return kernels.matmul(dy, self.params["W"].T) if need_dx else None  # (N, D)

    @classmethod
    def examples(cls) -> list[tuple[str, Layer, Shape]]:
        """Return the gradient checker's cases."""
        return [("", cls(4), (7,)), ("no bias", cls(3, use_bias=False), (4,))]

    def operations(self, input_shape: Shape) -> int:
        """Return D·units."""
        return math.prod(self.param_shapes(input_shape)["W"])

    def multiply_adds(self) -> int:
        """Return ``operations``: all of them are multiply-adds."""
        return self.operations(self.input_shape)
