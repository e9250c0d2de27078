"""Odd shapes for hypothesis: H ≠ W, KH ≠ KW, stride ≠ kernel, uneven padding, sizes that do not divide."""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

DTYPES = ("float32", "float64")


class Window(NamedTuple):
    """An image batch and the window that slides over it."""

    shape: tuple[int, int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]

    @property
    def conv(self):
        return self.kernel, self.stride, self.dilation, self.padding

    @property
    def pool(self):
        return self.kernel, self.stride, self.padding


@st.composite
def windows(draw, pooling=False, max_batch=4, max_channels=3, max_extra=4):
    """Draw a window that fits at least once; for pooling: dilation 1, padding smaller than the kernel."""
    kernel, stride, dilation, padding, size = [], [], [], [], []
    for _ in range(2):
        k = draw(st.integers(1, 4))
        d = 1 if pooling else draw(st.integers(1, 3))
        sides = draw(st.tuples(*2 * [st.integers(0, k - 1 if pooling else 3)]))
        smallest = max((k - 1) * d + 1 - sum(sides), 1)
        kernel.append(k)
        stride.append(draw(st.integers(1, 4)))
        dilation.append(d)
        padding.append(sides)
        size.append(smallest + draw(st.integers(0, max_extra)))
    N, C = draw(st.integers(1, max_batch)), draw(st.integers(1, max_channels))
    return Window((N, *size, C), tuple(kernel), tuple(stride), tuple(dilation), tuple(padding))


seeds = st.integers(0, 2**32 - 1)


def normal(seed, shape, dtype="float64"):
    """Draw real numbers, whose sums round differently in another order."""
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def whole(seed, shape, dtype="float64"):
    """Draw small whole numbers: sums and products are exact in any order, and there are many ties."""
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(dtype)


def distinct(seed, shape, dtype="float64"):
    """Draw numbers 0.1 apart, none nearer to 0 than 0.05: no kink of a maximum is within a small step."""
    size = int(np.prod(shape))
    numbers = (np.random.default_rng(seed).permutation(size) - size // 2 + 0.5) / 10
    return numbers.reshape(shape).astype(dtype)
