"""Limiting NumPy's matrix products to one thread each while our own threads share the work.

The threads of BLAS libraries spin for a while after each product, which takes the cores from other threads:
with a second busy process on a two-core machine a training step takes many times as long. So a product is
split into ranges of rows, one per thread of ours, and BLAS is limited to one thread meanwhile. The limit is
set and restored in a worker thread, where no interrupt can arrive in between.
"""

import os
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from minicnn.runtime.threads import uninterrupted


class _Limit:
    """Counts the users of the limit, from any thread: the first sets it, the last restores it."""

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
    """Let any thread set the next limit: threadpoolctl 3.8 obeys only the thread that set the last one."""
    import threadpoolctl

    openblas = getattr(threadpoolctl, "OpenBLASController", None)
    if openblas is not None and hasattr(openblas, "clear_controlling_thread"):
        openblas.clear_controlling_thread(force=True)


_limit = _Limit()

# A forked child starts over: a thread that held the lock in the parent does not exist there.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_limit.__init__)


@lru_cache(maxsize=1)
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController  # searches the loaded libraries, once

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
