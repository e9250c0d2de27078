"""``Sequential``, a stack of layers that predicts and can be saved, and ``load``."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import checks, hints, losses, serialize
from minicnn.backend import Array
from minicnn.description import Description, describe
from minicnn.engine.select import Predictors
from minicnn.errors import ConfigError, ModelFileError, NonFiniteError
from minicnn.layers import Layer
from minicnn.layers.base import Shape
from minicnn.preparation import Preparation
from minicnn.preprocessing import Preprocessing
from minicnn.stack import Stack
from minicnn.text import byte_size, echo, printable


class Sequential(Stack):
    """Layers applied one after the other: the output of each is the input of the next.

    Parameters
    ----------
    layers : sequence of Layer
        In order; each is built here for the output shape of the one before it.
    input_shape : tuple of int
        Of one sample, (H, W, C) for images.
    seed : int
        Of the initial weights and the dropout masks, which are the same on every device.
    dtype : str
        ``"float32"`` to train, ``"float64"`` to check gradients.
    preprocessing : Preprocessing, optional
        Applied to images in training and prediction; by default scaling to 0…1.
    class_names : sequence of str, optional
        One for each output. By default the trainer sets them from the data set.

    Attributes
    ----------
    preparation : Preparation, optional
        How the training images were prepared; None before training.
    info : dict of str to str
        Notes saved with the model, such as the data set.
    layers, output_shape, image_memory, precision
        See ``Stack``.

    Raises
    ------
    ConfigError
        If an argument is invalid, or a layer object appears twice.
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
        super().__init__(layers, input_shape, seed, dtype, preprocessing)
        self.preparation: Preparation | None = None
        self.info: dict[str, str] = {}
        self.predictors = Predictors(self)
        self.class_names: tuple[str, ...] | None = None
        try:
            if class_names is not None:
                self.set_class_names(class_names)
        except ConfigError:  # so that the layers can be used again
            for layer in self.layers:
                layer.in_model = False
            raise

    def set_class_names(self, names: Sequence[str]) -> None:
        """Name the outputs, in ``text.printable`` form; ConfigError if there is not one name for each."""
        if isinstance(names, str) or not isinstance(names, Sequence):
            raise ConfigError(f"class names must be a sequence such as ('cat', 'dog'), got {names!r}")
        if self.output_shape != (len(names),):
            raise ConfigError(
                f"{len(names)} class names, but the model's output has shape {self.output_shape}: "
                f"let the last layer be Dense({len(names)})"
            )
        self.class_names = tuple(printable(str(name)) for name in names)

    def logits(self, images: Array, batch_size: int = 256) -> np.ndarray:
        """Return the output for ``images``, (N, H, W, C) uint8 or floating on 0…1, in batches.

        Apart from the result, memory does not grow with N.

        Raises
        ------
        NonFiniteError
            If the output is not finite because the weights grew too large.
        ConfigError
            If ``batch_size`` is invalid, or there is not enough memory.
        MiniCNNError
            If ``Preprocessing.check`` rejects the images.
        """
        self.preprocessing.check(images, self.input_shape)
        batch_size = checks.whole_number(batch_size, "batch_size")
        try:
            with np.errstate(all="ignore"):  # an overflow is reported below
                logits = self.predictors.predict(images, batch_size)
        except MemoryError as reason:
            raise ConfigError(
                f"predicting needs more memory than available: {byte_size(sum(self.image_memory))} for one "
                "image; use a smaller batch_size, or make the network or its input smaller"
            ) from reason
        if not np.isfinite(logits).all():
            raise NonFiniteError(
                "the model's output holds NaN or infinity, as its weights grew too large: "
                "train it with a lower learning rate"
            )
        return logits

    def require_classifier(self) -> None:
        """Raise ConfigError if the output of one sample is not (K,)."""
        if len(self.output_shape) != 1:
            raise ConfigError(
                f"a classifier ends in one number for each class, this model's output is "
                f"{self.output_shape}: let it end in Dense(classes)"
            )

    @hints.arguments
    def predict_proba(self, images: Array, batch_size: int = 256) -> np.ndarray:
        """Return the class probabilities of ``images``, (N, K); arguments and errors as for ``logits``."""
        self.require_classifier()
        return losses.softmax(self.logits(images, batch_size))

    @hints.arguments
    def predict(self, images: Array, batch_size: int = 256) -> np.ndarray:
        """Return the predicted class of each image, (N,) int64; arguments and errors as for ``logits``."""
        self.require_classifier()
        return self.logits(images, batch_size).argmax(axis=1)

    def summary(self, file: Any = None) -> None:
        """Print ``summary_table``."""
        echo(self.summary_table(), file)

    def summary_table(self) -> str:
        """Return a table: layer, output shape, parameters; multiply-adds and activations for one image."""
        rows = [("layer", "output shape", "parameters", "multiply-adds", "activations")]
        rows.append(("input", _shape_text(self.input_shape), "", "", ""))
        multiply_adds = outputs = 0
        for layer in self.layers:
            parameters = sum(array.size for array in layer.params.values())
            counts = layer.multiply_adds(), math.prod(layer.output_shape)
            rows.append(self._row(layer.name, _shape_text(layer.output_shape), parameters, *counts))
            multiply_adds, outputs = multiply_adds + counts[0], outputs + counts[1]
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
    ) -> tuple[str, str, str, str, str]:
        memory = outputs * self.dtype.itemsize
        size = f"{memory / 1024:,.1f} KiB" if memory >= 1024 else f"{memory} bytes"
        return name, shape, f"{parameters:,}", f"{multiply_adds:,}", size

    def save(self, path: str | Path) -> None:
        """Write the model to ``path``, from any device; raises what ``serialize.write`` raises.

        Raises also ConfigError, if ``load`` could not read the file: see ``check_savable``.
        """
        serialize.write(path, describe(self), self.arrays())

    def check_savable(self) -> None:
        """Raise ConfigError if the model could not be loaded again from a file.

        That is, if a layer is not registered (see ``layers.register``) or was renamed, ``info`` is not text,
        or predicting an image exceeds the limits in ``description``.
        """
        describe(self)


def load(path: str | Path) -> Sequential:
    """Read a model that ``Sequential.save`` wrote, onto the CPU.

    Custom layers must be registered first: see ``layers.register``.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, not a minicnn model, or from a newer version of minicnn; or if
        predicting one image would exceed the limits in ``description``.
    """
    with serialize.reading(path) as file:
        found = Description.read(file.description)
        arrays = file.arrays(found.array_shapes(), found.dtype)
    try:
        model = Sequential(
            found.layers, found.input_shape, 0, found.dtype.name, found.preprocessing, found.class_names
        )
    except ConfigError as reason:
        raise ModelFileError(f"{path}: {reason}") from reason
    model.info, model.preparation = found.info, found.preparation
    model.set_arrays(arrays)
    return model


def _shape_text(shape: Shape) -> str:
    return " × ".join(map(str, shape))
