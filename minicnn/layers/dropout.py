"""Dropout."""

import numpy as np

from minicnn.backend import Array, device_of, to_device
from minicnn.checks import number
from minicnn.layers.base import Layer, Shape


class Dropout(Layer):
    """In training, set each element to 0 with probability ``rate`` and scale the others by 1 / (1 − rate).

    With the mask m ∈ {0, 1 / (1 − rate)}: y = m·x, dx = m·dy. The scaling preserves the expected value, so
    the prediction is y = x.

    Parameters
    ----------
    rate : float
        Probability that an element is set to 0; at least 0 and below 1.

    Raises
    ------
    ConfigError
        If ``rate`` is out of range.

    Notes
    -----
    Shapes: any. Masks are drawn on the CPU, so that a seed gives the same masks on every device.
    Source: Srivastava et al. 2014, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting"
    (section 10: inverted dropout).
    """

    tunable = ("rate",)

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = number(rate, "rate", "[0, 1)")

    def _build(self, input_shape: Shape, rng: np.random.Generator) -> None:
        self._rng = np.random.default_rng(rng.integers(2**63))

    @classmethod
    def examples(cls) -> list[tuple[str, Layer, Shape]]:
        """Return the gradient checker's cases."""
        return [("", cls(0.4), (4, 3, 2))]

    def for_inference(self) -> None:
        """Return None: prediction is y = x."""

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute m·x in training, else return x."""
        self._check(x)
        if not training:
            return x
        keep = self._rng.random(x.shape, np.float32) >= self.rate
        mask = to_device(keep / self.dtype.type(1 - self.rate), device_of(x))
        self._save_for_backward(x, mask)
        return x * mask

    def backward(self, dy: Array, need_dx: bool = True) -> Array | None:
        """Return dx = m·dy."""
        mask = self._saved(dy)
        return dy * mask if need_dx else None
