"""Model files: safetensors, holding weights, architecture, preprocessing and class names; never pickle.

The tensors are ``Sequential.arrays()``. The rest is JSON in the file's metadata: ``format``
("minicnn"), ``version``, ``model`` (see ``_describe``). A file loads into a fresh process and predicts
bit for bit the same.
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import layers as layer_types
from minicnn.backend import to_numpy
from minicnn.errors import ConfigError, ModelFileError
from minicnn.files import replacing
from minicnn.layers.base import Layer, Shape
from minicnn.model import Sequential
from minicnn.preprocessing import Preprocessing

FORMAT = "minicnn"
VERSION = 1


def save(model: Sequential, path: str | Path) -> None:
    """Write ``model`` to ``path``, from any device; an existing file is replaced only by a complete one.

    Raises
    ------
    OutputError
        If the file cannot be written.
    ConfigError
        If ``load`` could not read the file again; see ``check_savable``.
    """
    from safetensors.numpy import save as to_bytes

    text = check_savable(model)
    arrays = {name: np.ascontiguousarray(to_numpy(array)) for name, array in model.arrays().items()}
    metadata = {"format": FORMAT, "version": str(VERSION), "model": text}
    with replacing(path) as temporary:
        temporary.write_bytes(to_bytes(arrays, metadata))


def check_savable(model: Sequential) -> str:
    """Return the model's description as JSON, if ``load`` will be able to make the same model from it.

    Raises
    ------
    ConfigError
        If a layer is not one of minicnn's own, was renamed, or ``info`` is not text.
    """
    try:
        text = json.dumps(_describe(model))
        rebuilt = _rebuild(json.loads(text), sum(array.size for array in model.arrays().values()))
        names = [layer.name for layer in rebuilt.layers]
        if names != [layer.name for layer in model.layers]:
            raise ModelFileError(f"its layers must be called {', '.join(names)}")
    except (LookupError, TypeError, AttributeError, ValueError) as reason:
        raise ConfigError(f"this model could not be loaded again from a file: {reason}") from reason
    return text


def load(path: str | Path) -> Sequential:
    """Read a model that ``save`` wrote, onto the CPU.

    Raises
    ------
    ModelFileError
        If the file is missing, is not a minicnn model, is damaged (missing, extra or wrong-shaped
        tensors), or comes from a newer version of minicnn.
    """
    metadata, arrays = _read(Path(path))
    try:
        description = json.loads(metadata["model"])
        model = _rebuild(description, sum(array.size for array in arrays.values()))
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError) as reason:
        raise ModelFileError(f"{path}: the model's description cannot be used ({reason})") from reason
    _check_arrays(path, model, arrays)
    model.set_arrays(arrays)
    return model


def _read(path: Path) -> tuple[Mapping[str, str], dict[str, np.ndarray]]:
    from safetensors import SafetensorError, safe_open

    if not os.path.isfile(path):  # not Path.is_file, which raises for a name that is too long
        raise ModelFileError(f"{path}: there is no such file; expected a model saved with model.save(path)")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            _check_format(path, metadata)
            return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError) as reason:  # TypeError: a dtype NumPy does not have
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
        "preprocessing": asdict(model.preprocessing),
        "class_names": model.class_names,
        "info": model.info,
    }


def _rebuild(description: dict[str, Any], numbers: int) -> Sequential:
    """Make the model of a description; the file holds ``numbers`` numbers for it."""
    layers = []
    for config in description["layers"]:
        arguments = dict(config)
        kind = arguments.pop("type")
        if kind not in layer_types.__all__ or kind == "Layer":
            raise ModelFileError(f"{kind!r} is not one of minicnn's own layers")
        layers.append(getattr(layer_types, kind)(**arguments))
    input_shape = tuple(description["input_shape"])
    _check_size(layers, input_shape, numbers)
    model = Sequential(
        layers,
        input_shape,
        dtype=description["dtype"],
        preprocessing=Preprocessing(**description["preprocessing"]),
        class_names=description["class_names"],
    )
    model.info = dict(description["info"])
    return model


def _check_size(layers: list[Layer], shape: Shape, numbers: int) -> None:
    """Refuse an architecture that needs more than ``numbers`` numbers, before any memory is taken for it."""
    for layer in layers:
        numbers -= _least_size(layer, shape)
        if numbers < 0:
            raise ModelFileError(f"{layer!r} on an input of {shape} needs more weights than the file holds")
        shape = layer.build(shape, np.random.default_rng(0))


def _least_size(layer: Layer, shape: Shape) -> int:
    """How many numbers ``layer`` holds at least, when built for ``shape``."""
    if isinstance(layer, layer_types.Dense):
        return math.prod(shape) * layer.units
    if isinstance(layer, layer_types.Conv2D):
        return math.prod(layer.kernel_size) * shape[-1] * layer.filters
    if isinstance(layer, layer_types.BatchNorm):
        return 4 * shape[-1]
    return 0


def _check_arrays(path: str | Path, model: Sequential, arrays: dict[str, np.ndarray]) -> None:
    expected = model.arrays()
    missing, extra = sorted(expected.keys() - arrays.keys()), sorted(arrays.keys() - expected.keys())
    if missing or extra:
        raise ModelFileError(
            f"{path}: the tensors do not fit the architecture; missing: {', '.join(missing) or 'none'}; "
            f"extra: {', '.join(extra) or 'none'}"
        )
    for name, array in expected.items():
        found = arrays[name]
        if found.shape != array.shape or found.dtype != array.dtype:
            raise ModelFileError(
                f"{path}: tensor {name} is {found.shape} {found.dtype}, "
                f"the architecture needs {array.shape} {array.dtype}"
            )
