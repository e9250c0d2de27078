"""Model files: safetensors with the model's arrays, never pickle.

The metadata has ``format`` ("minicnn"), ``version``, and ``model``, the description as JSON: see
``minicnn.description``. A file may be untrusted, so names, shapes and types are checked before an array is
read.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.backend import Array, array_module, to_numpy
from minicnn.errors import ModelFileError, NonFiniteError
from minicnn.files import replacing
from minicnn.reading import json_object
from minicnn.text import byte_size, listed

FORMAT = "minicnn"
VERSION = 1
_MOST_HEADER = 2**24  # bytes
# Raised by reading an invalid description, or by making layers from it.
UNUSABLE = LookupError, TypeError, AttributeError, ValueError
_TYPES = {"float32": "F32", "float64": "F64"}  # the names of safetensors


def write(path: str | Path, description: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write a model file; an existing file is replaced only by a complete one.

    Raises
    ------
    OutputError
        If the file cannot be written.
    NonFiniteError
        If an array contains NaN or infinity; an existing file is not replaced.
    """
    from safetensors.numpy import save as to_bytes

    broken = _not_finite(arrays)
    if broken:
        raise NonFiniteError(broken)
    tensors = {name: np.asarray(to_numpy(array), order="C") for name, array in arrays.items()}
    metadata = {"format": FORMAT, "version": str(VERSION), "model": json.dumps(description)}
    with replacing(path) as temporary:
        temporary.write_bytes(to_bytes(tensors, metadata))


class ModelFile:
    """An open model file; only its header has been read."""

    def __init__(self, path: Path, file: Any) -> None:
        self.path, self._file = path, file
        metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise ModelFileError(
                f"{path}: a safetensors file, but not a minicnn model (saved with model.save)"
            )
        version = metadata.get("version", "")
        if not version.isdecimal() or len(version) > 9:
            raise ModelFileError(f"{path}: the format version is {version[:20]!r}, expected a number")
        if int(version) > VERSION:
            raise ModelFileError(
                f"{path}: written in model format {version}, this minicnn reads up to {VERSION}: "
                "upgrade with pip install --upgrade minicnn"
            )
        self.description = json_object(metadata["model"])

    def arrays(self, shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype) -> dict[str, np.ndarray]:
        """Return the arrays.

        Raises
        ------
        ModelFileError
            If names, shapes or dtype differ from these, before any array is read, or if an array contains
            NaN or infinity.
        """
        names = set(self._file.keys())
        if shapes.keys() != names:
            missing, extra = shapes.keys() - names, names - shapes.keys()
            raise ModelFileError(
                f"{self.path}: the tensors do not fit the architecture; missing: "
                f"{listed(sorted(missing)) or 'none'}; extra: {listed(sorted(extra)) or 'none'}"
            )
        needed = _TYPES[dtype.name]
        for name, shape in shapes.items():
            tensor = self._file.get_slice(name)
            has_shape, has = tuple(tensor.get_shape()), tensor.get_dtype()
            if (has_shape, has) != (shape, needed):
                raise ModelFileError(
                    f"{self.path}: tensor {name} is {has_shape} {has}, the architecture needs "
                    f"{shape} {needed}"
                )
        arrays = {name: self._file.get_tensor(name) for name in shapes}
        broken = _not_finite(arrays)
        if broken:
            raise ModelFileError(f"{self.path}: {broken}")
        return arrays


@contextmanager
def reading(path: str | Path) -> Iterator[ModelFile]:
    """Open a model file inside the ``with`` block.

    Raises
    ------
    ModelFileError
        If the file is missing or is not a minicnn model, or if the block raises one of ``UNUSABLE``.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not os.path.isfile(path):  # not Path.is_file, which raises for a name that is too long
        problem = "this is a folder" if os.path.isdir(path) else "there is no such file"
        raise ModelFileError(f"{path}: {problem}; expected a model saved with model.save(path)")
    try:
        with path.open("rb") as stream:
            header = int.from_bytes(stream.read(8), "little")
        if header > _MOST_HEADER:
            raise OSError(f"its header would be {byte_size(header)} long")
        with safe_open(path, framework="numpy") as file:
            yield ModelFile(path, file)
    except ModelFileError:
        raise
    except (SafetensorError, OSError) as reason:
        raise ModelFileError(f"{path}: not a readable safetensors file ({reason})") from reason
    except UNUSABLE as reason:
        raise ModelFileError(f"{path}: the model's description cannot be used ({reason})") from reason


def _not_finite(arrays: Mapping[str, Array]) -> str:
    """Return an error message for the first array with NaN or infinity, or an empty string."""
    for name, array in arrays.items():
        if not array_module(array).isfinite(array).all():
            return (
                f"{name} holds NaN or infinity, so the model cannot predict: train it again with a lower "
                "learning rate"
            )
    return ""
