"""Sequential: a stack of layers, its sizes inferred once, and predictions from images."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import checks, hints, losses, sizes
from minicnn.backend import Array, ignore_underflow, resolve_device, to_device, to_numpy
from minicnn.errors import ConfigError, NonFiniteError, ShapeError
from minicnn.layers import Layer
from minicnn.layers.base import Shape
from minicnn.preparation import Preparation
from minicnn.preprocessing import Preprocessing, Scale
from minicnn.runtime.loading import load
from minicnn.text import byte_size, echo, printable


class Sequential(hints.Hinted):
    """Layers applied one after the other: the output of each is the input of the next.

    Parameters
    ----------
    layers : sequence of Layer
        Built here, in order: each learns its input shape from the layer before it.
    input_shape : tuple of int
        Of one sample, (H, W, C) for images.
    seed : int
        Of the initial weights and the dropout masks: the same seed gives the same on every device.
    dtype : str
        ``"float32"`` to train, ``"float64"`` to check gradients.
    preprocessing : Preprocessing, optional
        What ``predict`` and the trainer do to images first; by default scaling to 0…1.
    class_names : sequence of str, optional
        One for each output. The trainer fills them in from the data set.

    Attributes
    ----------
    layers : list of Layer
        In order; each has a name, ``conv2d_1``, ``relu_1``, …
    output_shape : tuple of int
        Of one sample; (K,) for a classifier, whose output are K logits.
    image_memory : (int, int)
        The bytes that predicting one image takes at most: all activations, and all layers' workspaces.
    precision : str
        How the fast kernels multiply on a GPU: ``"fp32"``, or on its tensor cores ``"tf32"`` or ``"bf16"``.
    preparation : Preparation, optional
        How the images of the last training had been prepared; None before.
    info : dict of str to str
        Notes that are saved with the model, such as what it was trained on.

    Raises
    ------
    ConfigError
        If an argument is unusable, or a layer object appears twice.
    ShapeError
        If a layer cannot take the output of the one before it.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        input_shape: Shape,
        seed: int = 0,
        dtype: str = "float32",
        preprocessing: Preprocessing | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        self.layers = _checked_layers(layers)
        self.input_shape = checks.shape(input_shape, "input_shape")
        self.dtype = checks.float_dtype(dtype)
        self.preprocessing = Scale() if preprocessing is None else preprocessing
        if not isinstance(self.preprocessing, Preprocessing):
            raise ConfigError(
                f"preprocessing must be Scale() or Standardize.fit(images), got {preprocessing!r}"
            )
        self.preparation: Preparation | None = None
        self.info: dict[str, str] = {}
        self.device = "cpu"
        self.precision = "fp32"
        self.predictors: list[Any] = []  # what predictions keep for the next one
        sizes.name_layers(self.layers)
        self._build(np.random.default_rng(checks.whole_number(seed, "seed", 0)))
        self.class_names: tuple[str, ...] | None = None
        if class_names is not None:
            self.set_class_names(class_names)
        for layer in self.layers:
            layer.in_model = True

    def _build(self, rng: np.random.Generator) -> None:
        shape = self.input_shape
        for layer in self.layers:
            shape = layer.build(shape, rng, self.dtype)
        self.output_shape = shape
        self.image_memory = sizes.image_memory(self.layers, self.input_shape, self.dtype)

    def set_class_names(self, names: Sequence[str]) -> None:
        """Name the outputs, in ``text.printable`` form.

        Raises
        ------
        ConfigError
            If there is not one name for each output.
        """
        if isinstance(names, str) or not isinstance(names, Sequence):
            raise ConfigError(f"class names must be a sequence such as ('cat', 'dog'), got {names!r}")
        if self.output_shape != (len(names),):
            raise ConfigError(
                f"{len(names)} class names, but the model's output has shape {self.output_shape}: "
                f"let the last layer be Dense({len(names)})"
            )
        self.class_names = tuple(printable(str(name)) for name in names)

    @ignore_underflow
    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute the output, usually logits (N, K), from network input ``x``, (N, *input_shape)."""
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    @ignore_underflow
    def backward(self, dy: Array, need_dx: bool = False) -> Array | None:
        """Compute every parameter's gradient from ``dy``, the gradient with respect to the output.

        Parameters
        ----------
        dy : (N, *output_shape)
        need_dx
            True: also return the gradient with respect to the network input.
        """
        first = 0 if need_dx else self._first_trained()
        for index in range(len(self.layers) - 1, first - 1, -1):
            dy = self.layers[index].backward(dy, need_dx=need_dx or index > first)
        for layer in self.layers[:first]:
            layer.forget()
        return dy if need_dx else None

    def _first_trained(self) -> int:
        """Return the index of the first layer with parameters: no gradient is needed below it."""
        return next((i for i, layer in enumerate(self.layers) if layer.params), len(self.layers))

    def preprocess(self, images: Array) -> Array:
        """Return images as network input, on the model's device."""
        return self.preprocessing(to_device(images, self.device), self.dtype)

    def logits(self, images: Array, batch_size: int = 256) -> np.ndarray:
        """Return the output for ``images``, (N, H, W, C) uint8 or floating on 0…1, in batches.

        Memory does not grow with N but for the result. Raises what ``Preprocessing.check`` raises.

        Raises
        ------
        NonFiniteError
            If the output holds NaN or infinity: the weights grew too large.
        ConfigError
            If ``batch_size`` is not a whole number of at least 1, or there is not enough memory.
        """
        self.preprocessing.check(images, self.input_shape)
        batch_size = checks.whole_number(batch_size, "batch_size")
        load("minicnn.engine.cpu.kernels.gemm")
        from minicnn.engine.cpu.network import predict  # upwards, see docs/architecture.md

        try:
            with np.errstate(all="ignore"):  # seen in the result
                logits = np.concatenate([to_numpy(batch) for batch in predict(self, images, batch_size)])
        except MemoryError as reason:
            raise ConfigError(
                f"predicting takes more memory than there is: {byte_size(sum(self.image_memory))} for one "
                "image; give a smaller batch_size, or make the network or its input smaller"
            ) from reason
        if not np.isfinite(logits).all():
            raise NonFiniteError(
                "the model's output holds NaN or infinity, as its weights grew too large: "
                "train it with a lower learning rate"
            )
        return logits

    def require_classifier(self) -> None:
        """Refuse to classify with a model whose output is not one number for each class.

        Raises
        ------
        ConfigError
            If the output of one sample is not (K,).
        """
        if len(self.output_shape) != 1:
            raise ConfigError(
                f"a classifier ends in one number for each class, this model's output is "
                f"{self.output_shape}: let it end in Dense(classes)"
            )

    @hints.arguments
    def predict_proba(self, images: Array, batch_size: int = 256) -> np.ndarray:
        """Return the class probabilities of ``images``, (N, K); see ``logits`` for what is taken.

        Raises also ConfigError, if the model is no classifier.
        """
        self.require_classifier()
        return losses.softmax(self.logits(images, batch_size))

    @hints.arguments
    def predict(self, images: Array, batch_size: int = 256) -> np.ndarray:
        """Return the most probable class of each image, (N,) int64; see ``logits`` for what is taken.

        Raises also ConfigError, if the model is no classifier.
        """
        self.require_classifier()
        return self.logits(images, batch_size).argmax(axis=1)

    def to(self, device: str) -> "Sequential":
        """Move every array to ``device`` (``"cpu"``, ``"cuda"`` or ``"auto"``) and return the model.

        Raises what ``backend.resolve_device`` raises.
        """
        device = resolve_device(device)
        for layer in self.layers:
            for arrays in (layer.params, layer.grads, layer.state):
                arrays.update({name: to_device(array, device) for name, array in arrays.items()})
        self.device = device
        return self

    def arrays(self) -> dict[str, Array]:
        """Return what a model file holds by name, such as ``conv2d_1.W`` or ``batchnorm_1.running_mean``."""
        return {
            f"{layer.name}.{name}": array
            for layer in self.layers
            for name, array in (layer.params | layer.state).items()
        }

    def set_arrays(self, arrays: dict[str, Array]) -> None:
        """Replace parameters and state by copies of ``arrays``, which has the keys of ``arrays()``.

        Raises
        ------
        ShapeError
            If an array is missing or has another shape; nothing is replaced then.
        """
        for name, held in self.arrays().items():
            if name not in arrays or arrays[name].shape != held.shape:
                found = arrays[name].shape if name in arrays else "none"
                raise ShapeError(f"expected an array {name} of shape {held.shape}, got {found}")
        for layer in self.layers:
            for held in (layer.params, layer.state):
                for name in held:
                    copied = arrays[f"{layer.name}.{name}"].astype(self.dtype, order="C")
                    held[name] = to_device(copied, self.device)

    @property
    def num_params(self) -> int:
        """How many numbers are trained."""
        return sum(array.size for layer in self.layers for array in layer.params.values())

    def summary(self, file: Any = None) -> None:
        """Print ``summary_table``."""
        echo(self.summary_table(), file)

    def summary_table(self) -> str:
        """Return a table: layer, output shape, parameters; multiply-adds and activations for one image."""
        rows = [("layer", "output shape", "parameters", "multiply-adds", "activations")]
        rows.append(("input", _shape_text(self.input_shape), "", "", ""))
        for layer in self.layers:
            parameters = sum(array.size for array in layer.params.values())
            shape = layer.output_shape
            cells = _shape_text(shape), parameters, layer.multiply_adds(), math.prod(shape)
            rows.append(self._row(layer.name, *cells))
        multiply_adds = sum(layer.multiply_adds() for layer in self.layers)
        outputs = sum(math.prod(layer.output_shape) for layer in self.layers)
        rows.append(self._row("total", "", self.num_params, multiply_adds, outputs))
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        lines = []
        for row in rows:
            cells = [row[0].ljust(widths[0]), row[1].ljust(widths[1])]
            cells += [text.rjust(width) for text, width in zip(row[2:], widths[2:], strict=True)]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    def _row(
        self, name: str, shape: str, parameters: int, multiply_adds: int, outputs: int
    ) -> tuple[str, ...]:
        memory = outputs * self.dtype.itemsize
        size = f"{memory / 1024:,.1f} KiB" if memory >= 1024 else f"{memory} bytes"
        return name, shape, f"{parameters:,}", f"{multiply_adds:,}", size

    def save(self, path: str | Path) -> None:
        """Write the model to ``path`` (safetensors); see ``minicnn.serialize``."""
        from minicnn import serialize  # upwards, see docs/architecture.md

        serialize.save(self, path)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy takes over: not the predictors, which compute with this model's layers."""
        return self.__dict__ | {"predictors": []}

    def __repr__(self) -> str:
        layers = ", ".join(map(repr, self.layers))
        return f"Sequential([{layers}], input_shape={self.input_shape})"


def _checked_layers(layers: Sequence[Layer]) -> list[Layer]:
    if not isinstance(layers, Sequence):
        raise ConfigError(f"layers must be a list such as [Flatten(), Dense(10)], got {layers!r}")
    layers = list(layers)
    if not layers:
        raise ConfigError("a model needs at least one layer")
    for layer in layers:
        if not isinstance(layer, Layer):
            raise ConfigError(f"expected layers, got {layer!r}: write ReLU(), not ReLU")
        if layer.in_model:
            raise ConfigError(
                f"layer {layer.name!r} already belongs to a model, and building it again would redraw its "
                "weights: make a new layer; set_arrays takes weights over"
            )
    if len({id(layer) for layer in layers}) < len(layers):
        raise ConfigError("a layer object appears twice: make one for each place")
    return layers


def _shape_text(shape: Shape) -> str:
    return " × ".join(map(str, shape))
