"""The description of a model in a file: everything but its arrays.

The sizes of the layers, and the memory and operations for predicting one image, are checked by arithmetic
before anything is allocated.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn import checks, layers, sizes
from minicnn.errors import ConfigError
from minicnn.layers.base import Layer, Shape
from minicnn.preparation import Preparation
from minicnn.preprocessing import Preprocessing
from minicnn.reading import json_object, typed
from minicnn.serialize import UNUSABLE
from minicnn.text import byte_size, printable, shown

if TYPE_CHECKING:
    from minicnn.model import Sequential

MOST_IMAGE_MEMORY = 2**29
"""Limit in bytes for predicting one image with a model from a file, see ``sizes.image_memory``."""
MOST_IMAGE_OPERATIONS = 10**11
"""Limit for ``sizes.image_operations``: about a minute on one core."""
_MOST_LAYERS = 10_000


def describe(model: "Sequential") -> dict[str, Any]:
    """Return the description of ``model`` for JSON; ConfigError if ``Description.read`` cannot restore it."""
    try:
        if not all(isinstance(text, str) for note in model.info.items() for text in note):
            raise ValueError(f"info must map str to str, such as {{'dataset': 'mnist'}}, got {model.info!r}")
        found = {
            "layers": [_config(layer) for layer in model.layers],
            "input_shape": model.input_shape,
            "dtype": model.dtype.name,
            "preprocessing": asdict(model.preprocessing),
            "preparation": None if model.preparation is None else asdict(model.preparation),
            "class_names": model.class_names,
            "info": model.info,
        }
        read = Description.read(json_object(json.dumps(found)))
        names = [layer.name for layer in read.layers]
        if names != [layer.name for layer in model.layers]:
            raise ValueError(f"its layers must be called {', '.join(names)}")
        _check_declared(model, read.array_shapes())
    except UNUSABLE as reason:
        raise ConfigError(f"this model could not be loaded again from a file: {reason}") from reason
    return found


class Description(NamedTuple):
    """A model that is not built yet; its layers have names."""

    layers: list[Layer]
    input_shape: Shape
    dtype: np.dtype
    preprocessing: Preprocessing
    class_names: list[str] | None
    preparation: Preparation | None
    info: dict[str, str]

    @classmethod
    def read(cls, parts: Mapping[str, Any]) -> "Description":
        """Return the model that ``parts``, from JSON, describes; class names and info are made printable.

        Raises one of ``serialize.UNUSABLE`` if the description is invalid or exceeds the limits.
        """
        configs = typed(parts, "layers", list)
        if not 1 <= len(configs) <= _MOST_LAYERS:
            raise ValueError(f"expected between 1 and {_MOST_LAYERS:,} layers, got {len(configs):,}")
        made = [_layer(config) for config in configs]
        sizes.name_layers(made)
        input_shape = checks.shape(typed(parts, "input_shape", list), "input_shape")
        dtype = checks.float_dtype(typed(parts, "dtype", str))
        _check_affordable(made, input_shape, dtype)
        info, preparation = typed(parts, "info", dict), None
        if parts.get("preparation") is not None:  # None before the first training
            preparation = Preparation(**typed(parts, "preparation", dict))
        return cls(
            made,
            input_shape,
            dtype,
            Preprocessing.from_dict(typed(parts, "preprocessing", dict)),
            _class_names(parts, sizes.output_shape(made, input_shape)),
            preparation,
            {printable(name): printable(typed(info, name, str)) for name in info},
        )

    def array_shapes(self) -> dict[str, Shape]:
        """Return the shapes of the arrays of the model by name."""
        return sizes.array_shapes(self.layers, self.input_shape)


def _config(layer: Layer) -> dict[str, Any]:
    kind = type(layer)
    if layers.registry.get(kind.__name__) is not kind:
        raise ValueError(
            f"{kind.__name__!r} is not a registered layer: register it with layers.register({kind.__name__})"
        )
    return {"type": kind.__name__, **layer.config()}


def _layer(config: Any) -> Layer:
    if not isinstance(config, dict):
        raise ValueError(f"a layer must be described by an object, got {shown(config)}")
    arguments = dict(config)
    kind = arguments.pop("type", None)
    if not isinstance(kind, str) or kind not in layers.registry:
        raise ValueError(
            f"{shown(kind)} is not a registered layer: if it is a custom layer, call layers.register on its "
            "class before loading the file"
        )
    return layers.registry[kind](**arguments)


def _check_affordable(made: list[Layer], input_shape: Shape, dtype: np.dtype) -> None:
    memory = sum(sizes.image_memory(made, input_shape, dtype))
    operations = sizes.image_operations(made, input_shape)
    if memory > MOST_IMAGE_MEMORY or operations > MOST_IMAGE_OPERATIONS:
        raise ValueError(
            f"to predict one image would take {byte_size(memory)} and {operations:.1e} operations; a model "
            f"from a file may take up to {byte_size(MOST_IMAGE_MEMORY)} and {MOST_IMAGE_OPERATIONS:.0e}"
        )


def _check_declared(model: "Sequential", declared: Mapping[str, Shape]) -> None:
    """Check that the arrays of the model are those that its layers declare."""
    has = {name: f"{array.shape} {array.dtype}" for name, array in model.arrays().items()}
    expected = {name: f"{shape} {model.dtype}" for name, shape in declared.items()}
    for name in sorted(has.keys() | expected.keys()):
        if has.get(name) != expected.get(name):
            raise ValueError(
                f"{name} is {has.get(name, 'missing')}, but param_shapes and state_shapes of its layer "
                f"declare {expected.get(name, 'no such array')}"
            )


def _class_names(parts: Mapping[str, Any], output: Shape) -> list[str] | None:
    """Return the class names, one for each output; None if the file has none."""
    if "class_names" in parts and parts["class_names"] is None:
        return None
    names = typed(parts, "class_names", list)
    if not all(isinstance(name, str) for name in names) or output != (len(names),):
        raise ValueError(f"expected the names of an output of {output} as 'class_names', got {shown(names)}")
    return names
