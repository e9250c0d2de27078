"""How well the examples do: ``train_fashion.py`` and ``train_mnist.py`` with three seeds each.

Each run is a process of its own with its own empty Numba cache, as on a fresh machine; its time is
that of the whole process. The test set is used once a run.

    python benchmarks/examples.py --seeds 0 1 2
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import report
from matplotlib.figure import Figure

EXAMPLES = Path(__file__).parent.parent / "examples"
SCRIPTS = ("train_fashion.py", "train_mnist.py")


def run(script: str, seed: int) -> dict[str, float]:
    """Run an example and return its accuracy, its seconds and its peak memory in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        environment = os.environ | {"NUMBA_CACHE_DIR": str(Path(folder) / "cache")}
        command = [
            sys.executable,
            str(EXAMPLES / script),
            "--seed",
            str(seed),
            "--out",
            str(out),
            "--strict-data",
        ]
        start = time.perf_counter()
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        metrics = json.loads((out / "metrics.json").read_text())
    # The largest child so far: an upper bound for this one. Linux counts in KiB.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {"seed": seed, "accuracy": metrics["test_accuracy"], "seconds": seconds, "peak_mib": peak}


def main() -> None:
    """Run all, print the table, write JSON and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    results = {script: [run(script, seed) for seed in args.seeds] for script in SCRIPTS}

    rows, figure = [], Figure(figsize=(8, 3.2), layout="constrained")
    panels = figure.subplots(1, len(SCRIPTS))
    for axes, (script, runs) in zip(panels, results.items(), strict=True):
        accuracies = [100 * r["accuracy"] for r in runs]
        spread = statistics.stdev(accuracies) if len(runs) > 1 else 0.0
        seconds = [r["seconds"] for r in runs]
        rows.append(
            [
                script,
                f"{statistics.mean(accuracies):.2f} ± {spread:.2f} %",
                f"{statistics.median(seconds):.0f} s ({min(seconds):.0f} to {max(seconds):.0f})",
                f"{max(r['peak_mib'] for r in runs):.0f} MiB",
                str(len(runs)),
            ]
        )
        axes.plot(seconds, accuracies, "o", color="#1f5fa8")
        for r in runs:
            axes.annotate(f" seed {r['seed']}", (r["seconds"], 100 * r["accuracy"]))
        axes.set(title=script, xlabel="seconds, whole process", ylabel="test accuracy (%)")
        axes.margins(0.25)
        axes.grid(alpha=0.3)
    print(report.table(["example", "test accuracy", "whole process", "peak memory", "seeds"], rows))
    report.write("examples", {"runs": results}, figure)


if __name__ == "__main__":
    main()
