"""The content of a file, plain or compressed with gzip, up to a limit that is known before decompression.

Gzip compresses equal bytes a thousandfold, so a file of ten megabytes can unpack to ten gigabytes.
"""

import gzip
import io
import os
import stat
import zlib
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from minicnn.errors import DataError, DataNotFoundError
from minicnn.files import replacing

GZIP_MAGIC = b"\x1f\x8b"
RATIO = 50  # the most that a gzip file may unpack to, times its size; MNIST's images take 5, as CSV 8
SMALL = 64 * 2**20  # bytes that any gzip file or pipe may hold: sorted labels compress a thousandfold
CHUNK = 2**20


class Content(io.BufferedReader):
    """The content of a file, which has at most ``limit`` bytes."""

    def __init__(self, raw: "_Limited") -> None:
        super().__init__(raw)
        self.limit = raw.limit


def open_content(path: str | PathLike[str], limit: int | None = None, source: str | None = None) -> Content:
    """Open a file to read its content once, decompressed if its first bytes are those of gzip.

    The content may have at most ``limit`` bytes: by default the size of a plain file, and for a compressed
    one `RATIO` times its size or `SMALL`, whichever is more. Messages call the file ``source``, by default
    its path. Raises DataNotFoundError if there is no such file, and DataError if it cannot be read. Reading
    raises DataError if it is damaged or has more content than the limit.
    """
    source = str(path) if source is None else source
    try:
        file = Path(path).open("rb")  # noqa: SIM115 - the content closes it
        packed = file.peek(2)[:2] == GZIP_MAGIC
        status = os.fstat(file.fileno())
    except FileNotFoundError as error:
        raise DataNotFoundError(f"{path}: there is no such file; check the path") from error
    except OSError as error:
        raise DataError(f"{source}: expected a readable file; {error.strerror}: check the path") from error
    except ValueError as error:  # NUL, or a lone surrogate
        raise DataError(f"{str(path)!r}: no file can have this name ({error}): check the path") from error
    if limit is None:
        plain = stat.S_ISREG(status.st_mode) and not packed
        limit = status.st_size if plain else max(SMALL, RATIO * status.st_size)
    return Content(_Limited(file, packed, source, limit))


def write_content(path: Path, content: bytes) -> None:
    """Write a file, compressed if its name ends in ``.gz``; the same content always gives the same bytes.

    Missing folders are created, and an existing file is replaced only once the new one is complete. Raises
    OutputError if the file cannot be written.
    """
    with replacing(path) as part:
        part.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


class _Limited(io.RawIOBase):
    """The bytes of ``file``, decompressed if they are ``packed``, up to the limit."""

    def __init__(self, file: BinaryIO, packed: bool, source: str, limit: int) -> None:
        self._file, self._source, self.limit = file, source, limit
        self._content = gzip.GzipFile(fileobj=file) if packed else file
        self._room = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a part of the buffer; return the number of bytes, 0 at the end."""
        try:
            data = self._content.read(min(len(buffer), CHUNK, self._room + 1))
        except (EOFError, OSError, zlib.error) as error:
            what = "a readable file" if self._content is self._file else "whole gzip data"
            raise DataError(f"{self._source}: expected {what}; {error}: fetch the file again") from error
        if len(data) > self._room:
            raise DataError(
                f"{self._source}: expected at most {self.limit:,} bytes of content; there are more: "
                "check that it is the right file, and unpack it first if it is"
            )
        self._room -= len(data)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
