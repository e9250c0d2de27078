"""Prediction on the CPU: the forward half of the fused engine."""

import numpy as np

from minicnn.engine.cpu.network import Network, supports
from minicnn.runtime.threads import num_threads, part_range, run_parts
from minicnn.stack import Stack

__all__ = ["Predictor", "chunk", "supports"]

# Images per thread at a time, at most: enough for the matrix products, few enough for the cache.
_CHUNK = 64


def chunk(model: Stack, batch_size: int, N: int, most_memory: int) -> tuple[int, int]:
    """Return the smallest and the largest number of images that a thread may predict at a time."""
    activations, workspace = model.image_memory
    room = (most_memory // num_threads() - workspace) // activations
    size = max(1, min(_CHUNK, -(-batch_size // num_threads()), room))
    return size, size


class Predictor:
    """Computes the output of any number of images, ``chunk`` at a time in each thread."""

    def __init__(self, model: Stack, chunk: int) -> None:
        self.model = model
        self.chunk = chunk
        self.parts = num_threads()
        self.network = Network(model, self.parts, self.parts * chunk)
        self.stages = self.network.forward(False)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the output for ``images``, (N, *output_shape)."""
        self.network.audit.check(training=False)
        self.network.begin(len(images), training=False)
        N, parts = len(images), min(self.parts, len(images))
        outputs = np.empty((N, *self.model.output_shape), np.float32)

        def run(part: int) -> None:
            self.network.pack(part, training=False)
            start = part * self.chunk  # of this part in the network's arrays
            begin, last = part_range(N, part, parts)
            for first in range(begin, last, self.chunk):
                count = min(self.chunk, last - first)
                batch = images[first : first + count]
                self.model.preprocessing(batch, self.model.dtype, self.network.images[start : start + count])
                for stage in self.stages:
                    stage.run(part, start, start + count)
                outputs[first : first + count] = self.network.output[start : start + count]

        run_parts(run, parts)
        return outputs
