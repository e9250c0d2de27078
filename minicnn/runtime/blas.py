"""Limiting BLAS to one thread per matrix product, while our own threads share its rows.

BLAS threads spin after each product, which slows down all other threads on a busy machine: with a second busy
process on two cores, a training step takes many times as long. The limit is set and restored in a worker
thread, where no interrupt can arrive in between.
"""

import os
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from minicnn.runtime.threads import uninterrupted


class _Limit:
    """Counts the users of the limit, in all threads: the first sets it, the last restores it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._limiter: Any = None

    def enter(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                _let_any_thread_set()
                self._limiter = _controller().limit(limits=1, user_api="blas")

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                _let_any_thread_set()
                self._limiter.restore_original_limits()
                _let_any_thread_set()


def _let_any_thread_set() -> None:
    """Allow any thread to set the limit: threadpoolctl 3.8 accepts only the thread that set it last."""
    import threadpoolctl

    openblas = getattr(threadpoolctl, "OpenBLASController", None)
    if openblas is not None and hasattr(openblas, "clear_controlling_thread"):
        openblas.clear_controlling_thread(force=True)


_limit = _Limit()

# Reset it in a forked child, where the thread that held the lock in the parent does not exist.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_limit.__init__)


@lru_cache(maxsize=1)
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController  # searches the loaded libraries

    return ThreadpoolController()


def single_threaded(work: Callable[[], None]) -> None:
    """Call ``work`` with BLAS limited to one thread; several threads may do so at once."""
    uninterrupted(lambda: _limited(work))


def _limited(work: Callable[[], None]) -> None:
    _limit.enter()
    try:
        work()
    finally:
        _limit.leave()
