"""The folder of a run: claimed before the training, and locked until the run is written."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minicnn.errors import ConfigError, OutputError
from minicnn.files import check_file, check_path, lock_folder, make_folder
from minicnn.report.page import NAME

MODEL, HISTORY, METRICS, PREDICTIONS = "model.safetensors", "history.csv", "metrics.json", "predictions.npz"
CHECKPOINT = "checkpoint.safetensors"
FILES = MODEL, HISTORY, METRICS, PREDICTIONS, NAME
"""The files of a finished run; an interrupted one has only the checkpoint."""

# The folders claimed by this process: whether it made the folder, and the descriptor that holds its lock.
_claimed: dict[str, tuple[bool, int | None]] = {}


@contextmanager
def run_folder(out: str | Path | None, default: str | Path, force: bool = False) -> Iterator[Path]:
    """Claim ``out``, or if None a new folder ``default``, as the folder of a run for a ``with`` block.

    Raises ConfigError if ``force`` is given without ``out``, and the errors of ``check_run`` and ``new_run``.
    """
    if out is None and force:
        raise ConfigError("force replaces the run in the folder given as out, but none was given")
    folder = new_run(default) if out is None else check_run(out, force)
    try:
        yield folder
    finally:
        release(folder)


def check_run(folder: str | Path, force: bool = False) -> Path:
    """Check that a run can be written to ``folder``, make and claim the folder, and return it.

    Until ``release`` no other process can claim it; this process may claim it again. Raises OutputError if
    it cannot be written, is claimed by another process, or without ``force`` holds a finished or interrupted
    run.
    """
    folder = check_path(folder)
    # Not Path.exists, which raises for a name that is too long.
    return _claim(folder, force, made=not os.path.exists(folder))


def new_run(folder: str | Path) -> Path:
    """Make and claim ``folder``, or if it exists ``folder-2`` or the next free number, and return it.

    Raises OutputError if it cannot be made or written.
    """
    first = check_path(folder)
    make_folder(first.parent)
    for number in itertools.count(1):
        folder = first if number == 1 else first.with_name(f"{first.name}-{number}")
        try:
            folder.mkdir()  # of two processes only one succeeds
        except FileExistsError:
            continue
        except OSError as reason:
            raise OutputError(f"cannot make the folder {folder}: {reason.strerror}") from reason
        return _claim(folder, force=False, made=True)
    raise AssertionError("itertools.count never ends")


def _claim(folder: Path, force: bool, made: bool) -> Path:
    for name in (*FILES, CHECKPOINT):
        check_file(folder / name)
    key = os.path.realpath(folder)
    if key in _claimed:
        return folder
    found = [name for name in (*FILES, CHECKPOINT) if (folder / name).exists()]
    if found and not force:
        raise OutputError(
            f"{folder} holds a run already, with {found[0]}: name another folder, or use force to replace it"
        )
    try:
        _claimed[key] = made, lock_folder(folder)
    except BlockingIOError as reason:
        raise OutputError(f"another process is training into {folder}: name another folder") from reason
    return folder


def release(folder: str | Path) -> None:
    """End the claim, if there is one; remove the folder if it was made for the run and is still empty."""
    made, lock = _claimed.pop(os.path.realpath(folder), (False, None))
    if lock is not None:
        os.close(lock)
    if made:
        with suppress(OSError):  # it is not empty
            os.rmdir(folder)
