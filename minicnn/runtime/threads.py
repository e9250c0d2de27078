"""Threads for the CPU kernels: one contiguous range of images each.

The Numba kernels release the GIL and a thread writes only to its own images, so nothing is locked and the
result does not depend on timing. Numba's own ``parallel=True`` takes longer to compile, is not safe to call
from several Python threads with every threading layer, and dies in a forked child.

Ctrl-C may arrive at any line of Python, but only in the main thread. So the caller only hands a round to the
worker threads and waits: they are never interrupted, and each round is finished before the interrupt is
raised.
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
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_chosen: int | None = None


def set_num_threads(n: int | None) -> None:
    """Set how many threads the kernels use from now on, or None for the default of ``num_threads``.

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

    That is the number given to ``set_num_threads``, else ``MINICNN_NUM_THREADS``, else the number of cores
    that this process may use.

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


# Whether the current code is part of a round. Its own rounds then run in its thread: a worker that waits for
# other workers could wait forever.
_in_round: ContextVar[bool] = ContextVar("minicnn_in_round", default=False)


class _Round:
    """A task to be called once for each part, each in its own worker.

    A caller that was interrupted may repeat everything here. Each decision is a single operation of an
    object implemented in C, which an interrupt cannot split.
    """

    def __init__(self, task: Callable[[int], None], parts: int) -> None:
        self.errors: dict[int, BaseException] = {}
        self._task = task
        # With the context of the caller, threads obey its ``numpy.errstate``.
        self._contexts: list[Context | None] = [copy_context() for _ in range(parts)]
        self._workers = _first_workers(parts)
        self._ended = count(1)
        self._finished = allocate_lock()
        self._finished.acquire()  # released by the part that ends last
        self.done = False

    def complete(self) -> None:
        """Give all parts to their workers, and wait until they are done."""
        for part, worker in enumerate(self._workers):
            worker.put((self, part))
        while not self.done:
            self._finished.acquire()

    def run(self, part: int) -> None:
        """Run a part, unless it has been run. A part always goes to the same worker."""
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


# The queue of each worker. There are as many as were ever needed at once. Part 0 always goes to the first and
# part 1 to the second, so that a part finds its data in the cache of its core.
_workers: list[SimpleQueue[Any]] = []

# The current round of each calling thread; after a second interrupt it may have no one waiting.
_rounds: dict[int, _Round] = {}


def _first_workers(parts: int) -> list[SimpleQueue[Any]]:
    while len(_workers) < parts:
        rounds = SimpleQueue()
        # Not threading.Thread, whose start() an interrupt can break. The interpreter does not wait for such
        # threads at exit.
        start_new_thread(_work, (rounds, f"minicnn-{len(_workers)}"))
        _workers.append(rounds)
    return _workers[:parts]


def _work(rounds: SimpleQueue[Any], name: str) -> None:
    current_thread().name = name
    while True:
        current, part = rounds.get()
        current.run(part)
        del current  # else the arrays of this round stay alive until the next one


def _forget_workers() -> None:
    _workers.clear()
    _rounds.clear()


# A forked child has none of the threads of its parent; it starts its own at first use.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)


def run_parts(task: Callable[[int], None], parts: int) -> None:
    """Call ``task(part)`` for each part 0 … parts − 1, each in its own thread, and wait for all.

    Every part is run, whatever happens. Then the error of the first failing part is raised, or an interrupt.
    A single part is run in a thread too, so that it is not interrupted.
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
        _insist(current)
        _rounds.pop(caller, None)
    if current.errors:
        error = current.errors[min(current.errors)]
        current.errors.clear()
        try:
            raise error
        finally:
            del error  # breaks the cycle with its traceback, which would keep the arrays alive


def _insist(current: _Round) -> None:
    """Complete a round even if interrupted: its threads write to arrays that the caller may use again."""
    interrupt = None
    while not current.done:
        try:
            current.complete()
        except BaseException as reason:  # whatever a signal handler raises
            interrupt = reason
    if interrupt is not None:
        raise interrupt


T = TypeVar("T")


def uninterrupted(call: Callable[[], T]) -> T:
    """Return what ``call()`` returns; an interrupt is raised after it has finished."""
    results: list[T] = []
    run_parts(lambda part: results.append(call()), 1)
    return results[0]


def for_ranges(task: Callable[[int, int], None], n: int) -> None:
    """Call ``task(start, stop)`` on consecutive ranges that cover 0 … n − 1, one per thread; wait for all.

    A single range is run by the caller, where an interrupt does no harm: the result is dropped.
    """
    parts = min(num_threads(), n)
    if parts == 1:
        task(0, n)
    else:
        run_parts(lambda part: task(n * part // parts, n * (part + 1) // parts), parts)
