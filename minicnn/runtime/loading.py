"""Importing what needs Numba, at its first use."""

import sys
from importlib import import_module
from types import ModuleType

from minicnn.runtime.threads import uninterrupted


def load(name: str) -> ModuleType:
    """Import the module ``name`` and return it.

    Loading Numba takes a while, so ``import minicnn`` does not. No interrupt reaches the import: after an
    interrupted one, Numba cannot be imported again in the same process.
    """
    if name not in sys.modules:
        uninterrupted(lambda: import_module(name))
    return import_module(name)
