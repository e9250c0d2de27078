"""Importing modules at their first use."""

import sys
from importlib import import_module
from types import ModuleType

from minicnn.runtime.threads import uninterrupted


def load(name: str) -> ModuleType:
    """Import the module ``name`` and return it; used for Numba, which is slow to load.

    The import cannot be interrupted: otherwise the process could not import Numba again.
    """
    if name not in sys.modules:
        uninterrupted(lambda: import_module(name))
    return import_module(name)
