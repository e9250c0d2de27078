"""The CUDA sources, run on the host with GCC's sanitizers, and with the threads in reverse order."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.sanitizers,
    pytest.mark.skipif(not shutil.which("g++"), reason="no g++ on this machine"),
]
# Each kernel once, with odd sizes.
TESTS = "all_gradients_and_the_next_weights or dropout_silences or ten_steps_give"


def run_tests(*flags, **variables):
    file = Path(__file__).with_name("test_engine.py")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(file), "-k", TESTS]
    environment = os.environ | {"MINICNN_SHIM_FLAGS": " ".join(flags), **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    assert " passed" in done.stdout


def library(name):
    """Return the path of one of GCC's libraries, or skip the test."""
    command = ["g++", f"-print-file-name={name}"]
    path = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(path).is_absolute():
        pytest.skip(f"g++ has no {name} here")
    return path


def test_no_address_outside_an_array_and_no_undefined_behavior():
    # Without libstdc++ the sanitizer cannot handle C++ exceptions in other libraries.
    preload = f"{library('libasan.so')} {library('libstdc++.so')}"
    flags = "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"
    run_tests(*flags, LD_PRELOAD=preload, ASAN_OPTIONS="detect_leaks=0", NUMBA_DISABLE_JIT="0")


def test_no_barrier_is_missing():
    run_tests("-DSHIM_REVERSED")
