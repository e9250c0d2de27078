"""Checks of arguments: numbers, sizes, flags, shapes, dtypes and names.

Each returns the checked value, or raises ConfigError with a message that names the argument.
"""

import math
import numbers
from collections.abc import Sequence

import numpy as np

from minicnn.errors import ConfigError
from minicnn.text import did_you_mean, shown

LARGEST_SIZE = 2**31 - 1
"""The largest size of an axis, a window or a stride."""
MOST_AXES = 16

INTERVALS = {
    "(0, ∞)": lambda x: 0 < x < math.inf,
    "[0, ∞)": lambda x: 0 <= x < math.inf,
    "(0, 1)": lambda x: 0 < x < 1,
    "[0, 1)": lambda x: 0 <= x < 1,
    "(0, 1]": lambda x: 0 < x <= 1,
    "[0, 1]": lambda x: 0 <= x <= 1,
    "(−∞, ∞)": lambda x: -math.inf < x < math.inf,
}
"""The intervals for ``number``."""


def number(value: float, name: str, interval: str) -> float:
    """Return ``value`` as a float in ``interval``, one of ``INTERVALS``; rejects NaN and bools."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    try:
        found = float(value) if real else math.nan
    except OverflowError:  # an int such as 10**400
        found = math.nan
    if not INTERVALS[interval](found):
        raise ConfigError(f"{name} must be a number in {interval}, got {shown(value)}")
    return found


def whole_number(value: int, name: str, minimum: int = 1) -> int:
    """Return ``value`` as an int of at least ``minimum``; rejects bools and floats such as 3.0."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < minimum:
        raise ConfigError(f"{name} must be a whole number of at least {minimum}, got {shown(value)}")
    return int(value)


def size(value: int, name: str, minimum: int = 1) -> int:
    """Return ``value`` as a ``whole_number`` of at most ``LARGEST_SIZE``."""
    value = whole_number(value, name, minimum)
    if value > LARGEST_SIZE:
        raise ConfigError(f"{name} must be at most {LARGEST_SIZE:,}, got {shown(value)}")
    return value


def flag(value: bool, name: str) -> bool:
    """Return ``value``, True or False, as a plain bool."""
    if not isinstance(value, bool | np.bool_):
        raise ConfigError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def shape(value: tuple[int, ...], name: str) -> tuple[int, ...]:
    """Return ``value`` as a tuple of one to ``MOST_AXES`` numbers, each a ``size`` of at least 1."""
    if not isinstance(value, (tuple, list)) or not value:
        raise ConfigError(f"{name} must be a tuple such as (28, 28, 1), got {shown(value)}")
    if len(value) > MOST_AXES:
        raise ConfigError(f"{name} must have at most {MOST_AXES} axes, got {len(value):,}")
    return tuple(size(n, f"every number in {name}") for n in value)


def float_dtype(value: np.dtype | str | type) -> np.dtype:
    """Return ``value`` as a dtype, float32 or float64."""
    if value not in ("float32", "float64", np.float32, np.float64):
        raise ConfigError(f'dtype must be "float32" or "float64", got {shown(value)}')
    return np.dtype(value)


def unknown_name(name: object, what: str, names: Sequence[str]) -> ConfigError:
    """Return the error for a ``name`` that is not in ``names``; it suggests the most similar one."""
    hint = did_you_mean(str(name).lower(), names)
    return ConfigError(f"{what} must be one of {', '.join(names)}; got {shown(name)}{hint}")
