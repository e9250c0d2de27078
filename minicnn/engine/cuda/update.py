"""The optimizer's step on a GPU."""

from typing import Any

import numpy as np

from minicnn.backend import Array
from minicnn.engine.audit import fused_kernel
from minicnn.engine.cuda.blocks import Gradient
from minicnn.engine.cuda.device import Device, Launch
from minicnn.engine.cuda.network import STEP
from minicnn.layers import Layer
from minicnn.optimizers import Optimizer

# Parameter and Piece in update.cu.
_PARAMETER = np.dtype(
    [("w", "u8"), ("parts", "u8"), ("first_moment", "u8"), ("second_moment", "u8"), ("size", "i8"),
     ("stride", "i8"), ("count", "i8"), ("decay", "f4"), ("unused", "i4")]
)  # fmt: skip
_PIECE = np.dtype([("parameter", "i4"), ("first", "i4")])
_PIECE_SIZE = 4 * 256  # numbers of a parameter that one block of threads updates
# The optimizer's numbers that are sent with each step; the others are fixed in a graph.
_CHANGING = frozenset(STEP.names)


class Update:
    """The updates of an optimizer that has a kernel."""

    def __init__(self, device: Device, optimizer: Optimizer, totals: Array) -> None:
        self.device, self.optimizer, self.totals = device, optimizer, totals

    def record(self, draw: int) -> np.void:
        """Return the record of the current step: see ``step.cu``."""
        numbers, record = self.optimizer.numbers(), np.zeros((), STEP)
        record["draw"] = draw
        for field in _CHANGING.intersection(numbers._fields):
            record[field] = getattr(numbers, field)
        return record[()]

    def settings(self) -> tuple[Any, ...]:
        """Return the optimizer's settings that are fixed in a graph."""
        o = self.optimizer
        return *self._fixed_numbers(), o.weight_decay, o.decay_all, o.global_clipnorm

    def _fixed_numbers(self) -> list[Any]:
        """Return the kernel's arguments that are fixed in a graph."""
        numbers = self.optimizer.numbers()._asdict()
        fixed = [value for name, value in numbers.items() if name not in _CHANGING]
        return [value if isinstance(value, bool) else float(value) for value in fixed]

    def moments(self, layer: Layer, name: str) -> list[Array]:
        """Return the moments of a parameter, in C order."""
        if not self.optimizer.moment_count:
            return []
        key = f"{layer.name}.{name}"
        moments = self.optimizer.moments(key, layer.params[name], self.optimizer.moment_count)
        moments[:] = map(self.device.contiguous, moments)
        return moments

    def tables(self, gradients: list[Gradient]) -> tuple[Array, Array]:
        """Return the tables of parameters and pieces in ``update.cu``."""
        table, pieces = np.zeros(len(gradients), _PARAMETER), []
        for row, (layer, name, first, stride, count) in enumerate(gradients):
            w, entry, moments = layer.params[name], table[row], self.moments(layer, name)
            fields = "w", "parts", "first_moment", "second_moment"
            for field, array in zip(fields, (w, first, *moments), strict=False):
                entry[field] = array.data.ptr
            entry["size"], entry["stride"], entry["count"] = w.size, stride, count
            entry["decay"] = self.optimizer.decay_of(layer, name)
            pieces += [(row, i) for i in range(0, w.size, _PIECE_SIZE)]
        asarray = self.device.xp.asarray
        return asarray(table.view(np.uint8)), asarray(np.array(pieces, _PIECE).view(np.uint8))

    def launches(self, tables: tuple[Array, Array], step: Array) -> list[Launch]:
        """Return the launches that clip the gradients, if the optimizer does, and update all parameters."""
        parameters, pieces = tables
        most, blocks = self.optimizer.global_clipnorm, pieces.size // _PIECE.itemsize
        kernels = self.device.compile("step", "update", CLIP=int(most is not None))
        clip = self.device.zeros(1)
        arguments = parameters, pieces, step, self.totals, clip, *self._fixed_numbers()
        update = kernels.launch(fused_kernel(self.optimizer), blocks, *arguments)
        if most is None:
            return [update]
        squares = self.device.zeros(blocks, dtype=np.float64)
        return [
            kernels.launch("square_sums", blocks, parameters, pieces, squares),
            kernels.launch("clip_scale", 1, squares, clip, np.float64(most), blocks),
            update,
        ]
