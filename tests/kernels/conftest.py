"""What the tests of the kernels share."""

import pytest

from minicnn.kernels import threads


@pytest.fixture
def thread_count(monkeypatch):
    """Return a function that sets how many threads the kernels use, for this test."""

    def set_count(value):
        if threads._pool.cache_info().currsize:
            threads._pool().shutdown()
        threads._pool.cache_clear()
        threads.num_threads.cache_clear()
        monkeypatch.setenv("MINICNN_NUM_THREADS", str(value))

    yield set_count
    set_count(1)
    threads.num_threads.cache_clear()
    threads._pool.cache_clear()
