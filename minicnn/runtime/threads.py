"""Threads for the CPU kernels, each with its own range of images.

The Numba kernels release the GIL, and a thread writes only to its own images, so nothing is locked and the
result does not depend on timing.

Ctrl-C may arrive at any line of Python, but only in the main thread. So the caller only hands a round of work
to the worker threads and waits: each round is completed before the interrupt is raised.
"""

import os
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from functools import lru_cache
from itertools import count
from queue import SimpleQueue
from threading import current_thread, get_ident
from typing import Any, TypeVar

from minicnn.checks import whole_number
from minicnn.errors import ConfigError


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_chosen: int | None = None


def set_num_threads(n: int | None) -> None:
    """Set the number of threads of the kernels, at least 1, or None for the default of ``num_threads``.

    The same number of threads gives bitwise equal results.
    """
    global _chosen
    _chosen = None if n is None else whole_number(n, "the number of threads")


def num_threads() -> int:
    """Return the number of threads of the kernels.

    That is the number passed to ``set_num_threads``, else the environment variable ``MINICNN_NUM_THREADS``
    (ConfigError if it is invalid), else the number of available cores.
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


# Whether the current code is part of a round. Nested rounds run in the same thread: a worker that waits for
# other workers could wait forever.
_in_round: ContextVar[bool] = ContextVar("minicnn_in_round", default=False)


class _Round:
    """A task that is called once for each part, each in its own worker.

    An interrupted caller may repeat ``complete``: each decision is a single operation of an object
    implemented in C, which an interrupt cannot split.
    """

    def __init__(self, task: Callable[[int], None], parts: int) -> None:
        self.errors: dict[int, BaseException] = {}
        self._task = task
        # The caller's context, so that its ``numpy.errstate`` applies in the threads.
        self._contexts: list[Context | None] = [copy_context() for _ in range(parts)]
        self._workers = _first_workers(parts)
        self._ended = count(1)
        self._finished = allocate_lock()
        self._finished.acquire()  # released by the last part
        self.done = False

    def complete(self) -> None:
        """Hand all parts to their workers, and wait until they are done."""
        for part, worker in enumerate(self._workers):
            worker.put((self, part))
        while not self.done:
            self._finished.acquire()

    def run(self, part: int) -> None:
        """Run a part, unless it has been run already."""
        context, self._contexts[part] = self._contexts[part], None
        if context is None:
            return
        try:
            context.run(self._run, part)
        except BaseException as error:
            self.errors[part] = error
        if next(self._ended) == len(self._contexts):
            self.done = True
            self._finished.release()

    def _run(self, part: int) -> None:
        _in_round.set(True)
        self._task(part)


# The queue of each worker. Part i always goes to worker i, whose core has its data in the cache.
_workers: list[SimpleQueue[Any]] = []

# The current round of each calling thread; after a second interrupt nobody may be waiting for it.
_rounds: dict[int, _Round] = {}


def _first_workers(parts: int) -> list[SimpleQueue[Any]]:
    while len(_workers) < parts:
        rounds = SimpleQueue()
        # Not threading.Thread, whose start() an interrupt can break. These threads end with the process.
        start_new_thread(_work, (rounds, f"minicnn-{len(_workers)}"))
        _workers.append(rounds)
    return _workers[:parts]


def _work(rounds: SimpleQueue[Any], name: str) -> None:
    current_thread().name = name
    while True:
        current, part = rounds.get()
        current.run(part)
        del current  # frees the arrays of this round


def _forget_workers() -> None:
    _workers.clear()
    _rounds.clear()


# A forked child does not have its parent's threads; it starts its own at first use.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)


def run_parts(task: Callable[[int], None], parts: int) -> None:
    """Call ``task(part)`` for 0 … parts − 1, each in its own thread (also a single one); wait for all.

    All parts run, even after an error or an interrupt. Then the error of the first failing part is raised, or
    the interrupt.
    """
    caller = get_ident()
    if caller in _rounds:
        _rounds[caller].complete()
    if _in_round.get():
        for part in range(parts):
            task(part)
        return
    current = _Round(task, parts)
    try:
        _rounds[caller] = current
        current.complete()
    finally:
        _finish(current)
        _rounds.pop(caller, None)
    if current.errors:
        error = current.errors[min(current.errors)]
        current.errors.clear()
        try:
            raise error
        finally:
            del error  # breaks the cycle with its traceback, which refers to arrays


def _finish(current: _Round) -> None:
    """Complete a round even if interrupted: its threads write to arrays that the caller may reuse."""
    interrupt = None
    while not current.done:
        try:
            current.complete()
        except BaseException as reason:  # signal handlers may raise anything
            interrupt = reason
    if interrupt is not None:
        raise interrupt


T = TypeVar("T")


def uninterrupted(call: Callable[[], T]) -> T:
    """Return ``call()``; an interrupt is raised after it has finished."""
    results: list[T] = []
    run_parts(lambda part: results.append(call()), 1)
    return results[0]


def part_range(n: int, part: int, parts: int) -> tuple[int, int]:
    """Return the range of ``part`` if 0 … n − 1 is split into ``parts``, as (start, stop)."""
    return n * part // parts, n * (part + 1) // parts


def for_ranges(task: Callable[[int, int], None], n: int) -> None:
    """Call ``task(start, stop)`` on consecutive ranges that cover 0 … n − 1, one per thread; wait for all.

    A single range runs in the caller's thread, where an interrupt only discards its result.
    """
    parts = min(num_threads(), n)
    if parts == 1:
        task(0, n)
    else:
        run_parts(lambda part: task(*part_range(n, part, parts)), parts)
