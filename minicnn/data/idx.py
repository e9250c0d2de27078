"""The IDX file format of MNIST and Fashion-MNIST, plain or compressed with gzip.

A file is a header, then the numbers, the last axis running fastest; everything is big-endian::

    2 bytes          0, 0
    1 byte           the type of the numbers, see DTYPES
    1 byte           the number of axes, d
    d × 4 bytes      the size of each axis
    the rest         the numbers

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database", http://yann.lecun.com/exdb/mnist/.
"""

import gzip
import math
import struct
import zlib
from os import PathLike
from pathlib import Path

import numpy as np

from minicnn.errors import DataError, DataNotFoundError, DTypeError, ShapeError
from minicnn.files import replacing

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}
MAX_AXES = 32  # as many as every NumPy can hold
GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: str | PathLike) -> np.ndarray:
    """Read an IDX file into a new array of its shape and dtype, in the machine's byte order.

    Parameters
    ----------
    path : str or path
        Whether the file is compressed is seen from its first two bytes, not from its name.

    Raises
    ------
    DataNotFoundError
        When there is no such file.
    DataError
        When the file is empty, damaged, cut short, too long, or no IDX file.
    """
    return parse_idx(read_content(path), str(path))


def read_content(path: str | PathLike) -> bytes:
    """Read a file and decompress it if it is compressed; errors as for `read_idx`."""
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise DataNotFoundError(f"{path}: there is no such file; check the path") from error
    except OSError as error:
        raise DataError(f"{path}: expected a readable file; {error.strerror}: check the path") from error
    return decompress(raw, str(path))


def decompress(raw: bytes, source: str) -> bytes:
    """Return the content of gzip data, or the data as they are when they are not gzip.

    Raises
    ------
    DataError
        When the gzip data end early or are damaged; ``source`` names them.
    """
    if not raw.startswith(GZIP_MAGIC):
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{source}: expected whole gzip data; {error}: fetch the file again") from error


def parse_idx(content: bytes, source: str) -> np.ndarray:
    """Turn the decompressed content of an IDX file into a new, writable array.

    Raises
    ------
    DataError
        As for `read_idx`; ``source`` names the content in the message.
    """
    if not content:
        raise DataError(f"{source}: expected an IDX file; it is empty: fetch it again")
    magic = content[:4]
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in DTYPES or not 1 <= magic[3] <= MAX_AXES:
        raise DataError(
            f"{source}: expected an IDX file, which begins with 00 00, a type and a number of axes; "
            f"it begins with {magic.hex(' ')}: check that it is the right file"
        )
    start = 4 + 4 * magic[3]
    if len(content) < start:
        raise DataError(f"{source}: expected a header of {start} bytes; got {len(content)}: fetch it again")
    shape = struct.unpack(f">{magic[3]}I", content[4:start])
    dtype = np.dtype(">" + DTYPES[magic[2]])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        problem = "cut short" if len(content) < expected else "followed by other bytes"
        raise DataError(
            f"{source}: expected {expected} bytes for shape {shape} of {dtype.newbyteorder('=')}; "
            f"got {len(content)}, so it is {problem}: fetch it again"
        )
    try:
        array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    except ValueError as error:  # no bytes at all, but axes longer than an array may have
        raise DataError(f"{source}: the shape {shape} cannot be: {error}") from error
    # astype copies, which makes the array writable too: frombuffer only looks at the bytes.
    return array.astype(dtype.newbyteorder("="))


def write_idx(path: str | PathLike, array: np.ndarray) -> None:
    """Write an array as an IDX file, compressed when the name ends in ``.gz``.

    The same array always gives the same bytes. A file that is there already is replaced only once the
    new one is whole.

    Parameters
    ----------
    path : str or path
        Folders that are missing are made.
    array : ndarray
        1 to 32 axes; uint8, int8, int16, int32, float32 or float64.

    Raises
    ------
    DTypeError
        When IDX has no such type.
    ShapeError
        When the array has no axes or too many, or one is too long for its 4 bytes.
    OutputError
        When the file cannot be written.
    """
    content = _header(array) + array.astype(array.dtype.newbyteorder(">")).tobytes()
    path = Path(path)
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    with replacing(path) as part:
        part.write_bytes(content)


def _header(array: np.ndarray) -> bytes:
    """Return the header for an array, or raise when IDX cannot hold it."""
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
