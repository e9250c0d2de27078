"""Model files: safetensors, holding weights, architecture, preprocessing and class names; never pickle.

The tensors are ``Sequential.arrays()``. The rest is JSON in the file's metadata: ``format``
("minicnn"), ``version``, ``model`` (see ``_describe``). A file loads into a fresh process and predicts
bit for bit the same.

A file may come from anybody. So everything in it is checked by arithmetic before anything is allocated: the
layers' sizes against the tensors, and what predicting one image takes against ``MOST_IMAGE_MEMORY`` and
``MOST_IMAGE_OPERATIONS``.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn import checks, sizes
from minicnn import layers as layer_types
from minicnn.backend import Array, array_module, to_numpy
from minicnn.errors import ConfigError, ModelFileError, NonFiniteError
from minicnn.files import replacing
from minicnn.layers.base import Layer, Shape
from minicnn.model import Sequential
from minicnn.preparation import Preparation
from minicnn.preprocessing import Preprocessing
from minicnn.reading import json_object, typed
from minicnn.text import byte_size, listed, printable, shown

FORMAT = "minicnn"
VERSION = 1
MOST_IMAGE_MEMORY = 2**29
"""The bytes that a file's model may take to predict one image, see ``sizes.image_memory``: 512 MiB."""
MOST_IMAGE_OPERATIONS = 10**11
"""The operations that it may take for that, see ``sizes.image_operations``: about a minute on one core."""
_MOST_LAYERS = 10_000
_MOST_HEADER = 2**24  # bytes, of what is not weights
# What can go wrong in reading a description, or in making layers from it.
_UNUSABLE = LookupError, TypeError, AttributeError, ValueError
_TYPES = {"float32": "F32", "float64": "F64"}  # as safetensors calls them


def save(model: Sequential, path: str | Path) -> None:
    """Write ``model`` to ``path``, from any device; an existing file is replaced only by a complete one.

    Raises
    ------
    OutputError
        If the file cannot be written.
    ConfigError
        If ``load`` could not read the file again; see ``check_savable``.
    NonFiniteError
        If a weight is NaN or infinite.
    """
    from safetensors.numpy import save as to_bytes

    text = check_savable(model)
    _check_finite(model.arrays())
    arrays = {name: np.ascontiguousarray(to_numpy(array)) for name, array in model.arrays().items()}
    metadata = {"format": FORMAT, "version": str(VERSION), "model": text}
    with replacing(path) as temporary:
        temporary.write_bytes(to_bytes(arrays, metadata))


def check_savable(model: Sequential) -> str:
    """Return the model's description as JSON, if ``load`` will be able to make the same model from it.

    Raises
    ------
    ConfigError
        If a layer is not one of minicnn's own, was renamed, ``info`` is not text, or predicting an image
        takes more than a model from a file may take.
    """
    try:
        text = json.dumps(_describe(model))
        layers = _read_description(text).layers
        names = [layer.name for layer in layers]
        if names != [layer.name for layer in model.layers]:
            raise ModelFileError(f"its layers must be called {', '.join(names)}")
    except _UNUSABLE as reason:
        raise ConfigError(f"this model could not be loaded again from a file: {reason}") from reason
    return text


def load(path: str | Path) -> Sequential:
    """Read a model that ``save`` wrote, onto the CPU. Class names and ``info`` are made ``text.printable``.

    Raises
    ------
    ModelFileError
        If the file is missing, is not a minicnn model, is damaged (missing, extra or wrong-shaped
        tensors, weights that are NaN or infinite), comes from a newer version of minicnn, or if predicting
        one image would take more than ``MOST_IMAGE_MEMORY`` or ``MOST_IMAGE_OPERATIONS``.
    """
    with _opened(Path(path)) as file:
        metadata = file.metadata() or {}
        _check_format(path, metadata)
        try:
            description = _read_description(metadata["model"])
        except _UNUSABLE as reason:
            raise ModelFileError(f"{path}: the model's description cannot be used ({reason})") from reason
        found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        _check_tensors(path, description, found)
        arrays = {name: file.get_tensor(name) for name in found}
    try:
        _check_finite(arrays)
        model = description.build()
    except (NonFiniteError, ConfigError) as reason:
        raise ModelFileError(f"{path}: {reason}") from reason
    model.set_arrays(arrays)
    return model


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file, of which only the header is read."""
    from safetensors import SafetensorError, safe_open

    if not os.path.isfile(path):  # not Path.is_file, which raises for a name that is too long
        raise ModelFileError(f"{path}: there is no such file; expected a model saved with model.save(path)")
    try:
        with path.open("rb") as stream:
            header = int.from_bytes(stream.read(8), "little")
        if header > _MOST_HEADER:
            raise OSError(f"its header would be {byte_size(header)} long")
        with safe_open(path, framework="numpy") as file:
            yield file
    except (SafetensorError, OSError) as reason:
        raise ModelFileError(f"{path}: not a readable safetensors file ({reason})") from reason


def _check_format(path: Path, metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise ModelFileError(f"{path}: a safetensors file, but not a minicnn model (saved with model.save)")
    version = metadata.get("version", "")
    if not version.isdecimal() or len(version) > 9:
        raise ModelFileError(f"{path}: the format version is {version[:20]!r}, expected a number")
    if int(version) > VERSION:
        raise ModelFileError(
            f"{path}: written in model format {version}, this minicnn reads up to {VERSION}: "
            "upgrade with pip install --upgrade minicnn"
        )


def _describe(model: Sequential) -> dict[str, Any]:
    for layer in model.layers:
        kind = type(layer).__name__
        if getattr(layer_types, kind, None) is not type(layer):
            raise ModelFileError(f"{kind!r} is not one of minicnn's own layers")
    if not all(isinstance(text, str) for note in model.info.items() for text in note):
        raise ModelFileError(f"info must be text by text, such as {{'dataset': 'mnist'}}, got {model.info!r}")
    return {
        "layers": [{"type": type(layer).__name__, **layer.config()} for layer in model.layers],
        "input_shape": model.input_shape,
        "dtype": model.dtype.name,
        "preprocessing": model.preprocessing.asdict(),
        "preparation": None if model.preparation is None else asdict(model.preparation),
        "class_names": model.class_names,
        "info": model.info,
    }


class _Description(NamedTuple):
    """What a file says of its model; the layers are named, and not built."""

    layers: list[Layer]
    input_shape: Shape
    dtype: np.dtype
    preprocessing: Preprocessing
    class_names: list[str] | None
    preparation: Preparation | None
    info: dict[str, str]

    def build(self) -> Sequential:
        """Return the model, with weights that are drawn."""
        arguments = self._asdict()
        info, preparation = arguments.pop("info"), arguments.pop("preparation")
        model = Sequential(**arguments)
        model.info, model.preparation = info, preparation
        return model


def _read_description(text: str) -> _Description:
    """Return what ``_describe`` gave, if it describes a model that can be afforded."""
    parts = json_object(text)
    configs = typed(parts, "layers", list)
    if not 1 <= len(configs) <= _MOST_LAYERS:
        raise ModelFileError(f"expected between 1 and {_MOST_LAYERS:,} layers, got {len(configs):,}")
    layers = [_layer(config) for config in configs]
    sizes.name_layers(layers)
    input_shape = checks.shape(typed(parts, "input_shape", list), "input_shape")
    dtype = checks.float_dtype(typed(parts, "dtype", str))
    _check_affordable(layers, input_shape, dtype)
    return _Description(
        layers,
        input_shape,
        dtype,
        Preprocessing.from_dict(typed(parts, "preprocessing", dict)),
        _names(parts, sizes.output_shape(layers, input_shape)),
        # Models that were never trained have none.
        Preparation(**typed(parts, "preparation", dict)) if parts.get("preparation") is not None else None,
        {printable(name): printable(typed(parts["info"], name, str)) for name in typed(parts, "info", dict)},
    )


def _check_affordable(layers: list[Layer], input_shape: Shape, dtype: np.dtype) -> None:
    memory = sum(sizes.image_memory(layers, input_shape, dtype))
    operations = sizes.image_operations(layers, input_shape)
    if memory > MOST_IMAGE_MEMORY or operations > MOST_IMAGE_OPERATIONS:
        raise ModelFileError(
            f"to predict one image would take {byte_size(memory)} and {operations:.1e} operations; a model "
            f"from a file may take up to {byte_size(MOST_IMAGE_MEMORY)} and {MOST_IMAGE_OPERATIONS:.0e}"
        )


def _layer(config: Any) -> Layer:
    if not isinstance(config, dict):
        raise ModelFileError(f"a layer must be described by an object, got {shown(config)}")
    arguments = dict(config)
    kind = arguments.pop("type", None)
    if kind not in layer_types.__all__ or kind == "Layer":
        raise ModelFileError(f"{shown(kind)} is not one of minicnn's own layers")
    return getattr(layer_types, kind)(**arguments)


def _names(parts: Mapping[str, Any], output: Shape) -> list[str] | None:
    """Return the class names, one for each output, or None where the file has none."""
    if "class_names" in parts and parts["class_names"] is None:
        return None
    names = typed(parts, "class_names", list)
    if not all(isinstance(name, str) for name in names) or output != (len(names),):
        raise ModelFileError(
            f"expected the names of an output of {output} as 'class_names', got {shown(names)}"
        )
    return names


def _check_tensors(path: str | Path, description: _Description, found: Mapping[str, Any]) -> None:
    """Refuse tensors that are not those of the layers; only their names, shapes and types are known yet."""
    expected = sizes.array_shapes(description.layers, description.input_shape)
    if expected.keys() != found.keys():
        missing, extra = expected.keys() - found.keys(), found.keys() - expected.keys()
        raise ModelFileError(
            f"{path}: the tensors do not fit the architecture; missing: "
            f"{listed(sorted(missing)) or 'none'}; extra: {listed(sorted(extra)) or 'none'}"
        )
    needs = _TYPES[description.dtype.name]
    for name, shape in expected.items():
        has_shape, has = tuple(found[name].get_shape()), found[name].get_dtype()
        if (has_shape, has) != (shape, needs):
            raise ModelFileError(
                f"{path}: tensor {name} is {has_shape} {has}, the architecture needs {shape} {needs}"
            )


def _check_finite(arrays: Mapping[str, Array]) -> None:
    """Refuse weights that predict nothing, before a file with better ones is replaced by them."""
    for name, array in arrays.items():
        if not array_module(array).isfinite(array).all():
            raise NonFiniteError(
                f"{name} holds NaN or infinity, so the model predicts nothing: train it again, with a lower "
                "learning rate"
            )
