"""Max and average pooling, over windows or the whole image."""

import math

from minicnn import ops
from minicnn.backend import Array
from minicnn.checks import size
from minicnn.errors import ConfigError
from minicnn.layers.base import Layer, Shape
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


class _Pool2D(Layer):
    """Base of max and average pooling: the window."""

    def __init__(
        self, pool_size: PairLike = 2, strides: PairLike | None = None, padding: PaddingLike = "valid"
    ) -> None:
        super().__init__()
        self.pool_size = pair(pool_size, "pool_size")
        self.strides = self.pool_size if strides is None else pair(strides, "strides")
        self.padding = padding_rule(padding)
        # The position of a maximum in its window is stored in 32 bits.
        size(math.prod(self.pool_size), "the number of pixels in pool_size")
        if isinstance(self.padding, str):
            return
        if any(max(sides) >= k for sides, k in zip(self.padding, self.pool_size, strict=True)):
            raise ConfigError(
                f"{type(self).__name__}: padding {self.padding} must be smaller than pool_size "
                f"{self.pool_size} on every side, else a window could consist of padding only"
            )

    @classmethod
    def examples(cls) -> list[tuple[str, Layer, Shape]]:
        """Return the gradient checker's cases."""
        return [
            ("2×2", cls(2), (5, 4, 3)),
            ("overlapping", cls((3, 2), strides=(2, 1), padding=((1, 2), (0, 1))), (6, 5, 2)),
            ("same", cls((3, 2), strides=(2, 1), padding="same"), (6, 5, 2)),
        ]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (OH, OW, C), for images (H, W, C)."""
        kernel, strides, padding = self._window(input_shape)
        return *window_output(self.name, input_shape, kernel, strides, (1, 1), padding), input_shape[2]

    def operations(self, input_shape: Shape) -> int:
        """Return OH·OW·C·KH·KW."""
        return math.prod(self.compute_output_shape(input_shape)) * math.prod(self.pool_size)

    @property
    def window(self) -> tuple[Pair, Pair, Padding]:
        """The arguments of the pooling kernels: size, strides, ((top, bottom), (left, right))."""
        return self._window(self.input_shape)

    def _window(self, input_shape: Shape) -> tuple[Pair, Pair, Padding]:
        check_image(self.name, input_shape)
        padding = resolve_padding(self.padding, input_shape[:2], self.pool_size, self.strides, (1, 1))
        return self.pool_size, self.strides, padding


class MaxPool2D(_Pool2D):
    """The maximum of each window.

    Backward adds each dy to the pixel that was the maximum. Ties go to the first pixel in row-major
    order. Padding is −∞, so it never wins.

    Parameters
    ----------
    pool_size : int or (int, int)
        Size of the window.
    strides : int or (int, int), optional
        Step between windows; by default ``pool_size``, so that they do not overlap.
    padding : "valid", "same", int, (int, int) or ((top, bottom), (left, right))
        Smaller than the window on every side.

    Raises
    ------
    ConfigError
        If a size is below 1, or the padding is unknown, negative or not smaller than the window.

    Notes
    -----
    Shapes: x (N, H, W, C), y (N, OH, OW, C).

    Source: Scherer, Müller & Behnke 2010, "Evaluation of Pooling Operations in Convolutional
    Architectures for Object Recognition", section 2.
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute the maximum of each window."""
        self._check(x)
        y, argmax = ops.of(x).max_pool_forward(x, *self.window)  # both (N, OH, OW, C)
        if training:
            self._save_for_backward(x, argmax)
        return y.reshape(len(x), *self.output_shape)

    def backward(self, dy: Array, need_dx: bool = True) -> Array | None:
        """Return dx: each dy at the maximum of its window."""
        argmax = self._saved(dy)  # (N, OH, OW, C)
        if not need_dx:
            return None
        x_shape = len(dy), *self.input_shape
        return ops.of(dy).max_pool_backward(dy.reshape(argmax.shape), argmax, x_shape, *self.window)


class AvgPool2D(_Pool2D):
    """The mean of each window over its pixels inside the image; as in Keras, padding does not count.

    Backward adds dy / n to each of the n pixels. Arguments and errors are those of ``MaxPool2D``.

    Notes
    -----
    Shapes: x (N, H, W, C), y (N, OH, OW, C).

    Source: LeCun et al. 1998, section II.B (the sub-sampling layers, without their weights).
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute the mean of each window."""
        self._check(x)
        y = ops.of(x).avg_pool_forward(x, *self.window)  # (N, OH, OW, C)
        if training:
            self._save_for_backward(x, y.shape)
        return y.reshape(len(x), *self.output_shape)

    def backward(self, dy: Array, need_dx: bool = True) -> Array | None:
        """Return dx: each dy divided equally among the pixels of its window."""
        y_shape = self._saved(dy)  # (N, OH, OW, C)
        if not need_dx:
            return None
        x_shape = len(dy), *self.input_shape
        return ops.of(dy).avg_pool_backward(dy.reshape(y_shape), x_shape, *self.window)


class _GlobalPool2D(_Pool2D):
    """Base of global pooling: the window is the whole image."""

    def __init__(self) -> None:
        Layer.__init__(self)

    @classmethod
    def examples(cls) -> list[tuple[str, Layer, Shape]]:
        """Return the gradient checker's cases."""
        return [("", cls(), (4, 3, 2))]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (C,), for images (H, W, C)."""
        check_image(self.name, input_shape)
        return (input_shape[2],)

    def operations(self, input_shape: Shape) -> int:
        """Return H·W·C."""
        return math.prod(input_shape)

    def _window(self, input_shape: Shape) -> tuple[Pair, Pair, Padding]:
        check_image(self.name, input_shape)
        H, W, _ = input_shape
        return (H, W), (1, 1), ((0, 0), (0, 0))


class GlobalAvgPool2D(_GlobalPool2D, AvgPool2D):
    """The mean of each channel over the image: y = Σ x / (H·W), dx = dy / (H·W).

    Notes
    -----
    Shapes: x (N, H, W, C), y (N, C). Source: Lin, Chen & Yan 2014, "Network In Network", section 3.2.
    """


class GlobalMaxPool2D(_GlobalPool2D, MaxPool2D):
    """The maximum of each channel over the image, y = max x; dy goes to the first pixel with that value.

    Notes
    -----
    Shapes: x (N, H, W, C), y (N, C). Source: Oquab et al. 2015, "Is object localization for free?",
    section 3 (global max-pooling).
    """
