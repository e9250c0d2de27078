"""Which operations are used: by the array, and by a switch that affects only its thread."""

import threading

import numpy as np
import pytest

from minicnn import ops
from minicnn.errors import ConfigError
from minicnn.ops import cpu, reference

pytestmark = pytest.mark.quick

x = np.zeros((1, 1, 1, 1), "float32")


def test_numpy_arrays_go_to_the_numba_kernels():
    assert ops.active() == "cpu"
    assert ops.of(x) is cpu


def test_use_switches_inside_the_block_only():
    with ops.use("reference"):
        assert ops.active() == "reference"
        assert ops.of(x) is reference
        with ops.use("cpu"):
            assert ops.of(x) is cpu
        assert ops.of(x) is reference
    assert ops.of(x) is cpu


def test_use_restores_after_an_exception():
    with pytest.raises(ZeroDivisionError), ops.use("reference"):
        1 / 0  # noqa: B018
    assert ops.of(x) is cpu


def test_use_restores_after_an_interrupt_right_after_the_switch(monkeypatch):
    class Interrupted:
        get = ops._active.get

        def set(self, name, active=ops._active):
            active.set(name)
            if name == "reference":
                raise KeyboardInterrupt

    monkeypatch.setattr(ops, "_active", Interrupted())
    with pytest.raises(KeyboardInterrupt), ops.use("reference"):
        pass
    assert ops.active() == "cpu"


def test_use_is_not_seen_by_another_thread():
    seen = []
    with ops.use("reference"):
        other = threading.Thread(target=lambda: seen.append(ops.of(x)))
        other.start()
        other.join()
    assert seen == [cpu]


def test_unknown_kernels_are_rejected_by_name():
    with pytest.raises(ConfigError, match=r"'fast'.*cpu, reference"), ops.use("fast"):
        pass
    assert ops.active() == "cpu"
