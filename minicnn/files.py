"""Writing files completely or not at all: to a temporary file, which is then renamed."""

import hashlib
import os
import platform
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from minicnn.errors import ConfigError, OutputError

try:
    import fcntl
except ImportError:  # Windows: no folder is locked, and the files of killed processes are not removed
    fcntl = None

HOST = hashlib.sha256(platform.node().encode(errors="replace")).hexdigest()[:8]
TEMPORARY = re.compile(r"\.minicnn-(?P<host>[0-9a-f]{8})-[0-9a-f]{16}(\..*)?")
NEVER = re.compile("[\0\ud800-\udfff]")  # surrogates stand for bytes that are not UTF-8
DAY = 24 * 60 * 60


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, which is renamed to ``path`` if the block succeeds.

    If the block fails, ``path`` stays as it was, and the temporary file is removed. The data is on disk
    before the renaming, so that a power cut leaves the old file or the new one. The temporary files of
    killed processes are removed by ``remove_stale``. Raises the errors of ``check_file``, and OutputError if
    the file cannot be written.
    """
    path = check_file(path)
    try:
        temporary, lock = _temporary(path)
    except OSError as reason:
        raise _cannot_write(path, reason) from reason
    try:
        yield temporary
        _to_disk(temporary, os.O_RDWR)
        temporary.replace(path)
        with suppress(OSError):  # not every system can do it for a folder
            _to_disk(path.parent, os.O_RDONLY)
    except OSError as reason:
        raise _cannot_write(path, reason) from reason
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)


def check_path(path: Any, name: str = "path") -> Path:
    """Return ``path`` as a Path; ``name`` is for the message.

    Raises ConfigError if it is not text, or holds NUL or bytes that are not UTF-8.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        raise ConfigError(f"{name} must be a path such as 'data', got {path!r}")
    if NEVER.search(text):
        raise ConfigError(f"{name} must be a path without NUL, in UTF-8, got {text!r}: choose another name")
    return Path(text)


def check_file(path: str | os.PathLike[str]) -> Path:
    """Check that a file can be written at ``path``, make its folder, and return the target of links.

    Raises the errors of ``check_path`` and ``make_folder``, and OutputError if ``path`` exists and is not a
    regular file.
    """
    path = Path(os.path.realpath(check_path(path)))  # a link stays a link
    make_folder(path.parent)
    remove_stale(path.parent)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return path
    except OSError as reason:  # the name is too long, or links form a circle
        raise _cannot_write(path, reason) from reason
    if not stat.S_ISREG(mode):
        what = "folder" if stat.S_ISDIR(mode) else "device or pipe"
        raise OutputError(f"cannot write the file {path}: there is a {what} of that name; choose another")
    return path


def make_folder(path: str | Path) -> Path:
    """Make the folder ``path`` and its parents if they do not exist; check that it can be written.

    Raises the errors of ``check_path``, and OutputError if the folder cannot be made or written.
    """
    path = check_path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as reason:
        raise _cannot_write(path, reason) from reason
    return path


def remove_stale(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder.

    A writer locks its file, and the lock ends with its process. The locks of another machine may be
    invisible in a network folder, so its files are left for a day. Without locks, nothing is removed.
    """
    if fcntl is None:
        return
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            match = TEMPORARY.fullmatch(entry.name)
            if match and (match["host"] == HOST or time.time() - entry.stat().st_mtime > DAY):
                with suppress(OSError):  # it is gone, locked, or another user's
                    file = os.open(entry.path, os.O_RDWR | os.O_NOFOLLOW)
                    try:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        os.unlink(entry.path)
                    finally:
                        os.close(file)


def lock_folder(folder: Path) -> int | None:
    """Lock a folder until the returned descriptor is closed; return None where there are no locks.

    Raises BlockingIOError if another process holds the lock.
    """
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as reason:
        os.close(descriptor)
        if isinstance(reason, BlockingIOError):
            raise
        return None  # not every file system has locks
    return descriptor


def _temporary(path: Path) -> tuple[Path, int | None]:
    """Make an empty file beside ``path``; return it, and a descriptor that holds the lock on it."""
    while True:
        # The same suffix, by which writers such as matplotlib choose the format.
        temporary = path.with_name(f".minicnn-{HOST}-{secrets.token_hex(8)}{path.suffix}")
        # Not mkstemp, whose files only their owner may read: the umask decides.
        file = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if fcntl is None:
            os.close(file)  # Windows cannot rename an open file
            return temporary, None
        with suppress(OSError):  # not every file system has locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if temporary.exists():  # remove_stale may have removed it before it was locked
            return temporary, file
        os.close(file)


def _to_disk(path: Path, mode: int) -> None:
    """Flush a file or a folder to the disk."""
    file = os.open(path, mode)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _cannot_write(path: Path, reason: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {reason.strerror or reason}; choose a folder you may write to")
