"""The blocks of a model on a GPU, and the data set there."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from operator import is_

import numpy as np

from minicnn.backend import Array, array_module
from minicnn.data import Augmentation
from minicnn.engine import network
from minicnn.engine.audit import Audit
from minicnn.engine.cuda.blocks import Gradient, knows, make_blocks
from minicnn.engine.cuda.device import Device, Launch
from minicnn.errors import DeviceError
from minicnn.preprocessing import Preprocessing
from minicnn.stack import Stack

# Sent to the device before each step: Step in step.cu.
STEP = np.dtype([("learning_rate", "f4"), ("correction_1", "f4"), ("correction_2", "f4"), ("draw", "u4")])


class Images:
    """A stored data set on the device; ``gather`` makes batches of it: see ``batch.cu``."""

    def __init__(
        self,
        model: Stack,
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
        """Replace the data set in place and return True, if shapes, dtype and augmentation are the same."""
        whole = images.dtype == np.uint8
        if (images.shape, whole, augmentation) != (self.images.shape, self.whole, self.augmentation):
            return False
        self.images.set(self._stored(images))
        self.labels.set(labels.astype(np.int32))
        return True

    def gather(
        self, preprocessing: Preprocessing, N: int, rows: Array, step: Array, x: Array, y: Array
    ) -> Launch:
        """Return the launch that writes images ``rows`` (N) to x, as network input, and their labels to y."""
        std, mean = preprocessing.std, preprocessing.mean
        scaling = float(1 / (255 * std if self.whole else std)), float(mean / std)
        return self.kernels.launch("gather", N, self.images, self.labels, rows, step, *scaling, x, y)


def device_of(model: Stack) -> Device:
    """Return the device of the model's arrays."""
    return Device(array_module(next(iter(model.arrays().values()))), model.precision)


@contextmanager
def enough_memory(what: str) -> Iterator[None]:
    """Raise DeviceError, naming ``what``, if the GPU's memory runs out inside the block."""
    try:
        yield
    except Exception as reason:
        if type(reason).__name__ != "OutOfMemoryError":
            raise
        raise DeviceError(f"the GPU has too little memory for {what}: {reason}") from None


class Network(network.Network):
    """The blocks of a model on a GPU, whose arrays never move."""

    def __init__(self, model: Stack, capacity: int, training: bool) -> None:
        self.device = device_of(model)
        self.xp = self.device.xp
        audit = Audit(model)
        audit.check(training)
        for layer in model.layers:
            for arrays in (layer.params, layer.state):
                arrays.update({name: self.device.contiguous(array) for name, array in arrays.items()})
        self.arrays = list(model.arrays().values())
        self.tunable = [(layer, name) for layer in model.layers for name in layer.tunable]
        self.precision = model.precision
        blocks = make_blocks(self.device, model.layers)
        largest = max(block.output_size for block in blocks)
        if capacity * max(largest, math.prod(model.input_shape)) >= 2**31:  # the kernels count in 32 bits
            raise DeviceError(
                f"a batch of {capacity:,} images has too many activations: use a smaller batch_size"
            )
        with enough_memory(f"batches of {capacity:,} images; use a smaller batch_size"):
            super().__init__(audit, blocks, capacity, self.device.zeros)
            self.labels = self.device.zeros(capacity, dtype=np.int32)
            if training:
                self.connect_gradients()

    def fits(self) -> bool:
        """Whether the model, its precision and its arrays are unchanged."""
        if self.precision != self.model.precision or not self.audit.is_current():
            return False
        now = list(self.model.arrays().values())
        return len(now) == len(self.arrays) and all(map(is_, now, self.arrays))

    def numbers(self) -> tuple[float, ...]:
        """Return the tunable numbers of the layers, which are arguments of kernels."""
        return tuple(getattr(layer, name) for layer, name in self.tunable)

    def parameters(self, N: int) -> list[Gradient]:
        """Return the gradients of all parameters, as ``backward`` leaves them."""
        return [gradient for block in self.trained for gradient in block.gradients(N)]


def supports(model: Stack) -> bool:
    """Whether there are kernels for ``model``: float32 on a GPU, with built-in layers."""
    trained = any(layer.params for layer in model.layers)
    return model.device == "cuda" and model.dtype == np.float32 and trained and knows(model.layers)
