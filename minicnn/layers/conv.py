"""Convolution, as a matrix product."""

import math

import numpy as np

from minicnn import initializers, ops
from minicnn.backend import Array
from minicnn.checks import flag, size
from minicnn.layers.base import Layer, Shape, in_panels
from minicnn.layers.window import (
    PaddingLike,
    PairLike,
    check_image,
    padding_rule,
    pair,
    resolve_padding,
    window_output,
)
from minicnn.ops.reference import Padding, Pair


class Conv2D(Layer):
    """2-D convolution (cross-correlation, as in every CNN library), by im2col.

    ``im2col`` copies each window of x into one row of ``cols``: a row per output pixel, a column per
    weight. Then all filters are one matrix product, and so are the gradients::

        y = cols @ W + b        dW = colsᵀ @ dy        dcols = dy @ Wᵀ
                                db = Σ dy (rows)       dx = col2im(dcols)

    A pixel of x is in several rows, so its gradient is a sum: ``col2im`` adds each row of dcols to the
    pixels it was copied from.

    Parameters
    ----------
    filters : int
        Number of output channels, OC.
    kernel_size : int or (int, int)
        KH, KW.
    strides, dilation_rate : int or (int, int)
        Step between windows; step between the pixels of a window.
    padding : "valid", "same", int, (int, int) or ((top, bottom), (left, right))
        Zeros around the image. ``"same"`` gives ⌈H / stride⌉ × ⌈W / stride⌉ outputs.
    use_bias : bool
        Whether to add b; a BatchNorm right after the layer makes it redundant.
    kernel_initializer : str
        One of ``minicnn.initializers``; He suits a layer followed by a ReLU.

    Raises
    ------
    ConfigError
        If an argument is invalid: a size below 1, a negative padding, an unknown initializer.

    Notes
    -----
    Shapes: x (N, H, W, C), y (N, OH, OW, OC), W (KH, KW, C, OC), b (OC,).

    Source: LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition", section
    II.A; im2col: Chellapilla, Puri & Simard 2006, section 2.1.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: PairLike,
        strides: PairLike = 1,
        padding: PaddingLike = "valid",
        dilation_rate: PairLike = 1,
        use_bias: bool = True,
        kernel_initializer: str = "he_normal",
    ) -> None:
        super().__init__()
        self.filters = size(filters, "filters")
        self.kernel_size = pair(kernel_size, "kernel_size")
        self.strides = pair(strides, "strides")
        self.padding = padding_rule(padding)
        self.dilation_rate = pair(dilation_rate, "dilation_rate")
        self.use_bias = flag(use_bias, "use_bias")
        self.kernel_initializer = initializers.check(kernel_initializer)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (OH, OW, OC), for images (H, W, C)."""
        return *window_output(self.name, input_shape, *self._window(input_shape)), self.filters

    def param_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return W (KH, KW, C, OC) and b (OC,)."""
        W, b = (*self.kernel_size, input_shape[2], self.filters), (self.filters,)
        return {"W": W, "b": b} if self.use_bias else {"W": W}

    def workspace(self, input_shape: Shape) -> int:
        """Return the size of the padded image, of cols, and of y in panels."""
        (OH, OW, OC), (H, W, C) = self.compute_output_shape(input_shape), input_shape
        (KH, KW), _, _, ((top, bottom), (left, right)) = self._window(input_shape)
        return (H + top + bottom) * (W + left + right) * C + OH * OW * (KH * KW * C + in_panels(OC))

    @property
    def window(self) -> tuple[Pair, Pair, Pair, Padding]:
        """The arguments of im2col: (KH, KW), stride, dilation, ((top, bottom), (left, right))."""
        return self._window(self.input_shape)

    def _window(self, input_shape: Shape) -> tuple[Pair, Pair, Pair, Padding]:
        check_image(self.name, input_shape)
        window = self.kernel_size, self.strides, self.dilation_rate
        return *window, resolve_padding(self.padding, input_shape[:2], *window)

    def _build(self, input_shape: Shape, rng: np.random.Generator) -> None:
        W = self.param_shapes(input_shape)["W"]
        self.params["W"] = initializers.get(self.kernel_initializer)(rng, W, self.dtype)
        if self.use_bias:
            self.params["b"] = np.zeros(self.filters, self.dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute y = im2col(x) @ W + b."""
        self._check(x)
        kernels = ops.of(x)
        cols = kernels.im2col(x, *self.window)  # (N·OH·OW, KH·KW·C)
        y = kernels.matmul(cols, self.params["W"].reshape(-1, self.filters))  # (N·OH·OW, OC)
        if self.use_bias:
            y += self.params["b"]
        if training:
            self._save_for_backward(x, cols)
        return y.reshape(len(x), *self.output_shape)  # (N, OH, OW, OC)

    def backward(self, dy: Array, need_dx: bool = True) -> Array | None:
        """Assign dW and db; return dx = col2im(dy @ Wᵀ)."""
        cols = self._saved(dy)  # (N·OH·OW, KH·KW·C)
        W, kernels = self.params["W"], ops.of(dy)
        x_shape = len(dy), *self.input_shape  # (N, H, W, C)
        dy = dy.reshape(-1, self.filters)  # (N·OH·OW, OC)
        self.grads["W"] = kernels.matmul(cols.T, dy).reshape(W.shape)  # (KH, KW, C, OC)
        if self.use_bias:
            self.grads["b"] = kernels.sum_rows(dy)  # (OC,)
        if not need_dx:
            return None
        dcols = kernels.matmul(dy, W.reshape(-1, self.filters).T)  # (N·OH·OW, KH·KW·C)
        return kernels.col2im(dcols, x_shape, *self.window)  # (N, H, W, C)

    @classmethod
    def examples(cls) -> list[tuple[str, Layer, Shape]]:
        """Return the gradient checker's cases."""
        return [
            ("3×3 same", cls(3, 3, padding="same"), (5, 4, 2)),
            ("2×3 strided", cls(3, (2, 3), strides=(2, 3), padding=((1, 0), (2, 1))), (6, 7, 2)),
            ("dilated", cls(2, (3, 2), dilation_rate=(1, 2), use_bias=False), (5, 6, 3)),
            ("dilated and strided", cls(2, (2, 3), (2, 3), ((1, 2), (0, 1)), (3, 2)), (7, 8, 2)),
        ]

    def operations(self, input_shape: Shape) -> int:
        """Return OH·OW·KH·KW·C·OC."""
        OH, OW, _ = self.compute_output_shape(input_shape)
        return OH * OW * math.prod(self.param_shapes(input_shape)["W"])

    def multiply_adds(self) -> int:
        """Return ``operations``: all of them are multiply-adds."""
        return self.operations(self.input_shape)
