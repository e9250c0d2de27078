"""Shared fixtures; hypothesis draws the same examples in every run."""

from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import settings

from minicnn import plots, report
from minicnn.data import synthetic
from minicnn.metrics import Evaluation
from minicnn.runtime import threads

settings.register_profile("minicnn", derandomize=True, deadline=None, print_blob=True, max_examples=30)
settings.load_profile("minicnn")

_synthetic_once = lru_cache(maxsize=4)(synthetic.generate)


@pytest.fixture(scope="module")
def synthetic_once():
    """Draw the synthetic data only once for all tests: 24,000 images take a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "generate", _synthetic_once)
        yield


@pytest.fixture(scope="module")
def learned():
    """Count every result as learned, since tests train too shortly; return the property that was replaced."""
    original = Evaluation.learned
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Evaluation, "learned", True)
        yield original


@pytest.fixture
def no_figures(monkeypatch):
    """Draw no figures, which take most of the time of a run."""
    monkeypatch.setattr(report, "page_of", lambda run, train, test: report.Page("without figures"))


@pytest.fixture
def blank_figures(monkeypatch):
    """Write an empty file for each figure of a run: drawing takes most of the time."""
    monkeypatch.setattr(plots, "save", lambda figure, path: Path(path).write_bytes(b""))


@pytest.fixture
def thread_count(monkeypatch):
    """Return a function that sets, for this test, how many threads the kernels use, by the environment."""

    def set_count(value):
        monkeypatch.setenv("MINICNN_NUM_THREADS", str(value))
        threads._default_threads.cache_clear()

    yield set_count
    threads._default_threads.cache_clear()
