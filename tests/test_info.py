"""`info`: the BLAS library that NumPy uses."""

from pathlib import Path

import numpy as np
import pytest

from minicnn import info

NUMPY = Path(np.__file__).resolve().parent
SITE = NUMPY.parent


def library(path, version, user_api="blas"):
    return {
        "user_api": user_api,
        "internal_api": "openblas",
        "version": version,
        "filepath": str(path),
        "architecture": "Haswell",
    }


NUMPYS = library(SITE / "numpy.libs" / "libscipy_openblas64_.so", "0.3.31")
ON_A_MAC = library(NUMPY / ".dylibs" / "libscipy_openblas64_.dylib", "0.3.31")
SCIPYS = library(SITE / "scipy.libs" / "libscipy_openblas.so", "0.3.30")
SCIPYS_ON_A_MAC = library(SITE / "scipy" / ".dylibs" / "libscipy_openblas.dylib", "0.3.30")
SHARED = library("/opt/conda/lib/libopenblasp-r0.3.29.so", "0.3.29")
OPENMP = library("/opt/conda/lib/libgomp.so", "5", user_api="openmp")


@pytest.mark.parametrize(
    ("loaded", "named"),
    [
        ([NUMPYS], "openblas 0.3.31 Haswell"),
        ([NUMPYS, SCIPYS], "openblas 0.3.31 Haswell"),
        ([SCIPYS, SHARED, NUMPYS], "openblas 0.3.31 Haswell"),
        ([SCIPYS_ON_A_MAC, ON_A_MAC], "openblas 0.3.31 Haswell"),
        ([SHARED, OPENMP], "openblas 0.3.29 Haswell"),
        ([SCIPYS, SHARED], "openblas 0.3.29 Haswell"),
        ([SCIPYS, OPENMP], "not recognized"),
    ],
    ids=[
        "NumPy's wheel",
        "SciPy's wheel loaded after it",
        "all kinds loaded",
        "wheels on a Mac",
        "one library for all",
        "one library for all but SciPy's wheel",
        "NumPy's library is unknown",
    ],
)
def test_numpys_blas_is_named_and_no_other(monkeypatch, loaded, named):
    monkeypatch.setattr(info, "threadpool_info", lambda: loaded)
    assert info.blas() == named


def test_two_possible_libraries_are_named_in_a_fixed_order(monkeypatch):
    other = library("/usr/lib/libblis.so.4", "0.9")
    monkeypatch.setattr(info, "threadpool_info", lambda: [other, SHARED])
    there = info.blas()
    monkeypatch.setattr(info, "threadpool_info", lambda: [SHARED, other])
    assert info.blas() == there == "openblas 0.3.29 Haswell, openblas 0.9 Haswell"


@pytest.mark.skipif(not SITE.joinpath("numpy.libs").exists(), reason="NumPy is not a wheel")
def test_the_library_of_numpys_wheel_is_found():
    import scipy.linalg  # noqa: F401  loads a BLAS library of its own, where it is a wheel

    assert "," not in info.blas()
