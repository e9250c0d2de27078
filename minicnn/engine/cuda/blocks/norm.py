"""BatchNorm on a GPU, with a ReLU and a 2 × 2 MaxPool2D."""

from collections.abc import Sequence

import numpy as np

from minicnn.backend import Array
from minicnn.engine.cuda.blocks.base import BUSY, Block, Gradient, epilogue
from minicnn.engine.cuda.device import Device, Launch
from minicnn.layers import Layer

_LEAST = 16  # minimum number of rows in a part


class NormBlock(Block):
    """BatchNorm with its followers: see ``norm.cu``."""

    def __init__(self, device: Device, group: Sequence[Layer]) -> None:
        super().__init__(device, group)
        constants = epilogue(group, self.layer.input_shape)
        self.C = constants["OC"]
        self._compile("step", "epilogue", "norm", **constants)

    def connect(self, capacity: int, x: Array, y: Array) -> None:
        """Set the arrays for x and y, and allocate the switches and the batch's statistics."""
        super().connect(capacity, x, y)
        self.switches = self.device.zeros(capacity * self.output_size, dtype=np.uint8)
        self.mean, self.var = self.device.zeros(self.C), self.device.zeros(self.C)

    def connect_gradients(self, dx: Array | None, dy: Array) -> None:
        """Set the arrays for dx and dy, and allocate the parts of the sums and the gradients."""
        super().connect_gradients(dx, dy)
        most = min(BUSY, -(-self._rows(self.capacity) // _LEAST))
        self.parts = self.device.zeros(2, most, self.C)
        self.totals = self.device.zeros(2, self.C)  # dβ and dγ

    def _rows(self, N: int) -> int:
        return N * self.input_size // self.C

    def _shares(self, N: int) -> tuple[int, int, int]:
        """Return the number of rows, of parts, and of rows in a part."""
        M = self._rows(N)
        share = max(-(-M // BUSY), _LEAST)
        return M, -(-M // share), share

    def forward(self, N: int, step: Array, training: bool) -> list[Launch]:
        """Return the launches that compute y and, in training, the batch's statistics."""
        layer, launches = self.layer, []
        averages = layer.state["running_mean"], layer.state["running_var"]
        if training:
            averages = mean, var = self.mean, self.var
            M, count, share = self._shares(N)
            launches = [
                self._launch("sum", count, self.x, self.parts, M, share),
                self._launch("add_up", 1, self.parts, mean, count, float(M)),
                self._launch("sum_squares", count, self.x, mean, self.parts, M, share),
                self._launch("add_up", 1, self.parts, var, count, float(M)),
            ]
        scale, y = (layer.params["gamma"], layer.params["beta"]), (self.y, self.switches)
        size = N * self.output_size
        return [*launches, self._each("forward", size, self.x, *averages, layer.epsilon, *scale, *y, N)]

    def backward(self, N: int, step: Array) -> list[Launch]:
        """Return the launches that compute dβ and dγ, and dx."""
        M, count, share = self._shares(N)
        x, dz = (self.x, self.mean, self.var, self.layer.epsilon), (self.dy, self.switches)
        launches = [
            self._launch("sum_gradients", (count, 2), *x, *dz, self.parts, M, share),
            self._launch("add_up", 2, self.parts, self.totals, count, 1.0),
        ]
        if self.dx is not None:
            scale = self.layer.params["gamma"], self.totals
            launches.append(self._each("backward", M * self.C, *x, *scale, *dz, self.dx, M))
        return launches

    def gradients(self, N: int) -> list[Gradient]:
        """Return the gradients of γ and β."""
        dbeta, dgamma = self.totals
        return [Gradient(self.layer, "gamma", dgamma, 0, 1), Gradient(self.layer, "beta", dbeta, 0, 1)]

    def commit(self, N: int, totals: Array) -> list[Launch]:
        """Return the launch that updates the running averages; none if a channel has a single value."""
        if self._rows(N) == 1:
            return []
        state, momentum = self.layer.state, self.layer.momentum
        arrays = self.mean, self.var, state["running_mean"], state["running_var"], totals
        return [self._launch("update_running", 1, *arrays, momentum, 1 - momentum)]
