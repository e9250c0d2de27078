"""What a file holds, plain or compressed with gzip, up to a limit that is known before anything is unpacked.

Gzip shrinks equal bytes a thousandfold, so a file of ten megabytes can unpack to ten gigabytes.
"""

import gzip
import io
import os
import stat
import zlib
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from minicnn.errors import DataError, DataNotFoundError

GZIP_MAGIC = b"\x1f\x8b"
RATIO = 50
"""No gzip file may unpack to more than so many times its size. MNIST's images: 5 times, as CSV 8 times."""
SMALL = 64 * 2**20
"""Bytes that any gzip file, and any pipe, may give: sorted labels do shrink a thousandfold."""
CHUNK = 2**20


class Content(io.BufferedReader):
    """What a file holds, to be read once from the beginning to the end; `open_content` makes it.

    Reading raises DataError where the file is damaged, and where it holds more than ``limit`` bytes.

    Attributes
    ----------
    source : str
        Names the file in messages.
    limit : int
        The content has no more bytes than this; that of a plain file has exactly as many, where no smaller
        limit was asked for.
    """

    def __init__(self, raw: io.RawIOBase, source: str, limit: int) -> None:
        super().__init__(raw)
        self.source, self.limit = source, limit


def open_content(path: str | PathLike, limit: int | None = None, source: str | None = None) -> Content:
    """Open a file to read what it holds, unpacked if its first bytes are those of gzip.

    Parameters
    ----------
    path : str or path
    limit : int, optional
        The most bytes that the content may have. By default those of a plain file, and for a compressed one
        `RATIO` times as many, or `SMALL` if that is more.
    source : str, optional
        Names the file in messages; by default its path.

    Raises
    ------
    DataNotFoundError
        When there is no such file.
    DataError
        When it cannot be read.
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
    except ValueError as error:  # NUL, or half of a character
        raise DataError(f"{str(path)!r}: no file can have this name ({error}): check the path") from error
    if limit is None:
        plain = stat.S_ISREG(status.st_mode) and not packed
        limit = status.st_size if plain else max(SMALL, RATIO * status.st_size)
    return Content(_Limited(file, packed, source, limit), source, limit)


class _Limited(io.RawIOBase):
    """The bytes that ``file`` holds, unpacked if they are ``packed``, up to the limit."""

    def __init__(self, file: BinaryIO, packed: bool, source: str, limit: int) -> None:
        self._file, self._source, self._limit = file, source, limit
        self._content = gzip.GzipFile(fileobj=file) if packed else file
        self._room = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer, or a part of it; return how many bytes came, 0 at the end."""
        try:
            data = self._content.read(min(len(buffer), CHUNK, self._room + 1))
        except (EOFError, OSError, zlib.error) as error:
            what = "a readable file" if self._content is self._file else "whole gzip data"
            raise DataError(f"{self._source}: expected {what}; {error}: fetch the file again") from error
        if len(data) > self._room:
            raise DataError(
                f"{self._source}: expected at most {self._limit:,} bytes of content; there are more: "
                "check that it is the right file, and unpack it first if it is"
            )
        self._room -= len(data)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
