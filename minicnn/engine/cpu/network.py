"""The blocks of a model on the CPU."""

import numpy as np

from minicnn.engine import network
from minicnn.engine.audit import Audit
from minicnn.engine.cpu.blocks import make_blocks, zeros
from minicnn.runtime.threads import num_threads
from minicnn.stack import Stack


def supports(model: Stack) -> bool:
    """Whether the blocks can compute ``model``: float32 arrays in main memory."""
    return model.device == "cpu" and model.dtype == np.float32


class Network(network.Network):
    """The blocks of a model, with workspaces for ``parts`` threads."""

    def __init__(self, model: Stack, parts: int, capacity: int) -> None:
        audit = Audit(model)
        super().__init__(audit, make_blocks(model.layers, parts), capacity, zeros)
        self.parts = parts
        self.images = self.activations[0].reshape(capacity, *model.input_shape)

    @property
    def output(self) -> np.ndarray:
        """The output of every image, (capacity, *output_shape)."""
        return self.activations[-1].reshape(self.capacity, *self.model.output_shape)

    def fits(self) -> bool:
        """Whether the model and the number of threads are unchanged."""
        return self.parts == num_threads() and self.audit.is_current()

    def begin(self, N: int, training: bool) -> None:
        """Prepare all blocks for N images; ``audit`` must have checked all arrays."""
        for block in self.blocks:
            block.take_weights(training)
            block.begin(N, training)

    def pack(self, part: int, training: bool) -> None:
        """Pack all weights for the kernels of a part."""
        for block in self.blocks:
            block.pack(part, training)
