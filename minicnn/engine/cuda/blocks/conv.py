"""Conv2D and Dense on a GPU, with a ReLU and a 2 × 2 MaxPool2D."""

from collections.abc import Sequence

import numpy as np

from minicnn.backend import Array
from minicnn.engine.cuda.blocks.base import BUSY, Block, Gradient, as_image, epilogue
from minicnn.engine.cuda.device import Device, Launch
from minicnn.layers import Layer

TILE_M, TILE_K = 64, 16
_LEAST = 4 * TILE_K  # minimum length of a part of a sum
_ONE_PIXEL = (1, 1), (1, 1), (1, 1), ((0, 0), (0, 0))


class ConvBlock(Block):
    """Conv2D, or Dense as a 1 × 1 convolution of one pixel, with its followers: see ``conv.cu``."""

    threads = 128

    def __init__(self, device: Device, group: Sequence[Layer]) -> None:
        super().__init__(device, group)
        layer = self.layer
        H, W, self.C = as_image(layer.input_shape)
        (KH, KW), (SH, SW), (DH, DW), ((top, _), (left, _)) = getattr(layer, "window", _ONE_PIXEL)
        constants = epilogue(group, layer.output_shape)
        self.OC, self.depth, self.pixels = constants["OC"], KH * KW * self.C, H * W
        self.outputs = self.output_size // self.OC * constants["POOL"] ** 2  # those that the pool covers
        self.tile_n = 64 if self.OC > 32 else 32
        self._compile(
            "gemm", "epilogue", "conv", TILE_M=TILE_M, TILE_N=self.tile_n, TILE_K=TILE_K, H=H, W=W, C=self.C,
            KH=KH, KW=KW, SH=SH, SW=SW, DH=DH, DW=DW, TOP=top, LEFT=left, **constants,
        )  # fmt: skip

    def connect(self, capacity: int, x: Array, y: Array) -> None:
        """Set the arrays for x and y, and allocate the switches and the parts of y."""
        super().connect(capacity, x, y)
        zeros = self.device.zeros
        self.switches = zeros(capacity * self.output_size, dtype=np.uint8)
        self.bias = self.layer.params["b"] if self.layer.use_bias else zeros(self.OC)
        most = self.depth // _LEAST * capacity * self.outputs * self.OC
        self.sums = zeros(min(most, BUSY * TILE_M * self.tile_n))

    def connect_gradients(self, dx: Array | None, dy: Array) -> None:
        """Set the arrays for dx and dy, and allocate the parts of the gradients."""
        super().connect_gradients(dx, dy)
        most = _most_parts(self.capacity * self.outputs, self._tiles(self.depth + 1, self.OC))
        self.parts = self.device.zeros(most, self.depth + 1, self.OC)

    def forward(self, N: int, step: Array, training: bool) -> list[Launch]:
        """Return the launches that compute y and the switches."""
        tiles = self._tiles(N * self.outputs, self.OC)
        count, share = _parts(self.depth, tiles)
        x, y = (self.x, self.layer.params["W"]), (self.bias, self.y, self.switches)
        forward = self._launch("forward", (tiles, count), *x, *y, self.sums, N, share)
        finish = self._each("finish", N * self.output_size, self.sums, *y, N, count)
        return [forward, finish] if count > 1 else [forward]

    def backward(self, N: int, step: Array) -> list[Launch]:
        """Return the launches that compute the parts of dW and db, and dx."""
        dz = self.dy, self.switches
        tiles = self._tiles(self.depth + 1, self.OC)
        count, share = _parts(N * self.outputs, tiles)
        launches = [self._launch("weights_gradient", (tiles, count), self.x, *dz, self.parts, N, share)]
        if self.dx is not None:
            tiles = self._tiles(N * self.pixels, self.C)
            launches.append(self._launch("input_gradient", tiles, *dz, self.layer.params["W"], self.dx, N))
        return launches

    def gradients(self, N: int) -> list[Gradient]:
        """Return the gradients of W and b: b's is the last row of each part."""
        count, _ = _parts(N * self.outputs, self._tiles(self.depth + 1, self.OC))
        first, stride = self.parts[0], (self.depth + 1) * self.OC
        found = {"W": first[:-1].reshape(self.layer.params["W"].shape), "b": first[-1]}
        return [Gradient(self.layer, name, found[name], stride, count) for name in self.layer.params]

    def _tiles(self, M: int, columns: int) -> int:
        """Return how many tiles an M × columns product has."""
        return -(-M // TILE_M) * -(-columns // self.tile_n)


def _most_parts(length: int, tiles: int) -> int:
    """Return the maximum number of parts of a sum of ``length`` numbers, for each of ``tiles`` tiles."""
    return max(1, min(BUSY // tiles, length // _LEAST))


def _parts(length: int, tiles: int) -> tuple[int, int]:
    """Return the number of parts of a sum, and their length."""
    share = -(-length // (_most_parts(length, tiles) * TILE_K)) * TILE_K
    return -(-length // share), share
