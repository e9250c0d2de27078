"""The layers: one file each, forward and backward side by side."""

from minicnn.errors import ConfigError
from minicnn.hints import module_names
from minicnn.layers.activation import LeakyReLU, ReLU
from minicnn.layers.base import Layer
from minicnn.layers.conv import Conv2D
from minicnn.layers.dense import Dense
from minicnn.layers.dropout import Dropout
from minicnn.layers.norm import BatchNorm
from minicnn.layers.pool import AvgPool2D, GlobalAvgPool2D, GlobalMaxPool2D, MaxPool2D
from minicnn.layers.reshape import Flatten

__all__ = [
    "AvgPool2D",
    "BatchNorm",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "Layer",
    "LeakyReLU",
    "MaxPool2D",
    "ReLU",
    "register",
]

registry: dict[str, type[Layer]] = {
    name: value
    for name, value in list(globals().items())
    if name in __all__ and isinstance(value, type) and value is not Layer
}
"""The layer classes that a model file may name: the built-in ones and those passed to ``register``."""


def register(layer: type[Layer]) -> type[Layer]:
    """Register a custom layer class, so that models with it can be saved and loaded; usable as a decorator.

    A model file stores each layer's class name and ``config()``, never code. So the class must be registered
    before ``load``, and must store its constructor arguments as attributes of the same names (or override
    ``config``).

    Raises
    ------
    ConfigError
        If it is not a subclass of ``Layer``, or another layer is registered under its name.
    """
    if not (isinstance(layer, type) and issubclass(layer, Layer) and layer is not Layer):
        raise ConfigError(f"expected a subclass of Layer, got {layer!r}")
    known = registry.get(layer.__name__, layer)
    # A class that is defined again, as in a notebook, replaces the old one.
    if (known.__module__, known.__qualname__) != (layer.__module__, layer.__qualname__):
        raise ConfigError(
            f"another layer is registered as {layer.__name__!r}, {known.__module__}.{known.__qualname__}: "
            "rename the class"
        )
    registry[layer.__name__] = layer
    return layer


__getattr__ = module_names(__name__)
