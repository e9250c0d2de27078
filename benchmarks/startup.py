"""Start-up time: of the import, and of everything up to the end of the first training step, cold and warm.

Each measurement is a new process. Cold means with an empty Numba cache, so that everything is compiled; warm
with the cache of the run before. The network is M1 of ``peers.py``.

    python benchmarks/startup.py --runs 5
    python benchmarks/startup.py --device cuda    # cold: CuPy's cache is empty, too
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

import report
from matplotlib.figure import Figure

from minicnn.backend import resolve_device
from minicnn.errors import DeviceError
from minicnn.info import gpu

IMPORT = """
import time; start = time.perf_counter()
import minicnn
print(time.perf_counter() - start)
"""

FIRST_STEP = """
import time; start = time.perf_counter()
import numpy as np, minicnn as mc
from minicnn import layers as L
model = mc.Sequential(
    [L.Conv2D(32, 3, padding="same"), L.ReLU(), L.MaxPool2D(2),
     L.Conv2D(64, 3, padding="same"), L.ReLU(), L.MaxPool2D(2),
     L.Flatten(), L.Dense(128), L.ReLU(), L.Dense(10)], input_shape=(28, 28, 1))
images = np.random.default_rng(0).integers(0, 256, (128, 28, 28, 1), np.uint8)
data = mc.data.Dataset(images, np.arange(128) % 10)
trainer = mc.Trainer(model, mc.optimizers.SGD(0.01, momentum=0.9), device=DEVICE)
trainer.fit(data, epochs=1, progress=False)
print(time.perf_counter() - start)
"""


def seconds(code: str, cache: str) -> float:
    """Run ``code`` in a new process with its caches in the folder ``cache``; return the number it prints."""
    environment = os.environ | {"NUMBA_CACHE_DIR": cache, "CUPY_CACHE_DIR": cache}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    return float(answer.stdout)


def main() -> None:
    """Measure, print the table, write JSON and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each (default: 5)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")
    args = parser.parse_args()
    try:
        resolve_device(args.device)
    except DeviceError as reason:
        parser.error(str(reason))
    first_step = FIRST_STEP.replace("DEVICE", repr(args.device))
    results: dict[str, list[float]] = {"import": [], "first step, cold": [], "first step, warm": []}
    for _ in range(args.runs):
        with tempfile.TemporaryDirectory() as cache:
            results["import"].append(seconds(IMPORT, cache))
            results["first step, cold"].append(seconds(first_step, cache))
            results["first step, warm"].append(seconds(first_step, cache))

    rows = [
        [name, f"{statistics.median(s):.2f} s", f"{min(s):.2f} to {max(s):.2f}", str(len(s))]
        for name, s in results.items()
    ]
    figure = Figure(figsize=(6, 2.4), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(list(results), [statistics.median(s) for s in results.values()], color="#1f5fa8")
    axes.bar_label(bars, fmt=" %.2f s")
    axes.set_xlabel("seconds (median)")
    axes.margins(x=0.15)
    axes.invert_yaxis()
    print(report.table(["from a fresh process", "median", "range", "runs"], rows))
    name = "startup" if args.device == "cpu" else "startup_gpu"
    report.write(name, {"device": gpu() if args.device == "cuda" else "cpu", "seconds": results}, figure)


if __name__ == "__main__":
    main()
