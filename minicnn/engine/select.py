"""Selecting the fastest engine and the fastest predictor that can compute a model."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from minicnn import ops
from minicnn.backend import Array, to_numpy
from minicnn.engine.audit import Audit
from minicnn.engine.base import Engine
from minicnn.engine.layerwise import LayerwiseEngine
from minicnn.errors import ConfigError
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optimizers import Optimizer
from minicnn.runtime.loading import load
from minicnn.stack import Stack

ENGINES = ("auto", "layerwise", "fused", "cuda_graph")

MOST_MEMORY = 2**30
"""Limit in bytes for activations and workspaces in a prediction, unless one image takes more."""


def make_engine(name: str, model: Stack, loss: SoftmaxCrossEntropy, optimizer: Optimizer) -> Engine:
    """Return the engine called ``name``; ``"auto"`` selects the fastest that can compute the model.

    That is ``fused`` for float32 models on the CPU and ``cuda_graph`` on a GPU, but ``layerwise`` inside
    ``with ops.use("reference")``.

    Raises
    ------
    ConfigError
        If there is no engine of that name, or it cannot compute the model.
    """
    if name not in ENGINES:
        raise ConfigError(f"unknown engine {name!r}: expected one of {', '.join(ENGINES)}")
    if name == "layerwise" or (name == "auto" and ops.active() != "cpu"):
        return LayerwiseEngine(model, loss, optimizer)
    # Loaded late: importing Numba or CuPy is slow.
    if name == "fused" or (name == "auto" and model.device == "cpu" and model.dtype == np.float32):
        return load("minicnn.engine.cpu.engine").FusedEngine(model, loss, optimizer)
    if name == "cuda_graph" or model.device == "cuda":
        cuda = load("minicnn.engine.cuda.engine")
        if name == "cuda_graph" or cuda.supports(model, loss, optimizer):
            return cuda.CudaGraphEngine(model, loss, optimizer)
    return LayerwiseEngine(model, loss, optimizer)


class Predictors:
    """Computes the output of a model for any number of images; calls reuse its arrays.

    Several threads may predict at once: each call takes its own predictor.
    """

    def __init__(self, model: Stack) -> None:
        self.model = model
        self.free: list[Any] = []

    def __getstate__(self) -> dict[str, Any]:
        """Return the state of a copy, without predictors."""
        return {"model": self.model, "free": []}

    def predict(self, images: Array, batch_size: int) -> np.ndarray:
        """Return the output for stored images, (N, *output_shape)."""
        module = self._module()
        if module is None:
            return np.concatenate([to_numpy(y) for y in self._layer_by_layer(images, batch_size)])
        images = to_numpy(images)
        least, most = module.chunk(self.model, batch_size, len(images), MOST_MEMORY)
        try:
            predictor: Any = self.free.pop()
        except IndexError:
            predictor = None
        usable = isinstance(predictor, module.Predictor) and least <= predictor.chunk <= most
        if not usable or not predictor.network.fits():
            predictor = module.Predictor(self.model, least)
        output = predictor(images)
        self.free.append(predictor)
        return output

    def _module(self) -> ModuleType | None:
        """Return the module of the fastest predictor; None if only the layers can compute the model."""
        model = self.model
        if ops.active() != "cpu" or model.dtype != np.float32:
            return None
        module = load(f"minicnn.engine.{model.device}.predictor")
        return module if module.supports(model) else None

    def _layer_by_layer(self, images: Array, batch_size: int) -> Iterator[Array]:
        Audit(self.model).check(training=False)
        batch_size = min(batch_size, max(1, MOST_MEMORY // sum(self.model.image_memory)))
        for i in range(0, len(images), batch_size):
            yield self.model.forward(self.model.preprocess(images[i : i + batch_size]))
