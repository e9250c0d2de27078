"""No kernel reads or writes outside of its arrays, by Numba's check of each index."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # compiles every kernel anew, with a check of each index

HERE = Path(__file__).parent
# A register that extends beyond the end of an array, and one that begins before it.
OUTSIDE = """
import numpy as np
from minicnn.runtime.compiled import compiled
from minicnn.engine.cpu.kernels.simd import LANES, load, store
@compiled
def copy(x, y, at):
    store(y, 0, load(x, at, 1))
x, y = np.zeros(2 * LANES, np.float32), np.zeros(LANES, np.float32)
copy(x, y, LANES)
for at in (LANES + 1, -1):
    try:
        copy(x, y, at)
    except IndexError:
        print("outside")
"""


def checked(*command):
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "PYTHONPATH": str(HERE)}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


def test_steps_and_predictions_stay_within_every_array():
    assert checked(str(HERE / "bounds.py")) == ["every index was inside"]


def test_a_register_outside_an_array_is_detected():
    assert checked("-c", OUTSIDE) == ["outside", "outside"]
