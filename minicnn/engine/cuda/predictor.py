"""Prediction on a GPU: the forward half of the captured engine."""

import numpy as np

from minicnn.engine.cuda.network import STEP, Images, Network, supports
from minicnn.stack import Stack

__all__ = ["Predictor", "chunk", "supports"]


def chunk(model: Stack, batch_size: int, N: int, most_memory: int) -> tuple[int, int]:
    """Return the smallest and the largest number of images that may be predicted at a time."""
    return min(batch_size, N), batch_size


class Predictor:
    """Computes the output of any number of images, ``chunk`` at a time."""

    def __init__(self, model: Stack, chunk: int) -> None:
        self.model, self.chunk = model, chunk
        self.network = Network(model, chunk, training=False)
        self.rows = self.network.xp.asarray(np.arange(chunk, dtype=np.int32))
        self.step = self.network.device.zeros(STEP.itemsize, dtype=np.uint8)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the output for ``images``, (N, *output_shape)."""
        network, outputs = self.network, []
        network.audit.check(training=False)
        x, y = network.activations[0], network.labels
        for first in range(0, len(images), self.chunk):
            chunk = images[first : first + self.chunk]
            N, data = len(chunk), Images(self.model, chunk, np.zeros(len(chunk)))
            gather = data.gather(self.model.preprocessing, N, self.rows, self.step, x, y)
            for launch in [gather, *network.forward(N, self.step, False)]:
                launch()
            output = network.activations[-1].reshape(self.chunk, *self.model.output_shape)
            outputs.append(network.xp.asnumpy(output[:N]))
        return np.concatenate(outputs)
