"""A model as CUDA blocks over arrays that are made once, and prediction with it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from operator import is_

import numpy as np

from minicnn.backend import Array, array_module
from minicnn.data import Augmentation
from minicnn.engine.audit import NUMBERS, Audit
from minicnn.engine.cuda.blocks import Block, Gradient, cut, knows
from minicnn.engine.cuda.device import Device, Launch
from minicnn.errors import DeviceError
from minicnn.model import Sequential
from minicnn.preprocessing import Preprocessing

# What precedes each step, see ``step.cu``.
STEP = np.dtype([("rate", "f4"), ("scale_1", "f4"), ("scale_2", "f4"), ("draw", "u4")])


class Images:
    """A data set on the device as it is stored, and the gathering of batches from it: see ``batch.cu``."""

    def __init__(
        self,
        model: Sequential,
        images: np.ndarray,
        labels: np.ndarray,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.whole, self.augmentation = images.dtype == np.uint8, augmentation
        device = device_of(model)
        H, W, C = images.shape[1:]
        with enough_memory(f"a data set of {len(images):,} images"):
            self.images = device.xp.asarray(self._stored(images))
            self.labels = device.xp.asarray(labels.astype(np.int32))
        pixel, changed = "unsigned char" if self.whole else "float", augmentation or Augmentation()
        changes = {"FLIP": int(changed.flip), "SHIFT": changed.shift, "ERASE": round(changed.erase * 2**24)}
        self.kernels = device.compile("step", "batch", IMAGE=pixel, H=H, W=W, C=C, **changes)

    def _stored(self, images: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(images, np.uint8 if self.whole else np.float32)

    def replace(self, images: np.ndarray, labels: np.ndarray, augmentation: Augmentation | None) -> bool:
        """Take other images in the place of these, if they fit there."""
        whole = images.dtype == np.uint8
        if (images.shape, whole, augmentation) != (self.images.shape, self.whole, self.augmentation):
            return False
        self.images.set(self._stored(images))
        self.labels.set(labels.astype(np.int32))
        return True

    def gather(
        self, preprocessing: Preprocessing, N: int, rows: Array, step: Array, x: Array, y: Array
    ) -> Launch:
        """Return the launch that puts images ``rows`` (N) into x, as network input, and labels into y."""
        std, mean = preprocessing.std, preprocessing.mean
        numbers = np.float32(1 / (255 * std if self.whole else std)), np.float32(mean / std)
        arguments = self.images, self.labels, rows, step, *numbers, x, y
        return Launch(self.kernels.get_function("gather"), (N,), 256, arguments)


def device_of(model: Sequential) -> Device:
    """Return the device that holds the model's arrays."""
    return Device(array_module(next(iter(model.arrays().values()))), model.precision)


@contextmanager
def enough_memory(what: str) -> Iterator[None]:
    """Say what there was no room for, if the GPU's memory runs out.

    Raises
    ------
    DeviceError
        Then.
    """
    try:
        yield
    except Exception as reason:
        if type(reason).__name__ != "OutOfMemoryError":
            raise
        raise DeviceError(f"the GPU has too little memory for {what}: {reason}") from None


class Network:
    """The blocks of a model, and the activations between them, for up to ``capacity`` images."""

    def __init__(self, model: Sequential, capacity: int, training: bool) -> None:
        self.model, self.capacity = model, capacity
        self.device = device_of(model)
        self.xp, self.zeros = self.device.xp, self.device.zeros
        self.audit = Audit(model)
        self.audit.check(training)
        for layer in model.layers:
            for arrays in (layer.params, layer.state):
                arrays.update({name: self.device.laid_out(array) for name, array in arrays.items()})
        self.arrays = list(model.arrays().values())
        # Kernels are told of these at each launch; everything else of a layer is fixed.
        self.named = [(layer, name) for layer in model.layers for name in NUMBERS if hasattr(layer, name)]
        self.precision = model.precision
        with enough_memory(f"batches of {capacity:,} images; take a smaller batch_size"):
            self._connect()
            if training:
                self._connect_gradients()

    def _connect(self) -> None:
        capacity, zeros = self.capacity, self.zeros
        self.blocks: list[Block] = cut(self.device, self.model.layers)
        sizes = [math.prod(self.model.input_shape), *(block.output_size for block in self.blocks)]
        if capacity * max(sizes) >= 2**31:  # the kernels count in 32 bits
            raise DeviceError(
                f"a batch of {capacity:,} images has too many activations: take a smaller batch_size"
            )
        self.activations = [zeros(capacity * size) for size in sizes]
        self.labels = zeros(capacity, dtype=np.int32)
        for block, x, y in zip(self.blocks, self.activations, self.activations[1:], strict=False):
            block.connect(capacity, x, y)

    def _connect_gradients(self) -> None:
        """Make the arrays for the activations' gradients; none is needed before the first parameters."""
        first = next((i for i, block in enumerate(self.blocks) if block.layer.params), len(self.blocks))
        self.trained = self.blocks[first:]
        zeros = self.zeros
        self.gradients = [None] * (first + 1) + [zeros(a.size) for a in self.activations[first + 1 :]]
        pairs = zip(self.gradients[first:], self.gradients[first + 1 :], strict=False)
        for block, (dx, dy) in zip(self.trained, pairs, strict=False):
            block.connect_gradients(dx, dy)

    def fits(self) -> bool:
        """Whether the model still is what the kernels were made for, with the arrays they were told of."""
        if self.precision != self.model.precision or not self.audit.holds():
            return False
        now = list(self.model.arrays().values())
        return len(now) == len(self.arrays) and all(map(is_, now, self.arrays))

    def numbers(self) -> tuple[float, ...]:
        """Return the layers' numbers that kernels are given."""
        return tuple(getattr(layer, name) for layer, name in self.named)

    def forward(self, N: int, step: Array, training: bool) -> list[Launch]:
        """Return the launches that compute the output; ``step`` is where the step's record lies."""
        return [launch for block in self.blocks for launch in block.forward(N, step, training)]

    def backward(self, N: int, step: Array) -> list[Launch]:
        """Return the launches that compute all gradients from that of the output."""
        return [launch for block in reversed(self.trained) for launch in block.backward(N, step)]

    def parameters(self, N: int) -> list[Gradient]:
        """Return all parameters, and where ``backward`` leaves their gradients."""
        return [gradient for block in self.trained for gradient in block.gradients(N)]


def supports(model: Sequential) -> bool:
    """Whether there are kernels for all of ``model``: float32 arrays on a GPU, the library's own layers."""
    trained = any(layer.params for layer in model.layers)
    return model.device == "cuda" and model.dtype == np.float32 and trained and knows(model.layers)


class Predictor:
    """The forward half: computes the output of any number of images, ``chunk`` at a time."""

    def __init__(self, model: Sequential, chunk: int) -> None:
        self.model, self.chunk = model, chunk
        self.network = Network(model, chunk, training=False)
        self.rows = self.network.xp.asarray(np.arange(chunk, dtype=np.int32))
        self.step = self.network.zeros(STEP.itemsize, dtype=np.uint8)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the output for ``images``, (N, *output_shape)."""
        network, outputs = self.network, []
        network.audit.check(training=False)
        x, y = network.activations[0], network.labels
        for first in range(0, len(images), self.chunk):
            chunk = images[first : first + self.chunk]
            N, held = len(chunk), Images(self.model, chunk, np.zeros(len(chunk)))
            for launch in [
                held.gather(self.model.preprocessing, N, self.rows, self.step, x, y),
                *network.forward(N, self.step, training=False),
            ]:
                launch()
            output = network.activations[-1].reshape(self.chunk, *self.model.output_shape)
            outputs.append(network.xp.asnumpy(output[:N]))
        return np.concatenate(outputs)
