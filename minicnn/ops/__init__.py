"""The operations that layers call, in plain array code (``reference``) and in Numba (``cpu``).

``reference`` is the specification, tests ``cpu``, and runs on NumPy and CuPy arrays. ``of(x)`` selects the
module for an array; ``with use("reference")`` is the only switch. CuPy arrays always use ``reference``:
float32 training and prediction on a GPU do not call these operations, see ``engine/cuda``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType

import numpy as np

from minicnn.backend import Array
from minicnn.errors import ConfigError
from minicnn.runtime.loading import load

KERNELS = ("cpu", "reference")

# A context variable, so that a switch affects only its own thread.
_active: ContextVar[str] = ContextVar("minicnn_kernels", default="cpu")


def of(x: Array) -> ModuleType:
    """Return the operations for ``x``."""
    return load(f"{__name__}.{_active.get() if isinstance(x, np.ndarray) else 'reference'}")


def active() -> str:
    """Return the operations in use for NumPy arrays, ``"cpu"`` or ``"reference"``."""
    return _active.get()


@contextmanager
def use(name: str) -> Iterator[None]:
    """Use ``"cpu"`` or ``"reference"`` for NumPy arrays inside the ``with`` block; else ConfigError."""
    if name not in KERNELS:
        raise ConfigError(f"unknown kernels {name!r}: expected one of {', '.join(KERNELS)}")
    before = _active.get()
    try:
        _active.set(name)
        yield
    finally:
        _active.set(before)
