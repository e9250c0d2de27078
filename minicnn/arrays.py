"""The check of an array that a person, or a layer of one's own, may have put in the place of another."""

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
    """Refuse what is no array of the class ``of`` with this shape and dtype; it may lie in any order.

    ``layer`` and ``what`` name it in the message, ``remedy`` says what to do about it; each {} in ``what``
    stands for one of ``names``, so that no text is made as long as all is right.

    Raises
    ------
    DTypeError, ShapeError
        If it is another thing: a list, an array with a mask, one on another device, of another byte order.
    """
    if type(array) is of and array.shape == shape and array.dtype == dtype:
        return
    where = f"layer {layer!r}: expected {what.format(*names)} of shape {shape}"
    if type(array) is not of:
        raise DTypeError(f"{where} in {_class(of)}, it is {_class(type(array))}: {remedy}")
    if array.shape != shape:
        raise ShapeError(f"{where}, it is {array.shape}: {remedy}")
    raise DTypeError(f"{where} and dtype {dtype}, it is {array.dtype.name} ({array.dtype.str}): {remedy}")


def check_writable(array: Array, layer: str, what: str, *names: str) -> None:
    """Refuse a NumPy array that is read-only, though a step writes into it. See ``check_array``.

    Raises
    ------
    StateError
        Then.
    """
    if isinstance(array, np.ndarray) and not array.flags.writeable:
        raise StateError(
            f"layer {layer!r}: {what.format(*names)} is read-only, and a step writes into it: put a copy in "
            "its place, array.copy()"
        )


def _class(of: type) -> str:
    return f"{of.__module__.partition('.')[0]}.{of.__name__}"
