"""Fences around the arrays of the fused engine, to detect writes outside of an array."""

from contextlib import contextmanager
from unittest.mock import patch

import numpy as np

from minicnn.engine.cpu.blocks import base

_HAVING = [f"minicnn.engine.cpu.{name}" for name in ("network", "blocks.conv", "blocks.dense", "blocks.norm")]
_WIDTH, _MARK = 64, 0xA5  # numbers on each side; the mark makes floats of −7e−17, which no test computes


class Fences:
    """Makes arrays between marked numbers, and checks that these are intact."""

    def __init__(self):
        self.plain_zeros, self.kept = base.zeros, []

    def zeros(self, size, dtype=np.float32):
        whole = self.plain_zeros(size + 2 * _WIDTH, dtype)
        sides = whole[:_WIDTH], whole[_WIDTH + size :]
        for side in sides:
            side.view(np.uint8)[:] = _MARK
            self.kept.append(side)
        return whole[_WIDTH : _WIDTH + size]

    def copy(self, array):
        copied = self.zeros(array.size, array.dtype).reshape(array.shape)
        copied[...] = array
        return copied

    def fence(self, model, optimizer):
        """Put parameters, running averages and moments between fences."""
        for layer in model.layers:
            for arrays in (layer.params, layer.state):
                arrays.update({name: self.copy(array) for name, array in arrays.items()})
        for moments in optimizer._state.values():
            moments[:] = map(self.copy, moments)

    def check(self):
        assert all((side.view(np.uint8) == _MARK).all() for side in self.kept), (
            "a kernel wrote outside an array"
        )


@contextmanager
def fenced():
    """Make all arrays of the fused engine's blocks between fences."""
    fences = Fences()
    patches = [patch(f"{module}.zeros", fences.zeros) for module in _HAVING]
    for each in patches:
        each.start()
    try:
        yield fences
    finally:
        for each in patches:
            each.stop()
