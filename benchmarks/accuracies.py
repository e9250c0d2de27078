"""Accuracies of the examples and recipes, with three seeds each: the table of ``docs/results.md``.

    python benchmarks/accuracies.py                         # all but fashion-max, which takes a night
    python benchmarks/accuracies.py fashion-best mnist-best

Each run is a new process with an empty Numba cache, as on a fresh machine; its time is that of the whole
process, with compilation, evaluation and report. Each run uses the test set once. Earlier results stay in the
JSON until the same training runs again.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import report
from matplotlib.figure import Figure

EXAMPLES = Path(__file__).parent.parent / "examples"


@dataclass(frozen=True)
class Training:
    """A command and its target accuracies: metric to share, 0 for none."""

    command: str
    targets: dict[str, float] = field(default_factory=dict)

    def arguments(self) -> list[str]:
        """Return the arguments for Python."""
        first, *rest = self.command.split()
        return ["-m", first, *rest] if first == "minicnn" else [str(EXAMPLES / first), *rest]


TRAININGS = {
    "fashion-quick": Training("train_fashion.py --strict-data", {"test_accuracy": 0.915}),
    "mnist-quick": Training("train_mnist.py", {"test_accuracy": 0.99}),
    "mnist-improve": Training("mnist_improve.py", {"baseline_test_accuracy": 0.985, "test_accuracy": 0.994}),
    "fashion-basic": Training("fashion_basic.py", {"test_accuracy": 0.9071}),
    "fashion-multi": Training("fashion_multi.py", {"test_accuracy": 0.92}),
    "fashion-harness": Training("fashion_harness.py", {"baseline_fold_accuracy": 0.91, "test_accuracy": 0}),
    "fashion-vgg3": Training("fashion_vgg3.py", {"test_accuracy": 0.92}),
    "fashion-best": Training(
        "minicnn train --recipe fashion-best", {"test_accuracy": 0.943, "mirrored_accuracy": 0}
    ),
    "fashion-max": Training(
        "minicnn train --recipe fashion-max", {"test_accuracy": 0.95, "mirrored_accuracy": 0}
    ),
    "mnist-best": Training("minicnn train --recipe mnist-best", {"test_accuracy": 0.996}),
}


def run(training: Training, seed: int, folder: Path) -> dict[str, float]:
    """Run one training and return its accuracies and its seconds."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, *training.arguments()]
    command += ["--seed", str(seed), "--out", str(folder / "run")]
    start = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, cwd=folder)
    seconds = time.perf_counter() - start
    metrics = json.loads((folder / "run" / "metrics.json").read_text(encoding="utf-8"))
    accuracies = {name: metrics[name] for name in training.targets}
    return {"seed": seed, **accuracies, "seconds": seconds, "seconds_training": metrics["seconds_training"]}


def rows(results: dict[str, dict]) -> list[list[str]]:
    """Return the table, a row for each accuracy of each training."""
    found = []
    for name, training in TRAININGS.items():
        runs = results.get(name, {}).get("runs", [])
        for metric, target in training.targets.items() if runs else ():
            seconds = [r["seconds"] for r in runs]
            reached = sum(r[metric] >= target for r in runs)
            found.append(
                [
                    f"`{training.command.replace(' --strict-data', '')}`",
                    metric.replace("_", " "),
                    f"{target:.2%}" if target else "",
                    f"{report.spread([r[metric] for r in runs])} %",
                    f"{reached} of {len(runs)}" if target else "",
                    f"{statistics.median(seconds):.0f} s ({min(seconds):.0f} to {max(seconds):.0f})",
                ]
            )
    return found


def draw(results: dict[str, dict]) -> Figure:
    """Draw the accuracies of each training as points and its targets as marks, on a scale per data set."""
    places = [(name, metric) for name in TRAININGS if name in results for metric in TRAININGS[name].targets]
    halves = [[p for p in places if p[0].startswith(data)] for data in ("fashion", "mnist")]
    halves = [half for half in halves if half]
    figure = Figure(figsize=(9, 0.4 * len(places) + 2), layout="constrained")
    panels = figure.subplots(len(halves), 1, squeeze=False, height_ratios=list(map(len, halves)))[:, 0]
    for axes, half in zip(panels, halves, strict=True):
        for y, (name, metric) in enumerate(half):
            points = [100 * r[metric] for r in results[name]["runs"]]
            axes.plot(points, [y] * len(points), "o", color="#1f5fa8", alpha=0.7, label="a seed")
            target = TRAININGS[name].targets[metric]
            if target:
                axes.plot(100 * target, y, "|", color="#c8500a", ms=16, mew=2, label="target")
        axes.set_yticks(range(len(half)), [f"{name}, {metric.replace('_', ' ')}" for name, metric in half])
        axes.margins(y=0.15)
        axes.invert_yaxis()
        axes.grid(alpha=0.3)
    panels[-1].set_xlabel("accuracy (%)")
    handles = dict(zip(*reversed(panels[0].get_legend_handles_labels()), strict=True))
    panels[0].legend(handles.values(), handles.keys())
    return figure


def main() -> None:
    """Run the trainings, print the table, write JSON and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    chosen = [name for name in TRAININGS if name != "fashion-max"]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TRAININGS)}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    if unknown := set(args.names) - TRAININGS.keys():
        parser.error(f"there is no training {', '.join(sorted(unknown))}; there are {', '.join(TRAININGS)}")
    for name in args.names or chosen:
        runs = []
        for seed in args.seeds:
            with tempfile.TemporaryDirectory() as folder:
                runs.append(run(TRAININGS[name], seed, Path(folder)))
            report.keep("accuracies", name, runs=runs)  # after each, as the next may take an hour
            print(f"{name}: {runs[-1]}", flush=True)
    results = report.known("accuracies")
    header = ["command", "accuracy", "target", "mean ± deviation", "seeds that reach it", "whole process"]
    print(report.table(header, rows(results)))
    report.plots.save(draw(results), report.RESULTS / "accuracies.png")
    print(f"\nwritten: {report.RESULTS / 'trainings'}.json and .png")


if __name__ == "__main__":
    main()
