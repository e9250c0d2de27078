"""The stand-in for CuPy, which runs the kernels on the host."""

import shutil
import sys

import pytest

from tests.engine.cuda import hostcupy

collect_ignore = [] if shutil.which("g++") else ["test_layers.py", "test_engine.py", "test_pool.py"]


@pytest.fixture
def cupy(monkeypatch):
    """Replace CuPy by the stand-in."""
    module = hostcupy.module()
    monkeypatch.setitem(sys.modules, "cupy", module)
    hostcupy.transfers.reset()
    return module
