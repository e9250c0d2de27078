"""The IDX file format of MNIST and Fashion-MNIST, plain or compressed with gzip.

A file is a header, then the numbers, the last axis running fastest; everything is big-endian::

    2 bytes          0, 0
    1 byte           the type of the numbers, see DTYPES
    1 byte           the number of axes, d
    d × 4 bytes      the size of each axis
    the rest         the numbers

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database", http://yann.lecun.com/exdb/mnist/.
"""

import io
import math
import struct
from os import PathLike

import numpy as np

from minicnn.data.content import open_content, write_content
from minicnn.errors import DataError, DTypeError, ShapeError
from minicnn.files import check_path

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}
MAX_AXES = 32  # as many as every NumPy can hold


def read_idx(path: str | PathLike[str]) -> np.ndarray:
    """Read an IDX file into a new array of its shape and dtype, in native byte order.

    The file may be compressed, under any name. A header that declares more data than the file can hold is an
    error before anything is allocated, see `open_content`.

    Raises
    ------
    DataNotFoundError
        If there is no such file.
    DataError
        If the file is empty, damaged, truncated, too long, or not an IDX file.
    """
    with open_content(path) as content:
        return parse_idx(content, str(path), content.limit)


def parse_idx(content: io.BufferedIOBase, source: str, limit: int) -> np.ndarray:
    """Turn the content of an IDX file, of at most ``limit`` bytes, into a new array; see `read_idx`."""
    shape, dtype = _read_header(content, source)
    start = 4 + 4 * len(shape)
    expected = start + math.prod(shape) * dtype.itemsize
    promise = f"{source}: expected {expected:,} bytes for shape {shape} of {dtype.newbyteorder('=')}"
    if expected > limit:
        raise DataError(
            f"{promise}; it holds {limit:,} at most, so it is cut short or damaged: fetch it again"
        )
    try:
        array = np.empty(shape, dtype)
    except ValueError as error:  # an axis is 0, and others are longer than an array may have
        raise DataError(f"{source}: the shape {shape} is impossible: {error}") from error
    found = start + content.readinto(array.reshape(-1).view(np.uint8).data)
    if found < expected:
        raise DataError(f"{promise}; got {found:,}, so it is cut short: fetch it again")
    if content.read(1):
        raise DataError(f"{promise}; it is followed by other bytes: fetch it again")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_header(content: io.BufferedIOBase, source: str) -> tuple[tuple[int, ...], np.dtype]:
    """Read shape and dtype; raise if they are not those of an IDX file."""
    magic = content.read(4)
    if not magic:
        raise DataError(f"{source}: expected an IDX file; it is empty: fetch it again")
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in DTYPES or not 1 <= magic[3] <= MAX_AXES:
        raise DataError(
            f"{source}: expected an IDX file, which begins with 00 00, a type and a number of axes; "
            f"it begins with {magic.hex(' ')}: check that it is the right file"
        )
    sizes = content.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise DataError(
            f"{source}: expected a header of {4 + 4 * magic[3]} bytes; got {4 + len(sizes)}: fetch it again"
        )
    return struct.unpack(f">{magic[3]}I", sizes), np.dtype(">" + DTYPES[magic[2]])


def write_idx(path: str | PathLike[str], array: np.ndarray) -> None:
    """Write an array as an IDX file, compressed if the name ends in ``.gz``; see `write_content`.

    Parameters
    ----------
    path : str or path
    array : ndarray
        1 to 32 axes, each below 2³²; uint8, int8, int16, int32, float32 or float64.
    """
    header = _header(array)
    write_content(check_path(path), header + array.astype(array.dtype.newbyteorder(">")).tobytes())


def _header(array: np.ndarray) -> bytes:
    """Return the header for an array; raise if IDX cannot hold it."""
    if not isinstance(array, np.ndarray):
        raise DTypeError(f"write_idx: expected a NumPy array; got {type(array).__name__}: use np.asarray")
    codes = {np.dtype(name): code for code, name in DTYPES.items()}
    code = codes.get(array.dtype.newbyteorder("="))
    if code is None:
        known = ", ".join(str(dtype) for dtype in codes)
        raise DTypeError(f"write_idx: IDX holds {known}; got {array.dtype}: convert with astype")
    if not 1 <= array.ndim <= MAX_AXES or max(array.shape) >= 2**32:
        raise ShapeError(
            f"write_idx: IDX holds 1 to {MAX_AXES} axes below 2**32; got shape {array.shape}: reshape it"
        )
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
