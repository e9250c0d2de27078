"""Threads for the CPU kernels: one contiguous range of images each.

The Numba kernels release the GIL and a thread writes only to its own images, so there is nothing to
lock and the result does not depend on who finishes first. Numba's own ``parallel=True`` would do
the same after a longer compilation, is not safe to call from several Python threads with every
threading layer, and dies in a forked child.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import lru_cache

from minicnn.errors import ConfigError


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=1)
def num_threads() -> int:
    """Return how many threads the kernels use: ``MINICNN_NUM_THREADS`` if it is set, else every core.

    Raises
    ------
    ConfigError
        If the variable is not a whole number of at least 1.
    """
    text = os.environ.get("MINICNN_NUM_THREADS")
    if text is None:
        return available_cores()
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"MINICNN_NUM_THREADS must be a whole number of at least 1, got {text!r}")
    return int(text)


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=num_threads(), thread_name_prefix="minicnn")


# A forked child has none of its parent's threads: it makes its own pool at first use.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)


def for_ranges(task: Callable[[int, int], None], n: int) -> None:
    """Call ``task(start, stop)`` on consecutive ranges that cover 0 … n − 1, one a thread; wait for all."""
    parts = min(num_threads(), n)
    if parts <= 1:
        task(0, n)
        return
    bounds = [n * part // parts for part in range(parts + 1)]
    # The caller's context goes along, so that a thread warns no more than ``numpy.errstate`` allows.
    others = [_pool().submit(copy_context().run, task, *bounds[part : part + 2]) for part in range(1, parts)]
    task(*bounds[:2])
    for other in others:
        other.result()
