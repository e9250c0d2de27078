"""A model as blocks over arrays that are made once, and prediction with it."""

import math
from collections.abc import Iterator

import numpy as np

from minicnn import ops
from minicnn.backend import to_numpy
from minicnn.engine.audit import Audit
from minicnn.engine.cpu.blocks import Block, Stage, cut, zeros
from minicnn.model import Sequential
from minicnn.runtime.threads import num_threads, run_parts

# Most images that a thread predicts at a time: enough for the matrix products, few enough for the cache.
_CHUNK = 64
# The bytes that activations and workspaces of a prediction may take, as long as it is more than one image.
_MOST_MEMORY = 2**30


def supports(model: Sequential) -> bool:
    """Whether the blocks can compute ``model``: float32 arrays in main memory."""
    return model.device == "cpu" and model.dtype == np.float32


class Network:
    """The blocks of a model, and the activations between them, for up to ``capacity`` images."""

    def __init__(self, model: Sequential, parts: int, capacity: int) -> None:
        self.model = model
        self.audit = Audit(model)
        self.parts = parts
        self.capacity = capacity
        self.blocks: list[Block] = cut(model.layers, parts)
        sizes = [math.prod(model.input_shape), *(block.output_size for block in self.blocks)]
        self.activations = [zeros(capacity * size) for size in sizes]
        for block, x, y in zip(self.blocks, self.activations, self.activations[1:], strict=False):
            block.connect(capacity, x, y)
        self.images = self.activations[0].reshape(capacity, *model.input_shape)

    @property
    def output(self) -> np.ndarray:
        """The output of every image, (capacity, *output_shape)."""
        return self.activations[-1].reshape(self.capacity, *self.model.output_shape)

    def fits(self) -> bool:
        """Whether the model, and the number of threads, are still what this was made for."""
        return self.parts == num_threads() and self.audit.holds()

    def connect_gradients(self) -> None:
        """Make the arrays for the gradients of the activations, and give them to the blocks.

        None is needed in front of the first block with parameters.
        """
        first = next((i for i, block in enumerate(self.blocks) if block.layer.params), len(self.blocks))
        self.trained = self.blocks[first:]
        self.gradients = [None] * (first + 1) + [zeros(a.size) for a in self.activations[first + 1 :]]
        if not self.trained:
            self.gradients[-1] = zeros(self.activations[-1].size)  # the loss computes it all the same
        pairs = zip(self.gradients[first:], self.gradients[first + 1 :], strict=False)
        for block, (dx, dy) in zip(self.trained, pairs, strict=True):
            block.connect_gradients(dx, dy)

    def begin(self, N: int, training: bool) -> None:
        """Prepare all blocks for N images; ``audit`` has checked all arrays."""
        for block in self.blocks:
            block.take_weights(training)
            block.begin(N, training)

    def pack(self, part: int, training: bool) -> None:
        """Lay out all weights for the kernels of a part: they may have changed since the last time."""
        for block in self.blocks:
            block.pack(part, training)

    def forward(self, training: bool) -> list[Stage]:
        """Return the stages that compute ``output`` from ``images``."""
        return [stage for block in self.blocks for stage in block.forward(training)]

    def backward(self) -> list[Stage]:
        """Return the stages that compute all gradients of activations from that of ``output``."""
        return [stage for block in reversed(self.trained) for stage in block.backward()]


class Predictor:
    """The forward half: computes the output of any number of images, ``chunk`` at a time in each thread."""

    def __init__(self, model: Sequential, chunk: int) -> None:
        self.model = model
        self.chunk = chunk
        self.parts = num_threads()
        self.network = Network(model, self.parts, self.parts * chunk)
        self.stages = self.network.forward(training=False)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the output for ``images``, (N, *output_shape)."""
        self.network.audit.check(training=False)
        self.network.begin(len(images), training=False)
        N, parts = len(images), min(self.parts, len(images))
        outputs = np.empty((N, *self.model.output_shape), np.float32)

        def run(part: int) -> None:
            self.network.pack(part, training=False)
            start = part * self.chunk  # this part's place in the arrays
            last = N * (part + 1) // parts
            for first in range(N * part // parts, last, self.chunk):
                count = min(self.chunk, last - first)
                chunk = images[first : first + count]
                self.model.preprocessing(chunk, self.model.dtype, self.network.images[start : start + count])
                for stage in self.stages:
                    stage.run(part, start, start + count)
                outputs[first : first + count] = self.network.output[start : start + count]

        run_parts(run, parts)
        return outputs


def predict(model: Sequential, images: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Yield the output for ``images``, in the fastest way there is for the model."""
    kind, least, most = _fastest(model, batch_size, len(images))
    if kind is None:
        Audit(model).check(training=False)
        batch_size = min(batch_size, max(1, _MOST_MEMORY // sum(model.image_memory)))
        for i in range(0, len(images), batch_size):
            yield model.forward(model.preprocess(images[i : i + batch_size]))
        return
    images = to_numpy(images)
    # The arrays are kept by the model. Two threads may predict with it at once: each takes its own.
    try:
        predictor = model.predictors.pop()
    except IndexError:
        predictor = None
    usable = type(predictor) is kind and least <= predictor.chunk <= most and predictor.network.fits()
    if not usable:
        predictor = kind(model, least)
    yield predictor(images)
    model.predictors.append(predictor)


def _fastest(model: Sequential, batch_size: int, N: int) -> tuple[type | None, int, int]:
    """Return the kind of predictor for N images, or None, and how many it takes at a time, least and most."""
    from minicnn.engine.cuda import network

    if ops.active() != "cpu":
        return None, 0, 0
    if network.supports(model):
        return network.Predictor, min(batch_size, N), batch_size
    if supports(model):
        activations, workspace = model.image_memory
        room = (_MOST_MEMORY // num_threads() - workspace) // activations
        chunk = max(1, min(_CHUNK, -(-batch_size // num_threads()), room))
        return Predictor, chunk, chunk
    return None, 0, 0
