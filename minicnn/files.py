"""Writing files so that nothing is ever half-written: beside the target, then renamed."""

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minicnn.errors import OutputError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; when the block ends well, rename it to ``path``.

    If the block fails, what was at ``path`` before is still there, and nothing else is left behind.

    Raises
    ------
    OutputError
        If the folder cannot be made or written.
    """
    path = check_file(path)
    try:
        # Same suffix: writers such as matplotlib choose the format by it.
        temporary = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
        # Not mkstemp, whose files are for their owner alone: these get what the umask leaves of 0o666.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as reason:
        raise _cannot_write(path, reason) from reason
    try:
        yield temporary
        temporary.replace(path)
    except OSError as reason:
        raise _cannot_write(path, reason) from reason
    finally:
        temporary.unlink(missing_ok=True)


def check_file(path: str | Path) -> Path:
    """Check that a file can be written at ``path``, making its folder; return where links lead.

    Raises
    ------
    OutputError
        If the folder cannot be made or written, or there is a folder of the file's name.
    """
    path = Path(os.path.realpath(path))  # a link stays a link
    make_folder(path.parent)
    if os.path.isdir(path):  # not Path.is_dir, which raises for a name that is too long
        raise OutputError(f"cannot write the file {path}: there is a folder of that name")
    return path


def make_folder(path: str | Path) -> Path:
    """Make the folder ``path``, with its parents, unless it is there; check that it can be written.

    Raises
    ------
    OutputError
        If it cannot be made or written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as reason:
        raise _cannot_write(path, reason) from reason
    return path


def _cannot_write(path: Path, reason: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {reason.strerror or reason}; choose a folder you may write to")
