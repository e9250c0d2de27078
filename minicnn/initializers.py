"""Initial weights, with a variance that keeps the scale of signals from layer to layer.

Every initializer is ``draw(rng, shape, dtype) -> array``, for weights of shape (…, inputs, outputs). Numbers
are drawn in float64 and then converted, so that a seed gives the same weights in every dtype.
"""

import math
from collections.abc import Callable

import numpy as np

from minicnn.errors import ConfigError
from minicnn.text import shown

Shape = tuple[int, ...]
Initializer = Callable[[np.random.Generator, Shape, np.dtype], np.ndarray]


def _fans(shape: Shape) -> tuple[int, int]:
    """Return fan_in and fan_out: for (KH, KW, C, OC), KH·KW·C and KH·KW·OC."""
    *window, inputs, outputs = shape
    return math.prod(window) * inputs, math.prod(window) * outputs


def he_normal(rng: np.random.Generator, shape: Shape, dtype: np.dtype) -> np.ndarray:
    """Draw from N(0, 2 / fan_in): the 2 compensates for a ReLU, which halves the variance.

    Source: He et al. 2015, "Delving Deep into Rectifiers", equation 10.
    """
    fan_in, _ = _fans(shape)
    return rng.normal(0, math.sqrt(2 / fan_in), shape).astype(dtype)


def he_uniform(rng: np.random.Generator, shape: Shape, dtype: np.dtype) -> np.ndarray:
    """Draw from U(−a, a) with a = √(6 / fan_in), which has the variance of ``he_normal``."""
    fan_in, _ = _fans(shape)
    limit = math.sqrt(6 / fan_in)
    return rng.uniform(-limit, limit, shape).astype(dtype)


def glorot_normal(rng: np.random.Generator, shape: Shape, dtype: np.dtype) -> np.ndarray:
    """Draw from N(0, 2 / (fan_in + fan_out)), a compromise between forward and backward, without ReLU.

    Source: Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural
    networks", equation 12.
    """
    return rng.normal(0, math.sqrt(2 / sum(_fans(shape))), shape).astype(dtype)


def glorot_uniform(rng: np.random.Generator, shape: Shape, dtype: np.dtype) -> np.ndarray:
    """Draw from U(−a, a) with a = √(6 / (fan_in + fan_out)).

    Source: Glorot & Bengio 2010, equation 16.
    """
    limit = math.sqrt(6 / sum(_fans(shape)))
    return rng.uniform(-limit, limit, shape).astype(dtype)


_INITIALIZERS: dict[str, Initializer] = {
    draw.__name__: draw for draw in (he_normal, he_uniform, glorot_normal, glorot_uniform)
}


def check(name: str) -> str:
    """Return ``name``; raise ConfigError if there is no such initializer."""
    if not isinstance(name, str) or name not in _INITIALIZERS:
        raise ConfigError(
            f"unknown kernel_initializer {shown(name)}: expected one of {', '.join(_INITIALIZERS)}"
        )
    return name


def get(name: str) -> Initializer:
    """Return the initializer called ``name``."""
    return _INITIALIZERS[check(name)]
