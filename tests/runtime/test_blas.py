"""BLAS is limited to one thread during a product, and restored afterwards."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from threadpoolctl import threadpool_info, threadpool_limits

from minicnn.ops import cpu
from minicnn.runtime import blas
from minicnn.runtime.blas import single_threaded
from tests.strategies import whole


def blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_blas_threads():
    with threadpool_limits(2, user_api="blas"):
        if blas_threads() != {2}:
            pytest.skip("this BLAS cannot be set to two threads")
        yield
        assert blas_threads() == {2}


def test_one_thread_inside_and_two_again_outside():
    seen = []

    def inner():
        single_threaded(lambda: seen.append(blas_threads()))
        seen.append(blas_threads())

    single_threaded(inner)
    assert seen == [{1}, {1}]
    assert blas_threads() == {2}


def test_an_exception_restores_the_thread_limit():
    with pytest.raises(ZeroDivisionError):
        single_threaded(lambda: 1 / 0)
    assert blas_threads() == {2}


def test_the_last_of_several_callers_restores_the_limit():
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        one.submit(blas._limit.enter).result()
        assert blas_threads() == {1}
        other.submit(blas._limit.enter).result()
        one.submit(blas._limit.leave).result()
        assert blas_threads() == {1}
        other.submit(blas._limit.leave).result()
        assert blas_threads() == {2}


def test_a_limit_set_outside_ours_is_restored():
    with ThreadPoolExecutor(1) as other:  # still alive when the outer limit ends
        with threadpool_limits(1, user_api="blas"):
            other.submit(single_threaded, lambda: None).result()
            assert blas_threads() == {1}
        assert blas_threads() == {2}


def test_the_limit_is_set_in_a_worker_thread(thread_count, monkeypatch):
    callers = set()
    enter, leave = blas._limit.enter, blas._limit.leave
    monkeypatch.setattr(blas._limit, "enter", lambda: callers.add(threading.current_thread()) or enter())
    monkeypatch.setattr(blas._limit, "leave", lambda: callers.add(threading.current_thread()) or leave())
    for count in (1, 3):
        thread_count(count)
        cpu.matmul(whole(0, (7, 5)), whole(1, (5, 4)))
        cpu.sum_rows(whole(0, (7, 5)))
    assert callers
    assert threading.main_thread() not in callers


class Watched(np.ndarray):
    """An array that records its rows and the number of BLAS threads at each product."""

    seen: list

    def __array_finalize__(self, parent):
        self.seen = getattr(parent, "seen", [])

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        self.seen.append((ufunc, len(self), blas_threads()))
        return getattr(ufunc, method)(*map(np.asarray, inputs), **options)


@pytest.mark.parametrize(("count", "rows"), [(1, [7]), (2, [3, 4]), (3, [2, 2, 3])])
def test_a_product_is_split_into_one_range_per_thread_with_single_threaded_blas(thread_count, count, rows):
    thread_count(count)
    a, b = whole(0, (7, 5)).view(Watched), whole(1, (5, 4))
    assert_array_equal(cpu.matmul(a, b), np.asarray(a) @ b)
    assert {(ufunc, *threads) for ufunc, _, threads in a.seen} == {(np.matmul, 1)}
    assert sorted(n for _, n, _ in a.seen) == rows


def test_a_sum_of_rows_is_a_product_with_single_threaded_blas():
    x = whole(0, (7, 5)).view(Watched)
    assert_array_equal(cpu.sum_rows(x), np.asarray(x).sum(axis=0))
    assert x.seen == [(np.matmul, 7, {1})]
