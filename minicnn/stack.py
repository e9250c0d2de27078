"""A stack of layers: the part of a model that engines need."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import checks, sizes
from minicnn.backend import Array, ignore_underflow, resolve_device, to_device
from minicnn.errors import ConfigError, ShapeError
from minicnn.hints import Hinted
from minicnn.layers import Layer
from minicnn.layers.base import Shape
from minicnn.preprocessing import Preprocessing, Scale

if TYPE_CHECKING:
    from typing_extensions import Self


class Stack(Hinted):
    """``Sequential`` without prediction, files and class names; see there for parameters and errors.

    Attributes
    ----------
    layers : list of Layer
        In order; each has a name, ``conv2d_1``, ``relu_1``, …
    output_shape : tuple of int
        Of one sample; (K,) for a classifier, whose output is K logits.
    image_memory : (int, int)
        Upper bounds on the bytes for predicting one image: all activations, all workspaces.
    precision : str
        Of products in the captured engine: ``"fp32"``, or on tensor cores ``"tf32"`` or ``"bf16"``.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        input_shape: Shape,
        seed: int = 0,
        dtype: str = "float32",
        preprocessing: Preprocessing | None = None,
    ) -> None:
        self.layers = _checked_layers(layers)
        self.input_shape = checks.shape(input_shape, "input_shape")
        self.dtype = checks.float_dtype(dtype)
        self.preprocessing = Scale() if preprocessing is None else preprocessing
        if not isinstance(self.preprocessing, Preprocessing):
            raise ConfigError(
                f"preprocessing must be Scale() or Standardize.fit(images), got {preprocessing!r}"
            )
        self.device = "cpu"
        self.precision = "fp32"
        sizes.name_layers(self.layers)
        rng = np.random.default_rng(checks.whole_number(seed, "seed", 0))
        shape = self.input_shape
        for layer in self.layers:
            shape = layer.build(shape, rng, self.dtype)
        self.output_shape = shape
        self.image_memory = sizes.image_memory(self.layers, self.input_shape, self.dtype)
        for layer in self.layers:
            layer.in_model = True

    @ignore_underflow
    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute the output, usually logits (N, K), from network input ``x``, (N, *input_shape)."""
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    @ignore_underflow
    def backward(self, dy: Array, need_dx: bool = True) -> Array | None:
        """Compute all gradients from ``dy``, (N, *output_shape); return dx if ``need_dx``."""
        first = 0 if need_dx else self._first_trained()
        gradient: Any = dy
        for index in range(len(self.layers) - 1, first - 1, -1):
            gradient = self.layers[index].backward(gradient, need_dx=need_dx or index > first)
        for layer in self.layers[:first]:
            layer.forget()
        return gradient if need_dx else None

    def _first_trained(self) -> int:
        """Return the index of the first layer with parameters; those before it need no gradient."""
        return next((i for i, layer in enumerate(self.layers) if layer.params), len(self.layers))

    def preprocess(self, images: Array) -> Array:
        """Return images as network input, on the model's device."""
        return self.preprocessing(to_device(images, self.device), self.dtype)

    def to(self, device: str) -> "Self":
        """Move all arrays to a device, see ``resolve_device``, and return the model."""
        device = resolve_device(device)
        for layer in self.layers:
            for arrays in (layer.params, layer.grads, layer.state):
                arrays.update({name: to_device(array, device) for name, array in arrays.items()})
        self.device = device
        return self

    def arrays(self) -> dict[str, Array]:
        """Return parameters and state by name: ``conv2d_1.W``, ``batchnorm_1.running_mean``."""
        return {
            f"{layer.name}.{name}": array
            for layer in self.layers
            for name, array in (layer.params | layer.state).items()
        }

    def set_arrays(self, arrays: dict[str, Array]) -> None:
        """Replace parameters and state by copies of ``arrays``, which has the keys of ``arrays()``.

        Raises ShapeError, before anything is replaced, if an array is missing or has another shape.
        """
        for name, old in self.arrays().items():
            if name not in arrays or arrays[name].shape != old.shape:
                found = arrays[name].shape if name in arrays else "none"
                raise ShapeError(f"expected an array {name} of shape {old.shape}, got {found}")
        for layer in self.layers:
            for target in (layer.params, layer.state):
                for name in target:
                    copied = arrays[f"{layer.name}.{name}"].astype(self.dtype, order="C")
                    target[name] = to_device(copied, self.device)

    @property
    def num_params(self) -> int:
        """The number of trainable parameters."""
        return sum(array.size for layer in self.layers for array in layer.params.values())

    def __repr__(self) -> str:
        layers = ", ".join(map(repr, self.layers))
        return f"{type(self).__name__}([{layers}], input_shape={self.input_shape})"


def _checked_layers(layers: Sequence[Layer]) -> list[Layer]:
    if not isinstance(layers, Sequence):
        raise ConfigError(f"layers must be a list such as [Flatten(), Dense(10)], got {layers!r}")
    layers = list(layers)
    if not layers:
        raise ConfigError("a model needs at least one layer")
    for layer in layers:
        if not isinstance(layer, Layer):
            raise ConfigError(f"expected layers, got {layer!r}: write ReLU(), not ReLU")
        if "in_model" not in vars(layer):
            raise ConfigError(f"{type(layer).__name__}.__init__ must first call super().__init__()")
        if layer.in_model:
            raise ConfigError(
                f"layer {layer.name!r} already belongs to a model: make a new layer, and copy weights with "
                "set_arrays"
            )
    if len({id(layer) for layer in layers}) < len(layers):
        raise ConfigError("a layer object appears twice: make one for each place")
    return layers
