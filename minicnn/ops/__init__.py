"""The operations that layers call, in plain array code (``reference``) and in Numba (``cpu``).

``reference`` is short enough to read, is the oracle for ``cpu``, and runs on NumPy and CuPy arrays. ``of(x)``
picks by the array; ``with use("reference")`` is the one switch, for tests and for studying.

CuPy arrays always use ``reference``. CUDA kernels would save launches (about 60 instead of 4 for a 3 × 3
convolution and a 2 × 2 max-pool, at some 10 µs each) and memory traffic (nothing in im2col, two thirds in
col2im, five sixths in max-pooling). That is not worth a third implementation: float32 training and prediction
on a GPU do not call these operations, see ``engine/cuda``.
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
    """Return the module of operations for ``x``."""
    return load(f"{__name__}.{_active.get() if isinstance(x, np.ndarray) else 'reference'}")


def active() -> str:
    """Return which operations are used on NumPy arrays: ``"cpu"`` or ``"reference"``."""
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
