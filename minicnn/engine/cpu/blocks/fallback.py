"""Layers without a fast block."""

import numpy as np

from minicnn.engine.audit import check_dx, check_output
from minicnn.engine.cpu.blocks.base import Block, Stage


class FallbackBlock(Block):
    """Calls the layer: in training with the whole batch, in prediction with parts of it."""

    def forward(self, training: bool) -> list[Stage]:
        """Return the stage that calls ``layer.forward``."""
        layer = self.layer

        def run(part: int, first: int, last: int) -> None:
            y = layer.forward(self._images(self.x, layer.input_shape, first, last), training)
            check_output(layer, y, last - first)
            self._images(self.y, layer.output_shape, first, last)[...] = y

        return [Stage(run, whole=training)]

    def backward(self) -> list[Stage]:
        """Return the stage that calls ``layer.backward``."""
        layer = self.layer

        def run(part: int, first: int, last: int) -> None:
            dx = layer.backward(self._images(self.dy, layer.output_shape, first, last), self.dx is not None)
            if self.dx is not None:
                check_dx(layer, dx, last - first)
                self._images(self.dx, layer.input_shape, first, last)[...] = dx

        return [Stage(run, whole=True)]

    def commit(self) -> None:
        """Free the layer's cache, in case its backward pass was not needed."""
        self.layer.forget()

    @staticmethod
    def _images(array: np.ndarray, shape: tuple[int, ...], first: int, last: int) -> np.ndarray:
        return array.reshape(-1, *shape)[first:last]
