"""The folder of a run: found free before the training, and kept from other processes until it is written."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minicnn.errors import OutputError
from minicnn.files import check_file, check_path, lock_folder, make_folder
from minicnn.report.page import NAME

MODEL, HISTORY, METRICS, PREDICTIONS = "model.safetensors", "history.csv", "metrics.json", "predictions.npz"
CHECKPOINT = "checkpoint.safetensors"
FILES = MODEL, HISTORY, METRICS, PREDICTIONS, NAME
"""What a finished run leaves; one that was broken off leaves the checkpoint."""

# This process's folders: whether it made each of them, and the descriptor that holds its lock.
_claimed: dict[str, tuple[bool, int | None]] = {}


def check_run(folder: str | Path, force: bool = False) -> Path:
    """Check, before any training, that a run can be written to ``folder``; make it, claim it, and return it.

    It stays claimed until ``release``, so that no other process trains into it. A process may claim its
    folder again.

    Parameters
    ----------
    force : bool
        Let the new run take the place of one that is there.

    Raises
    ------
    OutputError
        If it cannot be made or written, if it holds a run, finished or broken off, or if another process has
        claimed it.
    """
    folder = check_path(folder)
    # Not Path.exists, which raises for a name that is too long.
    return _claim(folder, force, made=not os.path.exists(folder))


def new_run(folder: str | Path) -> Path:
    """Make ``folder`` and claim it; if it is there already, ``folder-2``, or the next number that is free.

    Raises
    ------
    OutputError
        If it cannot be made or written.
    """
    first = check_path(folder)
    make_folder(first.parent)
    for number in itertools.count(1):
        folder = first if number == 1 else first.with_name(f"{first.name}-{number}")
        try:
            folder.mkdir()  # of two processes only one can
        except FileExistsError:
            continue
        except OSError as reason:
            raise OutputError(f"cannot make the folder {folder}: {reason.strerror}") from reason
        return _claim(folder, force=False, made=True)


def _claim(folder: Path, force: bool, made: bool) -> Path:
    for name in (*FILES, CHECKPOINT):
        check_file(folder / name)
    if os.path.realpath(folder) not in _claimed:
        _refuse_a_run(folder, force)
        _claimed[os.path.realpath(folder)] = made, _lock(folder)
    return folder


@contextmanager
def claimed(folder: str | Path) -> Iterator[Path]:
    """Claim a folder by ``check_run`` for a block of code."""
    folder = check_run(folder)
    try:
        yield folder
    finally:
        release(folder)


def release(folder: str | Path) -> None:
    """End the claim that ``check_run`` made, if there is one; an empty folder that was made for it goes."""
    made, lock = _claimed.pop(os.path.realpath(folder), (False, None))
    if lock is not None:
        os.close(lock)
    if made:
        with suppress(OSError):  # something was left in it
            os.rmdir(folder)


def _refuse_a_run(folder: Path, force: bool) -> None:
    """Refuse a folder in which something would be lost."""
    held = [name for name in (*FILES, CHECKPOINT) if (folder / name).exists()]
    if held and not force:
        raise OutputError(
            f"{folder} holds a run already, with {held[0]}: name another folder, or have it replaced with "
            "--force, in Python by report.check_run(folder, force=True) before"
        )


def _lock(folder: Path) -> int | None:
    """Lock a folder; without locks only what is in it keeps it from other processes."""
    try:
        return lock_folder(folder)
    except BlockingIOError as reason:
        raise OutputError(f"another process is training into {folder}: name another folder") from reason
