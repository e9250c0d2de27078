"""The blocks of a model, and the activations and gradients between them."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from minicnn.backend import Array
from minicnn.engine.audit import Audit


class Network:
    """Blocks over arrays that are allocated once, for up to ``capacity`` samples, on any device.

    A block computes y from x and dx from dy, see ``cpu/blocks/base.py`` and ``cuda/blocks/base.py``.

    Attributes
    ----------
    audit : Audit
        Made before the blocks, which rely on its checks.
    activations : list of array
        The input of each block and the output of the last, flat.
    gradients : list of array or None
        With respect to ``activations``; None below the first block with parameters.
    trained : list of Block
        The blocks of the backward pass.
    """

    def __init__(
        self, audit: Audit, blocks: Sequence[Any], capacity: int, zeros: Callable[[int], Array]
    ) -> None:
        self.model, self.audit = audit.model, audit
        self.blocks, self.capacity, self._zeros = list(blocks), capacity, zeros
        sizes = [math.prod(self.model.input_shape), *(block.output_size for block in self.blocks)]
        self.activations = [zeros(capacity * size) for size in sizes]
        for block, x, y in zip(self.blocks, self.activations, self.activations[1:], strict=False):
            block.connect(capacity, x, y)

    def connect_gradients(self) -> None:
        """Allocate the gradients of the activations, and connect the blocks to them."""
        first = next((i for i, block in enumerate(self.blocks) if block.layer.params), len(self.blocks))
        self.trained = self.blocks[first:]
        self.gradients = [None] * (first + 1) + [self._zeros(a.size) for a in self.activations[first + 1 :]]
        if not self.trained:  # the loss still computes its gradient
            self.gradients[-1] = self._zeros(self.activations[-1].size)
        pairs = zip(self.gradients[first:], self.gradients[first + 1 :], strict=False)
        for block, (dx, dy) in zip(self.trained, pairs, strict=True):
            block.connect_gradients(dx, dy)

    def forward(self, *arguments: Any) -> list[Any]:
        """Return the stages or launches of the forward pass."""
        return [stage for block in self.blocks for stage in block.forward(*arguments)]

    def backward(self, *arguments: Any) -> list[Any]:
        """Return the stages or launches of the backward pass."""
        return [stage for block in reversed(self.trained) for stage in block.backward(*arguments)]
