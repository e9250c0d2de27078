"""Which kernels are used: the array decides, and one switch that no other thread sees."""

import threading

import numpy as np
import pytest

from minicnn import kernels
from minicnn.errors import ConfigError
from minicnn.kernels import cpu, reference

x = np.zeros((1, 1, 1, 1), "float32")


def test_numpy_arrays_go_to_the_numba_kernels():
    assert kernels.active() == "cpu"
    assert kernels.of(x) is cpu


def test_use_switches_inside_the_block_only():
    with kernels.use("reference"):
        assert kernels.active() == "reference"
        assert kernels.of(x) is reference
        with kernels.use("cpu"):
            assert kernels.of(x) is cpu
        assert kernels.of(x) is reference
    assert kernels.of(x) is cpu


def test_use_restores_after_an_exception():
    with pytest.raises(ZeroDivisionError), kernels.use("reference"):
        1 / 0  # noqa: B018
    assert kernels.of(x) is cpu


def test_use_restores_after_an_interrupt_just_behind_the_switch(monkeypatch):
    class Interrupted:
        get = kernels._active.get

        def set(self, name, active=kernels._active):
            active.set(name)
            if name == "reference":
                raise KeyboardInterrupt

    monkeypatch.setattr(kernels, "_active", Interrupted())
    with pytest.raises(KeyboardInterrupt), kernels.use("reference"):
        pass
    assert kernels.active() == "cpu"


def test_use_is_not_seen_by_another_thread():
    seen = []
    with kernels.use("reference"):
        other = threading.Thread(target=lambda: seen.append(kernels.of(x)))
        other.start()
        other.join()
    assert seen == [cpu]


def test_unknown_kernels_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"'fast'.*cpu, reference"), kernels.use("fast"):
        pass
    assert kernels.active() == "cpu"
