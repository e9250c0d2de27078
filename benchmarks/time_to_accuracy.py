"""Seconds to a test accuracy on Fashion-MNIST: minicnn, Keras and PyTorch with the same recipe.

    pip install -e ".[bench]"
    python benchmarks/time_to_accuracy.py --seeds 0 1 2
    python benchmarks/time_to_accuracy.py --device cuda

Model M1 of ``peers.py``, batches of 128, SGD with momentum 0.9, a one-cycle learning rate; all start
from the same weights and see the same batches. The clock runs during the steps and is stopped while the
test set is predicted, four times an epoch. Start-up is the time before: imports, data, and the first step,
which compiles or traces everything that is not cached. Keras includes the learning rate in its velocity, the
others do not: under a schedule their steps differ slightly.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import report
import turns
from gpu_peers import WAYS, Way
from matplotlib.figure import Figure
from peers import FRAMEWORKS, as_taken, minicnn_model

import minicnn as mc
from minicnn.backend import resolve_device
from minicnn.errors import DeviceError
from minicnn.info import gpu

MODEL, BATCH, EPOCHS, PEAK_RATE = "M1", 128, 9, 0.08
EVALUATIONS = 4  # an epoch
TARGETS = (0.9071, 0.915, 0.925)
RACERS = {
    "cpu": ("minicnn fused", "Keras", "PyTorch NCHW", "PyTorch channels-last"),
    "cuda": ("minicnn GPU captured tf32", "PyTorch GPU eager tf32", "PyTorch GPU graph tf32"),
}


def race(framework: str, data: Path, seed: int, started: float) -> dict[str, Any]:
    """Train, and return step, training seconds and accuracy after each evaluation."""
    with np.load(data) as file:
        arrays = {name: file[name] for name in file.files}
    weights = {name: arrays[name] for name in minicnn_model(MODEL).arrays()}
    way, test_images, test_labels = as_way(framework, arrays)
    way.set_weights(weights)
    schedule, steps = mc.schedules.OneCycle(PEAK_RATE), len(arrays["images"]) // BATCH
    every = steps // EVALUATIONS
    start_up, clock, step, curve = 0.0, 0.0, 0, []
    rng = np.random.default_rng(seed)
    for _ in range(EPOCHS):
        order = rng.permutation(len(arrays["images"]))
        for first in range(0, steps * BATCH, BATCH):
            start = time.perf_counter()
            way.set_rate(schedule(step, EPOCHS * steps))
            way.step(way.prepare(order[first : first + BATCH]))
            if step == 0 or (step + 1) % every == 0:
                way.wait()
            if step == 0:  # compilation and tracing
                start_up = time.time() - started
            else:
                clock += time.perf_counter() - start
            step += 1
            if step % every == 0:
                chunks = [test_images[i : i + 500] for i in range(0, len(test_images), 500)]
                predicted = np.concatenate([np.asarray(way.predict(c)).argmax(axis=1) for c in chunks])
                curve.append([step, clock, float((predicted == test_labels).mean())])
                if curve[-1][2] >= TARGETS[-1]:
                    return {"start_up": start_up, "curve": curve}
    return {"start_up": start_up, "curve": curve}


def as_way(framework: str, arrays: dict[str, np.ndarray]) -> tuple[Way, np.ndarray, np.ndarray]:
    """Return the framework with its training data loaded, and the test set as it takes it."""
    train, test = (arrays["images"], arrays["labels"]), (arrays["test_images"], arrays["test_labels"])
    if framework in WAYS:
        way = WAYS[framework][2](MODEL)
        way.load(*train)
        return way, *test
    peer = FRAMEWORKS[framework][1](MODEL)
    images, labels = as_taken(framework, *train)
    way = Way(
        load=lambda images, labels: None,
        prepare=lambda rows: rows,
        step=lambda rows: peer.train(images[rows], labels[rows]),
        wait=lambda: None,
        predict=peer.predict,
        set_rate=peer.set_rate,
        set_weights=peer.set_weights,
    )
    return way, *as_taken(framework, *test)


def seconds_to(curve: list[list[float]], target: float) -> float | None:
    """Return the training seconds until the accuracy first reached ``target``, None if it never did."""
    return next((clock for _, clock, accuracy in curve if accuracy >= target), None)


def child(framework: str, data: Path, seed: int) -> dict[str, Any]:
    """Run ``race`` in a new process."""
    command = [sys.executable, __file__, "--race", framework, "--data", str(data), "--seeds", str(seed)]
    answer = subprocess.run(
        [*command, "--started", repr(time.time())],
        env=turns.environment(),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(answer.stdout.splitlines()[-1])


def main() -> None:
    """Measure, print the table, write JSON and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=RACERS, default="cpu", help="default: cpu")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--race", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.race:
        answers = os.fdopen(os.dup(1), "w")  # where no library prints
        os.dup2(2, 1)
        print(json.dumps(race(args.race, args.data, args.seeds[0], args.started)), file=answers, flush=True)
        return
    try:
        resolve_device(args.device)
    except DeviceError as reason:
        parser.error(str(reason))
    names = [name for name in RACERS[args.device] if name in turns.installed() or name in WAYS]
    races: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    train, test = mc.data.load("fashion-mnist")
    with tempfile.TemporaryDirectory() as folder:
        for seed in args.seeds:
            data = Path(folder) / f"{seed}.npz"
            arrays = {"images": train.images, "labels": train.labels}
            arrays |= {"test_images": test.images, "test_labels": test.labels}
            np.savez(data, **arrays, **initial_weights(seed))
            for name in names:
                races[name].append(child(name, data, seed))
                print(name, "seed", seed, f"{races[name][-1]['curve'][-1]}", file=sys.stderr, flush=True)
    print(table(races))
    name = "time_to_accuracy" + ("" if args.device == "cpu" else "_gpu")
    result = {"gpu": gpu(), "packages": turns.package_versions(), "races": races}
    report.write(name, result, chart(races))


def initial_weights(seed: int) -> dict[str, np.ndarray]:
    """Return the weights that every framework starts from."""
    model = minicnn_model(MODEL)
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        layer.build(layer.input_shape, rng)
    return model.arrays()


def table(races: dict[str, list[dict[str, Any]]]) -> str:
    """Return the medians over the seeds as a table; where not all reached the target, how many did."""
    medians = {name: [median_seconds(runs, target) for target in TARGETS] for name, runs in races.items()}
    rows = []
    for name, runs in races.items():
        row = [name, f"{statistics.median(run['start_up'] for run in runs):.1f}"]
        for target, seconds, ours in zip(TARGETS, medians[name], medians[next(iter(races))], strict=True):
            reached = sum(seconds_to(run["curve"], target) is not None for run in runs)
            row.append(f"{reached} of {len(runs)} seeds" if seconds is None else f"{seconds:.1f}")
            row.append("" if seconds is None or ours is None else f"{seconds / ours:.2f} ×")
        rows.append(row)
    targets = [cell for target in TARGETS for cell in (f"s to {100 * target:g} %", "of ours")]
    return report.table(["", "start-up s", *targets], rows)


def median_seconds(runs: list[dict[str, Any]], target: float) -> float | None:
    """Return the median over the seeds, None if one of them did not reach the target."""
    reached = [seconds_to(run["curve"], target) for run in runs]
    return None if None in reached else statistics.median(reached)


def chart(races: dict[str, list[dict[str, Any]]]) -> Figure:
    """Return the accuracy over the seconds of training."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    colors, styles = ("#1f5fa8", "#d9822b", "#8c3b2e", "#4a8a4a"), ("-", "--", ":", "-.")
    for (name, runs), color, style in zip(races.items(), colors, styles, strict=False):
        for k, run in enumerate(runs):
            _, clock, accuracy = zip(*run["curve"], strict=True)
            label = {"label": name} if k == 0 else {}
            axes.plot(clock, [100 * a for a in accuracy], style, color=color, lw=1.2, **label)
    for target in TARGETS:
        axes.axhline(100 * target, color="#999999", lw=0.8)
        axes.annotate(f"{100 * target:g} %", (1, 100 * target), (3, 0), va="center", fontsize=8,
                      xycoords=("axes fraction", "data"), textcoords="offset points")  # fmt: skip
    axes.set(xlabel="seconds of training", ylabel="test accuracy (%)", ylim=(80, 94))
    axes.set_title("M1 on Fashion-MNIST; a line for each seed", fontsize=10)
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    return figure


if __name__ == "__main__":
    main()
