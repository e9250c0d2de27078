"""Reading files from untrusted sources: JSON and arrays, strictly and up to a size.

Every function raises ValueError or OSError with the reason.
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
    """Return ``path`` if it is a regular file of at most ``most`` bytes."""
    if not os.path.isfile(path):
        raise ValueError(f"there is no file {path.name}")
    size = os.path.getsize(path)
    if size > most:
        raise ValueError(f"{path.name} has {byte_size(size)}, expected at most {byte_size(most)}")
    return path


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def json_object(text: str) -> dict[str, Any]:
    """Return the object that ``text`` holds as JSON.

    NaN and infinite numbers, which Python would read, are errors, as are duplicate keys and more than
    ``MOST_NESTING`` nested levels.
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
    raise ValueError(f"{name} is not a number in JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {shown(text)} is infinite")
    return value


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {shown(name)} is there twice")
        found[name] = value
    return found


def typed(parts: Mapping[str, Any], name: str, kind: type) -> Any:
    """Return ``parts[name]`` if it is of that type; True is not a number."""
    if name not in parts:
        raise ValueError(f"{name!r} is missing")
    value = parts[name]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{name!r} must be of type {kind.__name__}, got {shown(value)}")
    return value


def npz(path: Path, kinds: Mapping[str, str], most: int) -> dict[str, np.ndarray]:
    """Return the arrays of an NPZ file, as ``np.savez`` writes it.

    It must hold exactly the arrays named by ``kinds``, with dtypes of these kinds, such as ``"iu"``, and all
    together may take at most ``most`` bytes: sizes are checked before anything is unpacked.
    """
    try:
        with zipfile.ZipFile(path) as file:
            if sorted(file.namelist()) != sorted(f"{name}.npy" for name in kinds):
                raise ValueError(f"{path.name} must hold the arrays {' and '.join(kinds)}, and no other")
            arrays = {}
            for name, allowed in kinds.items():
                with file.open(f"{name}.npy") as stream:
                    arrays[name] = _npy(stream, name, allowed, most)
                most -= arrays[name].nbytes
            return arrays
    # Raised by zipfile for files that are damaged, encrypted, or compressed by an unknown method.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, LookupError, OverflowError) as reason:
        raise ValueError(f"{path.name} is damaged: {reason}") from reason


# As np.save writes it; NumPy's own reader evaluates the text, and fails on a damaged one in many ways.
_HEADER = re.compile(
    r"\{'descr': '([<>|][a-z]\d{1,2})', 'fortran_order': False, 'shape': \(([\d, ]{1,200})\), \} *\n"
)


def _npy(stream: IO[bytes], name: str, kinds: str, most: int) -> np.ndarray:
    """Return the array of an NPY file, version 1.0, after checking its header."""
    start = stream.read(10)
    header = _HEADER.fullmatch(stream.read(int.from_bytes(start[8:], "little")).decode("latin-1"))
    if start[:8] != b"\x93NUMPY\x01\x00" or header is None:
        raise ValueError(f"the array {name} has no header such as np.savez writes")
    dtype, shape = np.dtype(header[1]), tuple(int(size) for size in header[2].split(",") if size.strip())
    size = math.prod(shape) * dtype.itemsize
    if dtype.kind not in kinds or min(shape, default=0) < 1:
        raise ValueError(f"the array {name} is {dtype} {shape}, of another kind than expected")
    if size > most:
        raise ValueError(f"the array {name} would take {byte_size(size)}, expected at most {byte_size(most)}")
    content = stream.read(size + 1)
    if len(content) != size:
        raise ValueError(f"the array {name} has a length that differs from its header")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))
