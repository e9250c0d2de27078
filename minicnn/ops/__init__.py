"""The hot loops: for the layers in ``reference``, ``cpu`` and ``cuda`` alike; the rest for the engines.

``reference`` is plain array code, short enough to read, and the oracle for the others; it runs on
NumPy and CuPy arrays alike. ``cpu`` is the same in Numba, ``cuda`` in CUDA C++. ``of(x)`` picks by the
array. ``with use("reference")`` is the one switch, for tests and for studying.
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

# A context variable: a switch in one thread is not seen by another.
_active: ContextVar[str] = ContextVar("minicnn_kernels", default="cpu")


def of(x: Array) -> ModuleType:
    """Return the module of kernels that works on ``x``."""
    name = _active.get()
    if name == "cpu" and not isinstance(x, np.ndarray):
        name = "cuda"
    return load(f"{__name__}.{name}")


def active() -> str:
    """Return which kernels are used: ``"cpu"`` (for arrays on a GPU ``cuda``) or ``"reference"``."""
    return _active.get()


@contextmanager
def use(name: str) -> Iterator[None]:
    """Use the kernels called ``name`` (``"cpu"`` or ``"reference"``) inside the ``with`` block.

    Raises
    ------
    ConfigError
        If there are no kernels of that name.
    """
    if name not in KERNELS:
        raise ConfigError(f"unknown kernels {name!r}: expected one of {', '.join(KERNELS)}")
    before = _active.get()
    try:
        _active.set(name)
        yield
    finally:
        _active.set(before)
