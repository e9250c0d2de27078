"""How a kernel is compiled, and where it is kept."""

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
_SOURCES = ("runtime", "ops", "engine/cpu/kernels")  # the folders whose loops are compiled
_STATE = sha256(
    b"".join(path.read_bytes() for name in _SOURCES for path in sorted((_FOLDER.parent / name).glob("*.py")))
).hexdigest()[:16]
_choosing = Lock()
# error_model="numpy": x / 0 is inf, as in NumPy, and the loop needs no branch to raise.
_OPTIONS = {"nogil": True, "error_model": "numpy"}


def _cache_folder() -> Path:
    """Return the folder for this state of all kernels, in the one that NUMBA_CACHE_DIR names or beside them.

    By itself Numba notices an edit of a loop's own file, and not of one whose loops are part of it: after
    an update it would run an old loop on new arguments, and might write outside of its arrays. Nor does it
    tell loops that check each index (NUMBA_BOUNDSCHECK=1) from those that do not.
    """
    if config.CACHE_DIR:
        base = Path(config.CACHE_DIR)
    elif os.access(_FOLDER, os.W_OK):
        base = _FOLDER / "__pycache__"
    else:
        base = Path(platformdirs.user_cache_dir("minicnn"))
    return base / f"minicnn-{_STATE}{'-checked' if config.BOUNDSCHECK else ''}"


def compiled(loop: Callable, signature: Any = None) -> Callable:
    """Compile a loop at its first call, or now if it has one signature only; it runs without the GIL.

    A constant in a call makes Numba compile the called loop once more, for that constant: the
    signature of a loop that is called in many ways prevents that.
    """
    if config.DISABLE_JIT:
        return loop
    try:
        function = _kept(loop, signature)
    except RuntimeError:  # there is no folder that can be written
        function = None
    if function is None:
        function = njit(signature, **_OPTIONS)(loop)  # anew in each process, rather than from elsewhere
    # Numba calls it for arguments of new types.
    function.compile = partial(_compile_uninterrupted, function.compile)
    return function


def _kept(loop: Callable, signature: Any = None) -> Callable | None:
    """Return a loop that is compiled and kept in the folder; None if Numba would keep it elsewhere."""
    with _choosing:  # Numba is told the folder by a global setting
        chosen, folder = config.CACHE_DIR, _cache_folder()
        try:
            config.CACHE_DIR = str(folder)
            function = njit(signature, cache=True, **_OPTIONS)(loop)
        finally:
            config.CACHE_DIR = chosen
    return function if Path(function.stats.cache_path).is_relative_to(folder) else None


def _compile_uninterrupted(compile: Callable, types: tuple) -> Any:
    """Compile a loop for some types; an interrupt in the compiler could leave its locks locked for ever."""
    if global_compiler_lock.is_locked():  # by this thread: it compiles a loop that calls this one
        return compile(types)
    return uninterrupted(lambda: compile(types))


class Watch(event.Listener):
    """Calls ``tell(True)`` when a compilation begins and ``tell(False)`` when it has ended, until ``close``.

    It does so in the thread that compiles. What is found in the cache is not compiled.
    """

    def __init__(self, tell: Callable[[bool], None]) -> None:
        self._tell = tell
        self._begun = 0  # a loop that calls another has it compiled meanwhile
        event.register("numba:compile", self)

    def on_start(self, event: event.Event) -> None:
        """Tell of the first of several that lie within one another."""
        self._begun += 1
        if self._begun == 1:
            self._tell(True)

    def on_end(self, event: event.Event) -> None:
        """Tell that all have ended."""
        self._begun -= 1
        if self._begun == 0:
            self._tell(False)

    def close(self) -> None:
        """Tell nothing any more."""
        event.unregister("numba:compile", self)


def inlined(loop: Callable) -> Callable:
    """Make a loop part of each loop that calls it: it is compiled with them, and not once more on its own."""
    return njit(inline="always", error_model="numpy")(loop)
