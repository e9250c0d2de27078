"""Reading what others may have written: JSON and arrays, strictly, and within bounds known beforehand.

Every function raises ValueError or OSError with the reason; who calls it knows what the file is for.
"""

import hashlib
import json
import math
import os
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from minicnn.text import byte_size, shown

MOST_NESTING = 20


def file_of(path: Path, most: int) -> Path:
    """Return ``path``, if a file of at most that many bytes is there; never a folder, a device or a pipe."""
    if not os.path.isfile(path):
        raise ValueError(f"there is no file {path.name}")
    size = os.path.getsize(path)
    if size > most:
        raise ValueError(f"{path.name} has {byte_size(size)}, expected at most {byte_size(most)}")
    return path


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_object(text: str) -> dict[str, Any]:
    """Return the object that ``text`` holds as JSON.

    What JSON does not know is refused, though Python reads it: NaN and infinite numbers; so are a key that
    stands twice, and objects nested more than ``MOST_NESTING`` deep.
    """
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_unique)
    except RecursionError as reason:
        raise ValueError("it is nested too deeply") from reason
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, got {shown(value)}")
    depth, level = 0, [value]
    while level:
        depth += 1
        if depth > MOST_NESTING:
            raise ValueError(f"it is nested more than {MOST_NESTING} deep")
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [each for group in inner for each in group if isinstance(each, dict | list)]
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {shown(text)} is infinite")
    return value


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {shown(name)} stands there twice")
        found[name] = value
    return found


def typed(parts: Mapping[str, Any], name: str, kind: type) -> Any:
    """Return ``parts[name]``, if it is of that kind; True is no number."""
    if name not in parts:
        raise ValueError(f"{name!r} is missing")
    value = parts[name]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{name!r} must be of type {kind.__name__}, got {shown(value)}")
    return value


def npz(path: Path, kinds: Mapping[str, str], most: int) -> dict[str, np.ndarray]:
    """Return the arrays of an NPZ file that has just these, as ``np.savez`` writes them.

    Parameters
    ----------
    path
    kinds
        For each array, the kinds of dtype that it may have, such as ``"iu"``; never objects.
    most
        The bytes that all together may take: what headers promise is added up before anything is unpacked.
    """
    expected = [f"{name}.npy" for name in kinds]
    try:
        with zipfile.ZipFile(path) as file:
            if sorted(file.namelist()) != sorted(expected):
                raise ValueError(f"{path.name} must hold the arrays {' and '.join(kinds)}, and no other")
            arrays = {}
            for name, of in kinds.items():
                with file.open(f"{name}.npy") as stream:
                    arrays[name] = _npy(stream, name, of, most)
                most -= arrays[name].nbytes
            return arrays
    # What zipfile raises for a file that is damaged, encrypted, or packed in a way it does not know.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, LookupError, OverflowError) as reason:
        raise ValueError(f"{path.name} is damaged: {reason}") from reason


# As np.save writes it, so that nothing has to be evaluated.
_HEADER = re.compile(
    r"\{'descr': '([<>|][a-z]\d{1,2})', 'fortran_order': False, 'shape': \(([\d, ]{1,200})\), \} *\n"
)


def _npy(stream: IO[bytes], name: str, kinds: str, most: int) -> np.ndarray:
    """Return the array of an NPY file, version 1.0, after a look at what its header promises."""
    start = stream.read(10)
    header = stream.read(int.from_bytes(start[8:], "little")).decode("latin-1")
    found = _HEADER.fullmatch(header)
    if start[:8] != b"\x93NUMPY\x01\x00" or found is None:
        raise ValueError(f"the array {name} has no header as np.savez writes it")
    dtype, shape = np.dtype(found[1]), tuple(int(size) for size in found[2].split(",") if size.strip())
    size = math.prod(shape) * dtype.itemsize
    if dtype.kind not in kinds or min(shape, default=0) < 1:
        raise ValueError(f"the array {name} is {dtype} {shape}, of another kind than expected")
    if size > most:
        raise ValueError(f"the array {name} would take {byte_size(size)}, expected at most {byte_size(most)}")
    content = stream.read(size + 1)
    if len(content) != size:
        raise ValueError(f"the array {name} has another length than its header says")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))
