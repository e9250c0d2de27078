"""Training on the CPU and on a GPU, in images per second: minicnn and PyTorch, which take turns.

    pip install -e ".[bench,cuda12]"
    python benchmarks/cpu_vs_gpu.py

Every way to train has its own process, the same model, and batches of Fashion-MNIST on the device; its name
contains its precision. The figures are medians of ten turns after a warm-up. Without a usable GPU only the
CPU is measured, and the reason is printed.
"""

import argparse
import importlib.util
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import comparison
import report
import turns
from gpu_peers import WAYS
from matplotlib.figure import Figure
from peers import MODELS

from minicnn.backend import resolve_device
from minicnn.errors import DeviceError
from minicnn.info import gpu

CPU = "minicnn CPU fused fp32"
TURNS, TURN = 10, 0.3  # number of turns, and seconds per turn
SLOW = 1.0  # seconds: three turns are enough for steps that take longer


def usable() -> list[str]:
    """Return the ways to train that this machine can run."""
    try:
        resolve_device("cuda")
        has_gpu = True
    except DeviceError as reason:
        print(f"Only the CPU is measured: {reason}", file=sys.stderr)
        has_gpu = False
    ways = [name for name, (_, needs_gpu, _) in WAYS.items() if has_gpu or not needs_gpu]
    return [name for name in ways if importlib.util.find_spec(WAYS[name][0])]


def measure(ways: list[str], model: str, batch: int) -> dict[str, float]:
    """Return the seconds per step of each way, the median of its turns."""
    script = Path(__file__).with_name("gpu_peers.py")
    with ExitStack() as endings:
        runners, steps, seconds = {}, {}, {}
        for way in ways:
            runner = turns.Process(way, [sys.executable, str(script), way, model, str(batch)])
            endings.callback(runner.close)
            if runner.try_ask("steps 3") is not None:
                steps[way] = max(1, round(TURN / runner.ask("steps 3")))
                runners[way], seconds[way] = runner, []
        for turn in range(TURNS):
            for way, runner in runners.items():
                if turn >= 3 and seconds[way][0] > SLOW:
                    continue
                time.sleep(0.1)
                seconds[way].append(runner.ask(f"steps {steps[way]}"))
    return {way: statistics.median(times) for way, times in seconds.items()}


def gpu_peaks() -> dict[str, float]:
    """Return the GPU's TFLOP/s for a product of 8192 × 8192 matrices, in float32 and in TF32."""
    code = (
        "import cupy, time\n"
        "a = cupy.ones((8192, 8192), 'f'); b = a @ a; cupy.cuda.Device().synchronize()\n"
        "start = time.perf_counter()\n"
        "for _ in range(5): b = a @ a\n"
        "cupy.cuda.Device().synchronize()\n"
        "print(5 * 2 * 8192**3 / (time.perf_counter() - start) / 1e12)"
    )
    peaks = {}
    for precision, switch in (("fp32", "0"), ("tf32", "1")):
        environment = turns.environment() | {"CUPY_TF32": switch}
        run = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        peaks[precision] = float(run.stdout)
    return peaks


def table(work: float, peaks: dict[str, float], batch: int, seconds: dict[str, float]) -> str:
    """Return one comparison as a table, the fastest first."""
    rows = []
    for way, step in sorted(seconds.items(), key=lambda item: item[1]):
        peak = peaks.get("cpu" if way == CPU else way.split()[-1])
        share = f"{100 * work / step / 1e12 / peak:.1f} %" if peak else ""
        faster = f"{seconds[CPU] / step:.1f} ×" if CPU in seconds else ""
        rows.append([way, f"{1000 * step:.3f}", f"{batch / step:,.0f}", faster, share])
    return report.table(
        ["", "ms per step", "images/s", "of the CPU", "dense work / peak of that precision"], rows
    )


def crossing(comparisons: list[dict[str, Any]], model: str) -> str:
    """Return a sentence on the batch sizes for which the GPU is faster than the CPU."""
    way = "minicnn GPU captured tf32"
    rows = [entry for entry in comparisons if entry["model"] == model and way in entry["seconds"]]
    wins = [entry["batch"] for entry in rows if entry["seconds"][way] < entry["seconds"][CPU]]
    if not rows:
        return f"{model}: no GPU was measured"
    return (
        f"{model}: the GPU is faster {'from batch ' + str(min(wins)) + ' on' if wins else 'at no batch size'}"
    )


def chart(comparisons: list[dict[str, Any]]) -> Figure:
    """Return a plot of images per second over the batch size, one panel per model."""
    models = list(dict.fromkeys(entry["model"] for entry in comparisons))
    figure = Figure(figsize=(4.6 * len(models), 4.2), layout="constrained")
    for axes, model in zip(figure.subplots(1, len(models), squeeze=False)[0], models, strict=True):
        rows = [entry for entry in comparisons if entry["model"] == model]
        for way in WAYS:
            points = [(e["batch"], e["batch"] / e["seconds"][way]) for e in rows if way in e["seconds"]]
            if points:
                style = "-" if way.startswith("minicnn") else "--"
                axes.plot(*zip(*points, strict=True), style, marker="o", markersize=3, label=way)
        speeds = [e["batch"] / seconds for e in rows for seconds in e["seconds"].values()]
        axes.set(title=model, xlabel="batch size", xscale="log", yscale="log")
        axes.set(ylim=(min(speeds) / 2, max(speeds) * 2))
        axes.set_xticks([e["batch"] for e in rows], [str(e["batch"]) for e in rows])
        axes.set_xticks([], minor=True)
        axes.tick_params(labelsize=8, which="both")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("images per second, training")
    figure.axes[-1].legend(fontsize=7)
    return figure


def main() -> None:
    """Measure, print the tables, write JSON and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--batches", nargs="+", type=int, default=[32, 128, 512, 2048, 4096])
    args = parser.parse_args()
    ways = usable()
    peaks = {"cpu": turns.sgemm_peak() / 1000, **(gpu_peaks() if len(ways) > 1 else {})}  # TFLOP/s
    comparisons = []
    for model in args.models:
        for batch in args.batches:
            seconds, work = measure(ways, model, batch), 1e9 * comparison.gflop(model, batch, predict=False)
            comparisons.append({"model": model, "batch": batch, "seconds": seconds})
            print(f"\n{model}, batch {batch}\n{table(work, peaks, batch, seconds)}", flush=True)
    print("\n" + "\n".join(crossing(comparisons, model) for model in args.models))
    result = {
        "gpu": gpu(),
        "packages": turns.package_versions(),
        "peaks_tflops": peaks,
        "comparisons": comparisons,
    }
    report.write("cpu_vs_gpu", result, chart(comparisons))


if __name__ == "__main__":
    main()
