"""How a kernel is compiled."""

from collections.abc import Callable

from numba import njit


def compiled(loop: Callable, signature: str | None = None) -> Callable:
    """Compile a loop at its first call, or now if it has one signature only; it runs without the GIL.

    A constant in a call makes Numba compile the called loop once more, for that constant: the
    signature of a loop that is called in many ways prevents that.
    """
    # error_model="numpy": x / 0 is inf, as in NumPy, and the loop needs no branch to raise.
    try:
        return njit(signature, cache=True, nogil=True, error_model="numpy")(loop)
    except RuntimeError:  # no folder can be written for the cache: compile anew in each process
        return njit(signature, nogil=True, error_model="numpy")(loop)


def inlined(loop: Callable) -> Callable:
    """Make a loop part of each loop that calls it: it is compiled with them, and not once more on its own."""
    return njit(inline="always", error_model="numpy")(loop)
