"""How a kernel is compiled, and where it is kept."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from numba import config, njit

_FOLDER = Path(__file__).parent
_STATE = sha256(b"".join(path.read_bytes() for path in sorted(_FOLDER.glob("*.py")))).hexdigest()[:16]


@contextmanager
def _cache_of_this_state() -> Iterator[None]:
    """Let Numba keep what it compiles in a folder for this state of all kernels.

    By itself it notices an edit of a loop's own file, and not of one whose loops are part of it: after
    an update it would run an old loop on new arguments, and might write outside of its arrays.
    """
    chosen = config.CACHE_DIR  # by NUMBA_CACHE_DIR
    config.CACHE_DIR = str(Path(chosen or _FOLDER / "__pycache__") / f"minicnn-{_STATE}")
    try:
        yield
    finally:
        config.CACHE_DIR = chosen


def compiled(loop: Callable, signature: str | None = None) -> Callable:
    """Compile a loop at its first call, or now if it has one signature only; it runs without the GIL.

    A constant in a call makes Numba compile the called loop once more, for that constant: the
    signature of a loop that is called in many ways prevents that.
    """
    # error_model="numpy": x / 0 is inf, as in NumPy, and the loop needs no branch to raise.
    try:
        with _cache_of_this_state():
            return njit(signature, cache=True, nogil=True, error_model="numpy")(loop)
    except RuntimeError:  # no folder can be written for the cache: compile anew in each process
        return njit(signature, nogil=True, error_model="numpy")(loop)


def inlined(loop: Callable) -> Callable:
    """Make a loop part of each loop that calls it: it is compiled with them, and not once more on its own."""
    return njit(inline="always", error_model="numpy")(loop)
