"""What ``import minicnn`` costs: nothing that only some programs need is loaded by it."""

import json
import subprocess
import sys

import pytest

import minicnn

HEAVY = ("numba", "matplotlib", "cupy", "tqdm", "safetensors", "requests", "threadpoolctl")


def loaded_after(statement):
    """Return the names of all modules that a fresh process has loaded after the statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout))


def test_import_minicnn_loads_nothing_heavy():
    loaded = loaded_after("import minicnn; minicnn.data.load; minicnn.layers.Conv2D(3, 3); minicnn.gradcheck")
    assert {"minicnn.data.loader", "minicnn.gradcheck"} <= loaded
    assert loaded.isdisjoint(HEAVY)


def test_a_prediction_loads_numba_and_no_matplotlib():
    loaded = loaded_after(
        "import numpy as np, minicnn as mc\n"
        "model = mc.Sequential([mc.layers.ReLU(), mc.layers.Flatten()], (2, 2, 1))\n"
        "model.predict(np.zeros((1, 2, 2, 1), np.uint8))"
    )
    assert "numba" in loaded
    assert loaded.isdisjoint({"matplotlib", "cupy", "requests", "tqdm"})


FINDER = """
import sys, threading, numpy as np, minicnn as mc
from minicnn import layers as L

class Finder:
    def find_spec(name, path=None, target=None):
        if name == "numba":
            print("main" if threading.current_thread() is threading.main_thread() else "another")

sys.meta_path.insert(0, Finder)
images = np.zeros((4, 6, 6, 1), np.uint8)
model = mc.Sequential([L.Flatten(), L.Dense(2)], (6, 6, 1))
sgd = mc.optimizers.SGD(0.1)
"""


@pytest.mark.parametrize(
    "statement",
    [
        "mc.Trainer(model, sgd)",
        "mc.Trainer(model, sgd, engine='fused')",
        "model.predict(images)",
        "model.forward(model.preprocess(images))",
        "mc.data.Augmentation(shift=1)(images, np.random.default_rng(0))",
        "mc.train.callbacks.ProgressBar().on_fit_begin(mc.Trainer(model, sgd, engine='layerwise'))",
    ],
)
def test_numba_is_imported_where_no_interrupt_comes(statement):
    run = subprocess.run(
        [sys.executable, "-c", FINDER + statement], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["another"]


def test_plots_do_without_pyplot(tmp_path):
    loaded = loaded_after(
        "import numpy as np, minicnn as mc\n"
        "from minicnn import plots\n"
        "data = mc.data.Dataset(np.zeros((1, 2, 2, 1), np.uint8), np.array([0]))\n"
        f"plots.save(plots.samples(data), {str(tmp_path / 'a.png')!r})"
    )
    assert "matplotlib.figure" in loaded
    assert "matplotlib.pyplot" not in loaded
    assert (tmp_path / "a.png").exists()


@pytest.mark.parametrize("name", minicnn.__all__)
def test_every_public_name_is_there(name):
    assert getattr(minicnn, name) is not None
