"""What the tests of the GPU's code share: a stand-in for CuPy, which runs the kernels on the host."""

import shutil
import sys

import pytest

from tests.engine.cuda import hostcupy

collect_ignore = [] if shutil.which("g++") else ["test_layers.py", "test_engine.py", "test_pool.py"]


@pytest.fixture
def cupy(monkeypatch):
    """Put the stand-in in the place of CuPy."""
    module = hostcupy.module()
    monkeypatch.setitem(sys.modules, "cupy", module)
    hostcupy.transfers.reset()
    return module
