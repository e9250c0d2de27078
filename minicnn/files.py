"""Writing files so that nothing is ever half-written: beside the target, then renamed."""

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
except ImportError:  # Windows: what a killed writer leaves there stays, and no folder is locked
    fcntl = None

HOST = hashlib.sha256(platform.node().encode(errors="replace")).hexdigest()[:8]
TEMPORARY = re.compile(r"\.minicnn-(?P<host>[0-9a-f]{8})-[0-9a-f]{16}(\..*)?")
NEVER = re.compile("[\0\ud800-\udfff]")  # the surrogates stand for bytes that are not UTF-8
DAY = 24 * 60 * 60


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; when the block ends well, rename it to ``path``.

    If the block fails, what was at ``path`` before is still there, and nothing else is left behind. What is
    renamed is on the disk by then, so that a power cut leaves the old file or the new one. What a killed
    process leaves behind is removed by the next one that writes to the folder; see `remove_stale`.

    Raises
    ------
    ConfigError, OutputError
        If there can be no such file; see `check_file`.
    OutputError
        If it cannot be written.
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
    """Return ``path``, if it is one that can be opened, printed and noted in a file; ``name`` names it.

    Raises
    ------
    ConfigError
        If it is no text, holds a NUL, or bytes that are not UTF-8.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        raise ConfigError(f"{name} must be a path such as 'data', got {path!r}")
    if NEVER.search(text):
        raise ConfigError(f"{name} must be a path without NUL, in UTF-8, got {text!r}: choose another name")
    return Path(text)


def check_file(path: str | Path) -> Path:
    """Check that a file can be written at ``path``, making its folder; return where links lead.

    Raises
    ------
    ConfigError
        If no file can have such a name; see `check_path`.
    OutputError
        If the folder cannot be made or written, or something that is no file has the file's name.
    """
    path = Path(os.path.realpath(check_path(path)))  # a link stays a link
    make_folder(path.parent)
    remove_stale(path.parent)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return path
    except OSError as reason:  # the name is too long, or links lead round in a circle
        raise _cannot_write(path, reason) from reason
    if not stat.S_ISREG(mode):
        what = "folder" if stat.S_ISDIR(mode) else "device or pipe"
        raise OutputError(f"cannot write the file {path}: there is a {what} of that name; choose another")
    return path


def make_folder(path: str | Path) -> Path:
    """Make the folder ``path``, with its parents, unless it is there; check that it can be written.

    Raises
    ------
    ConfigError
        If no folder can have such a name; see `check_path`.
    OutputError
        If it cannot be made or written.
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

    A writer holds a lock on its file, which ends with its process, however that ends. Where another machine
    writes to the same folder over a network, its locks may not be seen here; so its files are left alone for
    a day. Where there are no locks, nothing is removed.
    """
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            match = TEMPORARY.fullmatch(entry.name)
            if match and (match["host"] == HOST or time.time() - entry.stat().st_mtime > DAY):
                _remove_unlocked(entry.path)


def lock_folder(folder: Path) -> int | None:
    """Lock a folder, for as long as the returned descriptor is open; None where there are no locks.

    Raises
    ------
    BlockingIOError
        If another process holds the lock.
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


def _remove_unlocked(path: str) -> None:
    """Remove a file, unless a process holds a lock on it."""
    if fcntl is None:
        return
    with suppress(OSError):  # it is gone, it is another user's, or it is locked
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
        finally:
            os.close(file)


def _temporary(path: Path) -> tuple[Path, int | None]:
    """Make an empty file beside ``path``; return it, and a descriptor that holds the lock on it."""
    while True:
        # Same suffix: writers such as matplotlib choose the format by it.
        temporary = path.with_name(f".minicnn-{HOST}-{secrets.token_hex(8)}{path.suffix}")
        # Not mkstemp, whose files are for their owner alone: these get what the umask leaves of 0o666.
        file = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if fcntl is None:
            os.close(file)  # an open file cannot be renamed there
            return temporary, None
        with suppress(OSError):  # not every file system has locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if temporary.exists():  # nobody has removed it before the lock was on it
            return temporary, file
        os.close(file)


def _to_disk(path: Path, mode: int) -> None:
    """Have the disk write what the system still keeps of a file or a folder."""
    file = os.open(path, mode)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _cannot_write(path: Path, reason: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {reason.strerror or reason}; choose a folder you may write to")
