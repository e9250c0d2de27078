"""Seconds for data: Kaggle's CSV file of 60,000 images, and augmenting a batch compared with its step.

python benchmarks/data.py
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import report

import minicnn as mc

BATCH = 128


def median(run: Callable[[], object], times: int) -> float:
    """Return the median seconds of several runs, after a warm-up."""
    run()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def measure() -> dict[str, float]:
    """Return the seconds of each task."""
    train, _ = mc.data.load("fashion-mnist")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fashion-mnist_train.csv"
        found = {"write the CSV file of 60,000 images": median(lambda: mc.data.write_csv(train, path), 3)}
        found["read it"] = median(lambda: mc.data.read_csv(path), 5)
    images, labels, rng = train.images[:BATCH], train.labels[:BATCH], np.random.default_rng(0)
    everything = mc.data.Augmentation(flip=True, shift=2, erase=0.5)
    found[f"mirror, move and erase {BATCH} images"] = median(lambda: everything(images, rng), 200)
    for name in ("fashion-quick", "fashion-best"):
        step = mc.zoo.recipe(name).trainer(train).engine.train_step
        found[f"a step of {name} on {BATCH} images"] = median(lambda step=step: step(images, labels), 20)
    return found


def main() -> None:
    """Measure, print the table, write JSON and the plot."""
    found = measure()
    print(report.table(["what", "median"], [[name, f"{1000 * s:,.2f} ms"] for name, s in found.items()]))
    figure = report.bars({name: 1000 * s for name, s in found.items()}, "milliseconds (median)")
    figure.axes[0].set_xscale("log")
    figure.axes[0].xaxis.set_major_formatter("{x:,g}")
    report.write("data", {"seconds": found}, figure)


if __name__ == "__main__":
    main()
