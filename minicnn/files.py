"""Writing files so that nothing is ever half-written: beside the target, then renamed."""

import os
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
    path = Path(path)
    make_folder(path.parent)
    if path.is_dir():
        raise OutputError(f"cannot write the file {path}: there is a folder of that name")
    try:
        # Same suffix: writers such as matplotlib choose the format by it.
        descriptor, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    except OSError as reason:
        raise _cannot_write(path, reason) from reason
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp's files are for their owner alone
        temporary.replace(path)
    except OSError as reason:
        raise _cannot_write(path, reason) from reason
    finally:
        temporary.unlink(missing_ok=True)


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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
