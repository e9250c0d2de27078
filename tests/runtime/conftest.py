"""What the tests of the kernels share."""

import pytest

from minicnn.runtime import threads


@pytest.fixture
def thread_count(monkeypatch):
    """Return a function that sets how many threads the kernels use, for this test, by the variable."""

    def set_count(value):
        monkeypatch.setenv("MINICNN_NUM_THREADS", str(value))
        threads._default_threads.cache_clear()

    yield set_count
    threads._default_threads.cache_clear()
