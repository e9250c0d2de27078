"""How a kernel is compiled, and where it is kept."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from threading import Lock

import platformdirs
from numba import config, njit

_FOLDER = Path(__file__).parent
_STATE = sha256(b"".join(path.read_bytes() for path in sorted(_FOLDER.glob("*.py")))).hexdigest()[:16]
_choosing = Lock()


def _cache_folder() -> Path:
    """Return the folder for this state of all kernels, in the one that NUMBA_CACHE_DIR names or beside them.

    By itself Numba notices an edit of a loop's own file, and not of one whose loops are part of it: after
    an update it would run an old loop on new arguments, and might write outside of its arrays.
    """
    if config.CACHE_DIR:
        base = Path(config.CACHE_DIR)
    elif os.access(_FOLDER, os.W_OK):
        base = _FOLDER / "__pycache__"
    else:
        base = Path(platformdirs.user_cache_dir("minicnn"))
    return base / f"minicnn-{_STATE}"


@contextmanager
def _caching() -> Iterator[Path]:
    """Let Numba keep what it compiles in that folder, for a moment; it is told so by a global setting."""
    with _choosing:
        chosen, folder = config.CACHE_DIR, _cache_folder()
        config.CACHE_DIR = str(folder)
        try:
            yield folder
        finally:
            config.CACHE_DIR = chosen


def compiled(loop: Callable, signature: str | None = None) -> Callable:
    """Compile a loop at its first call, or now if it has one signature only; it runs without the GIL.

    A constant in a call makes Numba compile the called loop once more, for that constant: the
    signature of a loop that is called in many ways prevents that.
    """
    # error_model="numpy": x / 0 is inf, as in NumPy, and the loop needs no branch to raise.
    options = {"nogil": True, "error_model": "numpy"}
    if config.DISABLE_JIT:
        return loop
    try:
        with _caching() as folder:
            function = njit(signature, cache=True, **options)(loop)
        if Path(function.stats.cache_path).is_relative_to(folder):
            return function
    except RuntimeError:  # there is no folder that can be written
        pass
    return njit(signature, **options)(loop)  # anew in each process, rather than from elsewhere


def inlined(loop: Callable) -> Callable:
    """Make a loop part of each loop that calls it: it is compiled with them, and not once more on its own."""
    return njit(inline="always", error_model="numpy")(loop)
