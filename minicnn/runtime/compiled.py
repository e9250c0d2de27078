"""How kernels are compiled, and where they are cached."""

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
# Everything that compiled loops are made of; optimizers.py has the named tuples of their numbers.
_SOURCES = ("runtime/*.py", "ops/*.py", "engine/cpu/kernels/*.py", "optimizers.py")
_STATE = sha256(
    b"".join(path.read_bytes() for name in _SOURCES for path in sorted(_FOLDER.parent.glob(name)))
).hexdigest()[:16]
_choosing = Lock()
# error_model="numpy": x / 0 is inf, as in NumPy, and the loop needs no branch to raise.
_OPTIONS = {"nogil": True, "error_model": "numpy"}


def _cache_folder() -> Path:
    """Return the cache folder for the current state of all sources, in NUMBA_CACHE_DIR or beside this file.

    Numba itself notices an edit of a loop's own file, but not of a file whose loops are inlined into it:
    after an update it would run an old loop on new arguments, and might write outside of its arrays. Nor
    does it distinguish loops that check each index (NUMBA_BOUNDSCHECK=1) from those that do not.
    """
    if config.CACHE_DIR:
        base = Path(config.CACHE_DIR)
    elif os.access(_FOLDER, os.W_OK):
        base = _FOLDER / "__pycache__"
    else:
        base = Path(platformdirs.user_cache_dir("minicnn"))
    return base / f"minicnn-{_STATE}{'-checked' if config.BOUNDSCHECK else ''}"


def compiled(loop: Callable, signature: Any = None) -> Callable:
    """Compile a loop at its first call, or now if a signature is given; it runs without the GIL.

    Numba compiles a loop again for each constant that it is called with, unless it has a signature.
    """
    if config.DISABLE_JIT:
        return loop
    try:
        function = _cached(loop, signature)
    except RuntimeError:  # no folder is writable
        function = None
    if function is None:
        function = njit(signature, **_OPTIONS)(loop)  # compiled in each process
    # Numba calls this for new argument types.
    function.compile = partial(_compile_uninterrupted, function.compile)
    return function


def _cached(loop: Callable, signature: Any) -> Callable | None:
    """Return a loop that is compiled and cached in the folder; None if Numba would cache it elsewhere."""
    with _choosing:  # Numba takes the folder from a global setting
        chosen, folder = config.CACHE_DIR, _cache_folder()
        try:
            config.CACHE_DIR = str(folder)
            function = njit(signature, cache=True, **_OPTIONS)(loop)
        finally:
            config.CACHE_DIR = chosen
    return function if Path(function.stats.cache_path).is_relative_to(folder) else None


def _compile_uninterrupted(compile: Callable, types: tuple) -> Any:
    """Compile a loop for some types; an interrupt in the compiler could leave its locks locked forever."""
    if global_compiler_lock.is_locked():  # by this thread: it compiles a loop that calls this one
        return compile(types)
    return uninterrupted(lambda: compile(types))


class Watch(event.Listener):
    """Calls ``tell(True)`` when a compilation begins and ``tell(False)`` when it ends, until ``close``.

    It does so in the compiling thread. Loops found in the cache are not compiled.
    """

    def __init__(self, tell: Callable[[bool], None]) -> None:
        self._tell = tell
        self._begun = 0  # compilations nest: a loop may call another
        event.register("numba:compile", self)

    def on_start(self, event: event.Event) -> None:
        """Report the outermost compilation."""
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
    """Make a loop part of each loop that calls it: it is compiled with them, and not once more on its own."""
    return njit(inline="always", error_model="numpy")(loop)
