"""Threads for the CPU kernels: one contiguous range of images each.

The Numba kernels release the GIL and a thread writes only to its own images, so there is nothing to
lock and the result does not depend on who finishes first. Numba's own ``parallel=True`` would do
the same after a longer compilation, is not safe to call from several Python threads with every
threading layer, and dies in a forked child.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import ContextVar, copy_context
from functools import lru_cache

from minicnn.checks import whole_number
from minicnn.errors import ConfigError


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_chosen: int | None = None


def set_num_threads(n: int | None) -> None:
    """Set how many threads the kernels use from now on; None: what ``num_threads`` finds by itself.

    The same number of threads gives the same results, to the last bit.

    Raises
    ------
    ConfigError
        If n is not a whole number of at least 1.
    """
    global _chosen
    _chosen = None if n is None else whole_number(n, "the number of threads")


def num_threads() -> int:
    """Return how many threads the kernels use.

    That is what ``set_num_threads`` was given, else ``MINICNN_NUM_THREADS``, else as many as there
    are cores that this process may use.

    Raises
    ------
    ConfigError
        If the variable is not a whole number of at least 1.
    """
    return _default_threads() if _chosen is None else _chosen


@lru_cache(maxsize=1)
def _default_threads() -> int:
    text = os.environ.get("MINICNN_NUM_THREADS")
    if text is None:
        return available_cores()
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"MINICNN_NUM_THREADS must be a whole number of at least 1, got {text!r}")
    return int(text)


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    """Return the threads; another number makes new ones, and the old ones end when they are idle."""
    return ThreadPoolExecutor(max_workers=threads, thread_name_prefix="minicnn")


# A forked child has none of its parent's threads: it makes its own pool at first use.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)


# Whether the code that asks is itself part of a round: its own rounds are then run in its thread, for
# a thread of the pool that waited for others of the pool could wait for ever.
_in_round: ContextVar[bool] = ContextVar("minicnn_in_round", default=False)


def run_parts(task: Callable[[int], None], parts: int) -> None:
    """Call ``task(part)`` for each part 0 … parts − 1, each in a thread of its own, and wait for all."""
    if parts == 1 or _in_round.get():
        for part in range(parts):
            task(part)
        return
    pool, others = _pool(num_threads()), []
    token = _in_round.set(True)
    try:
        for part in range(1, parts):
            # The caller's context goes along: a thread warns no more than ``numpy.errstate`` allows.
            others.append(pool.submit(copy_context().run, task, part))
        task(0)
    finally:
        _in_round.reset(token)
        _wait_for_all(others)
    for other in others:
        other.result()


def _wait_for_all(others: list[Future]) -> None:
    """Wait even if interrupted: the threads write to arrays that the caller may use again."""
    interrupt = None
    while not all(other.done() for other in others):
        try:
            wait(others)
        except KeyboardInterrupt as reason:
            interrupt = reason
    if interrupt is not None:
        raise interrupt


def for_ranges(task: Callable[[int, int], None], n: int) -> None:
    """Call ``task(start, stop)`` on consecutive ranges that cover 0 … n − 1, one a thread; wait for all."""
    parts = min(num_threads(), n)
    run_parts(lambda part: task(n * part // parts, n * (part + 1) // parts), parts)
