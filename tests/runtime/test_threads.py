"""Results do not depend on the calling thread or on a fork.

Nor, to the last bit, on how many threads there are; products and sums of rows, where BLAS decides the
order of the sum, are equal to rounding.
"""

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import minicnn
from minicnn.errors import ConfigError
from minicnn.ops import cpu, reference
from minicnn.runtime import threads
from tests.interrupts import interrupted_everywhere
from tests.strategies import normal

CONV = (3, 2), (2, 1), (1, 2), ((1, 0), (0, 1))
POOL = (3, 2), (2, 1), ((1, 0), (0, 1))


def by_image(kernels, seed=0, N=5):
    """Return the results of every operation that splits its images among threads, from one seed."""
    x = normal(seed, (N, 7, 6, 3), "float32")
    cols = kernels.im2col(x, *CONV)
    y, argmax = kernels.max_pool_forward(x, *POOL)
    mean, positive = kernels.avg_pool_forward(x, *POOL), kernels.relu_forward(x)
    return [
        cols,
        kernels.col2im(cols, x.shape, *CONV),
        y,
        kernels.max_pool_backward(y, argmax, x.shape, *POOL),
        mean,
        kernels.avg_pool_backward(mean, x.shape, *POOL),
        positive,
        kernels.relu_backward(x, positive),
    ]


def assert_all_equal(results, expected):
    for result, wanted in zip(results, expected, strict=True):
        assert_array_equal(result, wanted)


@pytest.mark.parametrize("N", [1, 2, 5, 7])
@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_the_thread_count_does_not_change_a_bit_of_what_is_shared_by_image(thread_count, count, N):
    thread_count(count)
    assert threads.num_threads() == count
    assert_all_equal(by_image(cpu, N=N), by_image(reference, N=N))


def products(kernels):
    """Return the results of the operations that use BLAS."""
    a, b = normal(0, (37, 50), "float32"), normal(1, (50, 20), "float32")
    return [kernels.matmul(a, b), kernels.matmul(a.T, a), kernels.sum_rows(a)]


@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_products_are_reproducible_and_with_other_thread_counts_equal_to_rounding(thread_count, count):
    thread_count(count)
    results = products(cpu)
    assert_all_equal(products(cpu), results)
    for result, expected in zip(results, products(reference), strict=True):
        assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("count", "n"), [(1, 5), (2, 5), (3, 7), (16, 3), (4, 1)])
def test_ranges_cover_every_image_once_and_use_every_thread(thread_count, count, n):
    thread_count(count)
    seen = []
    threads.for_ranges(lambda a, b: seen.append((a, b)), n)
    assert sorted(i for a, b in seen for i in range(a, b)) == list(range(n))
    assert len(seen) == min(count, n)


def test_an_error_in_any_range_is_raised(thread_count):
    thread_count(2)

    def fail_late(start, stop):
        if start > 0:
            raise ZeroDivisionError("in the second range")

    with pytest.raises(ZeroDivisionError, match="second range"):
        threads.for_ranges(fail_late, 4)


def test_the_errstate_of_the_caller_applies_in_every_thread(thread_count):
    thread_count(2)
    x, ignored = np.full((4, 1), 1e300), []
    with np.errstate(over="ignore"):  # else the overflow warns, and a warning is an error here
        threads.for_ranges(lambda a, b: ignored.append(x[a:b] * x[a:b]), 4)
    assert len(ignored) == 2


@pytest.mark.parametrize("bad", ["0", "-1", "two", "1.5", ""])
def test_a_bad_thread_count_is_rejected(thread_count, bad):
    thread_count(bad)
    with pytest.raises(ConfigError, match="MINICNN_NUM_THREADS"):
        threads.num_threads()


def test_by_default_every_core_is_used(thread_count, monkeypatch):
    thread_count(1)
    monkeypatch.delenv("MINICNN_NUM_THREADS")
    threads._default_threads.cache_clear()
    assert threads.num_threads() == threads.available_cores() >= 1


def test_several_python_threads_may_call_the_kernels_at_once(thread_count):
    thread_count(2)
    expected = [by_image(reference, seed) for seed in range(4)]
    with ThreadPoolExecutor(max_workers=4) as callers:
        for _ in range(5):
            for results, wanted in zip(
                callers.map(lambda seed: by_image(cpu, seed), range(4)), expected, strict=True
            ):
                assert_all_equal(results, wanted)


FORK = """
import os
import signal
import numpy as np
from minicnn.ops import cpu

x = np.random.default_rng(0).normal(size=(4, 6, 5, 2))
before = cpu.im2col(x, (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)))  # starts the parent's threads
child = os.fork()
if child == 0:
    signal.alarm(60)  # a child that waits for threads it does not have is ended
after = cpu.im2col(x, (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)))
same = np.array_equal(before, after)
if child == 0:
    os._exit(0 if same else 1)
assert same and os.waitpid(child, 0)[1] == 0
print("both agree")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_the_kernels_work_in_a_forked_child(monkeypatch):
    monkeypatch.setenv("MINICNN_NUM_THREADS", "2")
    # From Python 3.12 on fork warns of threads; this shows that it works.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (run.stdout.strip(), run.returncode) == ("both agree", 0), run.stderr


def test_a_result_never_shares_memory_with_its_argument():
    x = np.ones((2, 3, 3, 1), "float32")
    for result in (
        cpu.relu_forward(x),
        reference.relu_forward(x),
        cpu.im2col(x, (1, 1), *2 * [(1, 1)], POOL[2]),
    ):
        assert not np.shares_memory(result, x)


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "2"])
def test_an_invalid_number_of_threads_is_rejected(bad):
    with pytest.raises(ConfigError, match="number of threads"):
        threads.set_num_threads(bad)


def test_set_num_threads_overrides_the_variable_until_none(thread_count):
    thread_count(3)
    minicnn.set_num_threads(2)
    assert threads.num_threads() == 2
    minicnn.set_num_threads(None)
    assert threads.num_threads() == 3


def test_every_part_is_done_even_if_one_fails(thread_count):
    thread_count(3)
    done = []

    def fail_first(part):
        if part == 0:
            raise ZeroDivisionError("in the first part")
        time.sleep(0.05)
        done.append(part)

    with pytest.raises(ZeroDivisionError, match="first part"):
        threads.run_parts(fail_first, 3)
    assert sorted(done) == [1, 2]


class Parts:
    """A task that records which parts are running, and which are done."""

    def __init__(self):
        self.running, self.done = set(), []

    def __call__(self, part):
        self.running.add(part)
        time.sleep(0.0005)
        self.done.append(part)
        self.running.remove(part)

    def assert_whole(self, count=3):
        """Check that no part is running, and that all parts are done, or none."""
        assert not self.running
        assert sorted(self.done) in ([], list(range(count)))


def round_of(count):
    """Return a round to be interrupted, and its parts."""
    parts = Parts()
    return (lambda: threads.run_parts(parts, count)), parts


@pytest.mark.parametrize("count", [1, 3])
def test_an_interrupt_at_any_bytecode_of_the_hand_over_waits_for_the_threads_and_breaks_nothing(count):
    threads.run_parts(Parts(), count)  # the workers are there
    times = 0
    for parts in interrupted_everywhere(lambda: round_of(count), threads):
        parts.assert_whole(count)
        threads.run_parts(following := Parts(), 3)
        assert sorted(following.done) == [0, 1, 2]
        times += 1
    assert times > 100


def test_an_interrupt_while_the_threads_are_started_breaks_nothing(monkeypatch):
    monkeypatch.setattr(threads, "_workers", [])
    for parts in interrupted_everywhere(lambda: round_of(3), threads):
        parts.assert_whole()
        threads.run_parts(following := Parts(), 3)
        assert sorted(following.done) == [0, 1, 2]
        threads._workers.clear()


def test_an_uninterrupted_call_completes_or_does_not_start():
    def prepare():
        begun, ended = [], []

        def call():
            begun.append(threading.current_thread())
            time.sleep(0.0005)
            ended.append(True)

        return (lambda: threads.uninterrupted(call)), (begun, ended)

    for begun, ended in interrupted_everywhere(prepare, threads):
        assert len(begun) == len(ended) <= 1
        assert threading.main_thread() not in begun
    assert threads.uninterrupted(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        threads.uninterrupted(lambda: 1 / 0)


class Interrupting:
    """A queue or a lock; some operations are interrupted, before or after their effect."""

    def __init__(self, inner, interrupts):
        self.inner, self.interrupts = inner, interrupts

    def put(self, job):
        self._operate(self.inner.put, job)

    def acquire(self):
        self._operate(self.inner.acquire)

    def release(self):
        self.inner.release()

    def _operate(self, operation, *arguments):
        before, after = self.interrupts.pop() if self.interrupts else (False, False)
        if before:
            raise KeyboardInterrupt
        operation(*arguments)
        if after:
            raise KeyboardInterrupt


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=12))
def test_any_number_of_interrupts_in_a_row_break_nothing(interrupts):
    threads.run_parts(Parts(), 3)
    parts, allocate = Parts(), threads.allocate_lock
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "allocate_lock", lambda: Interrupting(allocate(), interrupts))
        patch.setattr(threads, "_workers", [Interrupting(worker, interrupts) for worker in threads._workers])
        try:
            threads.run_parts(parts, 3)
            parts.assert_whole()
        except KeyboardInterrupt:
            parts.assert_whole()
    threads.run_parts(following := Parts(), 3)
    assert sorted(following.done) == [0, 1, 2]


def test_an_abandoned_round_is_finished_before_the_next_begins(monkeypatch):
    def leave(current):
        raise KeyboardInterrupt

    threads.run_parts(Parts(), 3)
    left = Parts()
    with monkeypatch.context() as patch:
        patch.setattr(threads, "_finish", leave)
        patch.setattr(threads._Round, "complete", lambda self: self._workers[2].put((self, 2)))
        with pytest.raises(KeyboardInterrupt):
            threads.run_parts(left, 3)
    seen = []
    threads.run_parts(lambda part: seen.append(sorted(left.done)), 3)
    assert seen == [[0, 1, 2]] * 3


def test_an_error_does_not_keep_the_arrays_alive(thread_count):
    thread_count(2)
    x = np.zeros(10)
    gone = weakref.ref(x)

    def fail(part, x=x):
        raise ZeroDivisionError

    gc.disable()
    try:
        with pytest.raises(ZeroDivisionError) as caught:
            threads.run_parts(fail, 2)
        del caught, fail, x
        assert gone() is None
    finally:
        gc.enable()


def test_there_are_as_many_workers_as_the_largest_round_needed():
    threads.run_parts(Parts(), 3)
    before = list(threads._workers)
    for parts in (2, 3, 2):
        threads.run_parts(lambda part: None, parts)
    assert threads._workers == before
    assert all(isinstance(worker, SimpleQueue) for worker in before)


def run_python(code, *arguments, seconds=120):
    """Return the output of another Python process, which must exit with 0 within the time."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


EXIT = """
import sys, threading, time
from minicnn.runtime import threads

threads.run_parts(lambda part: None, 3)
if sys.argv[1] == "in a round":  # of a thread that the interpreter does not wait for
    threading.Thread(target=threads.run_parts, args=(lambda part: time.sleep(60), 3), daemon=True).start()
    time.sleep(0.1)
print("ends")
"""


@pytest.mark.parametrize("state", ["idle", "in a round"])
def test_the_interpreter_ends_without_waiting(state):
    assert run_python(EXIT, state, seconds=30) == "ends\n"


SIGNALS = """
import random, signal, time
from minicnn.runtime import threads

running, left, interrupts = set(), 0, 0

def interrupt(*_):
    global left, interrupts
    if left:
        left, interrupts = left - 1, interrupts + 1
        raise KeyboardInterrupt

def task(part):
    running.add(part)
    time.sleep(0)
    running.remove(part)

def rounds_until_interrupted():
    global left
    left = 2  # the second while the first is being dealt with
    signal.setitimer(signal.ITIMER_REAL, draw.uniform(1e-5, 1e-3), draw.uniform(1e-5, 1e-4))
    while True:
        threads.run_parts(task, 3)

signal.signal(signal.SIGALRM, interrupt)
draw = random.Random(0)
while interrupts < 100:
    try:
        try:
            rounds_until_interrupted()
        finally:
            left = 0
    except KeyboardInterrupt:
        pass
    signal.setitimer(signal.ITIMER_REAL, 0)
    seen = []
    threads.run_parts(seen.append, 3)
    assert sorted(seen) == [0, 1, 2] and not running
print(interrupts)
"""


def test_signals_at_random_moments_break_nothing():
    assert int(run_python(SIGNALS, seconds=600)) >= 100
