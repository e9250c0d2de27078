"""Compiling kernels with Numba, and caching them."""

import os
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

import platformdirs
from numba import config, njit
from numba.core import event
from numba.core.compiler_lock import global_compiler_lock

from minicnn.runtime.threads import uninterrupted

_FOLDER = Path(__file__).parent
# Everything that compiled loops depend on; optimizers.py has the named tuples of their arguments.
_SOURCES = ("runtime/*.py", "ops/*.py", "engine/cpu/kernels/*.py", "optimizers.py")
_STATE = sha256(
    b"".join(path.read_bytes() for name in _SOURCES for path in sorted(_FOLDER.parent.glob(name)))
).hexdigest()[:16]
_choosing = Lock()
# error_model="numpy": x / 0 is inf, and the loop needs no branch for it.
_OPTIONS = {"nogil": True, "error_model": "numpy"}


def _cache_folder() -> Path:
    """Return the cache folder for the current sources, in NUMBA_CACHE_DIR or next to this file.

    Numba notices an edit of a loop's own file, but not of a loop that is inlined into it: after an update it
    could run an old loop on new arguments, outside of its arrays. It also ignores NUMBA_BOUNDSCHECK.
    """
    if config.CACHE_DIR:
        base = Path(config.CACHE_DIR)
    elif os.access(_FOLDER, os.W_OK):
        base = _FOLDER / "__pycache__"
    else:
        base = Path(platformdirs.user_cache_dir("minicnn"))
    return base / f"minicnn-{_STATE}{'-checked' if config.BOUNDSCHECK else ''}"


def compiled(loop: Callable, signature: Any = None) -> Callable:
    """Compile a loop that releases the GIL, at its first call or, with a signature, now.

    A loop without a signature is compiled again for each constant argument.
    """
    if config.DISABLE_JIT:
        return loop
    try:
        function = _cached(loop, signature)
    except RuntimeError:  # no folder is writable
        function = None
    if function is None:  # without a cache
        function = njit(signature, **_OPTIONS)(loop)
    # Numba calls this for new argument types.
    function.compile = partial(_compile_uninterrupted, function.compile)
    return function


def _cached(loop: Callable, signature: Any) -> Callable | None:
    """Return the loop, cached in ``_cache_folder``; None if Numba would cache it elsewhere."""
    with _choosing:  # Numba takes the folder from a global setting
        chosen, folder = config.CACHE_DIR, _cache_folder()
        try:
            config.CACHE_DIR = str(folder)
            function = njit(signature, cache=True, **_OPTIONS)(loop)
        finally:
            config.CACHE_DIR = chosen
    return function if Path(function.stats.cache_path).is_relative_to(folder) else None


def _compile_uninterrupted(compile: Callable, types: tuple) -> Any:
    """Compile a loop for these types; an interrupt in the compiler could leave its locks locked."""
    if global_compiler_lock.is_locked():  # by this thread, for a loop that calls this one
        return compile(types)
    return uninterrupted(lambda: compile(types))


class Watch(event.Listener):
    """Calls ``tell(True)`` at the start of a compilation and ``tell(False)`` at its end, in its thread."""

    def __init__(self, tell: Callable[[bool], None]) -> None:
        self._tell = tell
        self._begun = 0  # compilations nest
        event.register("numba:compile", self)

    def on_start(self, event: event.Event) -> None:
        """Report the start of the outermost compilation."""
        self._begun += 1
        if self._begun == 1:
            self._tell(True)

    def on_end(self, event: event.Event) -> None:
        """Report the end of the outermost compilation."""
        self._begun -= 1
        if self._begun == 0:
            self._tell(False)

    def close(self) -> None:
        """Stop reporting."""
        event.unregister("numba:compile", self)


def inlined(loop: Callable) -> Callable:
    """Compile a loop only as part of the loops that call it."""
    return njit(inline="always", error_model="numpy")(loop)
