"""Checks of arrays that a user or a custom layer may have replaced."""

from typing import Any

import numpy as np

from minicnn.backend import Array
from minicnn.errors import DTypeError, ShapeError, StateError


def check_array(
    array: Any,
    of: type,
    shape: tuple[int, ...],
    dtype: np.dtype,
    layer: str,
    what: str,
    remedy: str,
    *names: str,
) -> None:
    """Raise DTypeError or ShapeError if ``array`` is not of class ``of`` with this shape and dtype.

    That includes masked arrays and arrays on another device or in another byte order; memory order does not
    matter. The message names ``layer`` and ``what``, formatted with ``names``, and ends with ``remedy``.
    """
    if type(array) is of and array.shape == shape and array.dtype == dtype:
        return
    where = f"layer {layer!r}: expected {what.format(*names)} of shape {shape}"
    if type(array) is not of:
        raise DTypeError(f"{where} in {_class(of)}, got {_class(type(array))}: {remedy}")
    if array.shape != shape:
        raise ShapeError(f"{where}, got {array.shape}: {remedy}")
    raise DTypeError(f"{where} and dtype {dtype}, got {array.dtype.name} ({array.dtype.str}): {remedy}")


def check_writable(array: Array, layer: str, what: str, *names: str) -> None:
    """Raise StateError if a NumPy array that a step writes into is read-only. See ``check_array``."""
    if isinstance(array, np.ndarray) and not array.flags.writeable:
        raise StateError(
            f"layer {layer!r}: {what.format(*names)} is read-only, and a step writes into it: replace it by "
            "array.copy()"
        )


def _class(of: type) -> str:
    return f"{of.__module__.partition('.')[0]}.{of.__name__}"
