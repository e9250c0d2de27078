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
TESTS = [
    "test_engine.py::test_all_gradients_and_the_next_weights_are_those_of_the_layers",
    "test_engine.py::test_dropout_silences_its_share_and_leaves_predictions_alone",
    "test_engine.py::test_ten_steps_give_the_losses_of_the_layers",
]


def run_tests(*flags, **variables):
    folder = Path(__file__).parent
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        *(str(folder / t) for t in TESTS),
    ]
    environment = os.environ | {"MINICNN_SHIM_FLAGS": " ".join(flags), **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    assert " passed" in done.stdout


def test_no_address_outside_an_array_and_no_undefined_behavior():
    library = subprocess.run(
        ["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    )
    if not Path(library.stdout.strip()).is_absolute():
        pytest.skip("g++ has no AddressSanitizer here")
    run_tests(
        "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
        LD_PRELOAD=library.stdout.strip(), ASAN_OPTIONS="detect_leaks=0", NUMBA_DISABLE_JIT="0",
    )  # fmt: skip


def test_no_barrier_is_missing():
    run_tests("-DSHIM_REVERSED")
