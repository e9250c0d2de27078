"""How well the examples do, with three seeds each: the table of ``docs/results.md``.

    python benchmarks/studies.py                         # all but fashion-max, which takes a night
    python benchmarks/studies.py fashion-best mnist-best

Each run is a process of its own with its own empty Numba cache, as on a fresh machine; its time is that of
the whole process, with compilation, evaluation and report. The test set is used once a run. What was
measured before stays in the JSON until the same study is run again.
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
from dataclasses import dataclass, field
from pathlib import Path

import report
from matplotlib.figure import Figure

from minicnn.files import replacing

EXAMPLES = Path(__file__).parent.parent / "examples"
RESULTS = report.RESULTS / "studies.json"


@dataclass(frozen=True)
class Study:
    """An example with its arguments, and the accuracies that it is to reach: metric to share, 0 for none."""

    script: str
    arguments: tuple[str, ...] = ()
    targets: dict[str, float] = field(default_factory=dict)


STUDIES = {
    "fashion-quick": Study("train_fashion.py", ("--strict-data",), {"test_accuracy": 0.915}),
    "mnist-quick": Study("train_mnist.py", (), {"test_accuracy": 0.99}),
    "mnist-improve": Study("mnist_improve.py", (), {"baseline_test_accuracy": 0.985, "test_accuracy": 0.994}),
    "fashion-basic": Study("fashion_basic.py", (), {"test_accuracy": 0.9071}),
    "fashion-multi": Study("fashion_multi.py", (), {"test_accuracy": 0.92}),
    "fashion-harness": Study("fashion_harness.py", (), {"baseline_fold_accuracy": 0.91, "test_accuracy": 0}),
    "fashion-vgg3": Study("fashion_vgg3.py", (), {"test_accuracy": 0.92}),
    "fashion-best": Study(
        "train_fashion.py",
        ("--recipe", "best", "--strict-data"),
        {"test_accuracy": 0.943, "mirrored_accuracy": 0},
    ),
    "fashion-max": Study(
        "train_fashion.py",
        ("--recipe", "max", "--strict-data"),
        {"test_accuracy": 0.95, "mirrored_accuracy": 0},
    ),
    "mnist-best": Study("train_mnist.py", ("--recipe", "best"), {"test_accuracy": 0.996}),
}


def run(study: Study, seed: int, folder: Path) -> dict[str, float]:
    """Run an example and return its accuracies, its seconds and its peak memory in MiB."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, str(EXAMPLES / study.script), *study.arguments]
    command += ["--seed", str(seed), "--out", str(folder / "run")]
    start = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, cwd=folder)
    seconds = time.perf_counter() - start
    metrics = json.loads((folder / "run" / "metrics.json").read_text(encoding="utf-8"))
    # The largest child so far: an upper bound for this one. Linux counts in KiB.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    accuracies = {name: metrics[name] for name in study.targets}
    training = metrics["seconds_training"]
    return {"seed": seed, **accuracies, "seconds": seconds, "seconds_training": training, "peak_mib": peak}


def measured() -> dict[str, dict]:
    """Return what is known so far, study to machine and runs."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def keep(name: str, runs: list[dict]) -> None:
    """Add the runs of a study to what is known: after each, as the next may take an hour."""
    text = json.dumps(measured() | {name: {"machine": report.machine(), "runs": runs}}, indent=2)
    with replacing(RESULTS) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def spread(values: list[float]) -> str:
    """Return mean ± sample standard deviation, in per cent."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):.2f} ± {100 * deviation:.2f} %"


def rows(results: dict[str, dict]) -> list[list[str]]:
    """Return the table, a row for each accuracy of each study."""
    found = []
    for name, study in STUDIES.items():
        runs = results.get(name, {}).get("runs", [])
        for metric, target in study.targets.items() if runs else ():
            seconds = [r["seconds"] for r in runs]
            found.append(
                [
                    f"`{' '.join([study.script, *study.arguments[:2]]).replace(' --strict-data', '')}`",
                    metric.replace("_", " "),
                    f"{target:.2%}" if target else "",
                    spread([r[metric] for r in runs]),
                    f"{statistics.median(seconds):.0f} s ({min(seconds):.0f} to {max(seconds):.0f})",
                    f"{max(r['peak_mib'] for r in runs):.0f} MiB",
                    str(len(runs)),
                ]
            )
    return found


def draw(results: dict[str, dict]) -> Figure:
    """Draw each study's accuracies as points, and its targets as marks."""
    places = [(name, metric) for name in STUDIES if name in results for metric in STUDIES[name].targets]
    figure = Figure(figsize=(9, 0.4 * len(places) + 1.2), layout="constrained")
    axes = figure.subplots()
    for y, (name, metric) in enumerate(places):
        axes.plot([100 * r[metric] for r in results[name]["runs"]], [y] * len(results[name]["runs"]), "o",
                  color="#1f5fa8", alpha=0.7, label="a seed" if y == 0 else None)  # fmt: skip
        target = STUDIES[name].targets[metric]
        if target:
            axes.plot(100 * target, y, "|", color="#c8500a", markersize=16, markeredgewidth=2,
                      label="target" if y == 0 else None)  # fmt: skip
    axes.set_yticks(range(len(places)), [f"{name}, {metric.replace('_', ' ')}" for name, metric in places])
    axes.invert_yaxis()
    axes.set_xlabel("accuracy (%)")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def main() -> None:
    """Run the studies, print the table, write JSON and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    chosen = [name for name in STUDIES if name != "fashion-max"]
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=f"of {', '.join(STUDIES)}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    if unknown := set(args.studies) - STUDIES.keys():
        parser.error(f"there is no study {', '.join(sorted(unknown))}; there are {', '.join(STUDIES)}")
    for name in args.studies or chosen:
        runs = []
        for seed in args.seeds:
            with tempfile.TemporaryDirectory() as folder:
                runs.append(run(STUDIES[name], seed, Path(folder)))
            keep(name, runs)
            print(f"{name}: {runs[-1]}", flush=True)
    results = measured()
    header = ["example", "accuracy", "target", "mean ± deviation", "whole process", "peak memory", "seeds"]
    print(report.table(header, rows(results)))
    report.plots.save(draw(results), RESULTS.with_suffix(".png"))
    print(f"\nwritten: {RESULTS} and .png")


if __name__ == "__main__":
    main()
