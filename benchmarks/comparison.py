"""The comparison of ``train_step.py`` and ``predict.py``: a table for each model, a summary and a chart."""

from typing import Any

import report
import turns
from matplotlib.figure import Figure
from peers import minicnn_model

OURS = "minicnn fused"
COLORS = {
    "minicnn": "#1f5fa8",
    "Keras": "#d9822b",
    "tf": "#e8b57d",
    "PyTorch": "#8c3b2e",
    "torch": "#c98a80",
}


def run(name: str, models: list[str], batches: list[int], steps: int, predict: bool) -> None:
    """Measure all models and batch sizes, print the tables, write JSON and the plot."""
    frameworks = turns.installed()
    result: dict[str, Any] = {
        "packages": turns.package_versions(),
        "sgemm_gflops": [turns.sgemm_peak()],
        "comparisons": [],
    }
    with turns.images(4096) as data:
        for model in models:
            for batch in batches:
                measured = turns.compare(frameworks, model, batch, data, steps, predict)
                entry = {
                    "model": model,
                    "batch": batch,
                    "gflop": gflop(model, batch, predict),
                    **best(measured),
                }
                result["comparisons"].append(entry | {"frameworks": measured})
                print(f"\n{model}, batch {batch}\n{table(entry['gflop'], result, measured)}", flush=True)
            result["sgemm_gflops"].append(turns.sgemm_peak())
    print("\n" + summary(result["comparisons"]))
    peaks = ", ".join(f"{peak:.0f}" for peak in result["sgemm_gflops"])
    print(f"\nsgemm 2048³, between the models: {peaks} GFLOP/s")
    print(", ".join(f"{package} {version}" for package, version in result["packages"].items()))
    report.write(name, result, chart(result["comparisons"], predict))


def gflop(model: str, batch: int, predict: bool) -> float:
    """Return the GFLOP of the matrix products: forward, twice that backward, without dx at the input."""
    layers = minicnn_model(model).layers
    forward = sum(layer.multiply_adds() for layer in layers)
    both = 3 * forward - next(layer.multiply_adds() for layer in layers if layer.params)
    return 2 * batch * (forward if predict else both) / 1e9


def best(measured: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Return the fastest peer, and by what factors minicnn is faster and needs less memory."""
    peers = {name: row for name, row in measured.items() if not name.startswith("minicnn")}
    if not peers or OURS not in measured:
        return {}
    fastest = min(peers, key=lambda name: peers[name]["median_ms"])
    return {
        "fastest_peer": fastest,
        "times_faster": peers[fastest]["median_ms"] / measured[OURS]["median_ms"],
        "times_faster_by_minimum": min(p["min_ms"] for p in peers.values()) / measured[OURS]["min_ms"],
        "memory_of_leanest_peer": min(p["peak_mib"] for p in peers.values()) / measured[OURS]["peak_mib"],
    }


def table(work: float, result: dict[str, Any], measured: dict[str, dict[str, float]]) -> str:
    """Return one comparison as a table, sorted by time."""
    ours = measured[OURS]["median_ms"]
    peak = result["sgemm_gflops"][-1]
    rows = [
        [
            name,
            f"{row['median_ms']:.2f}",
            f"{row['min_ms']:.2f} to {row['max_ms']:.2f}",
            f"{row['median_ms'] / ours:.2f} ×",
            f"{100 * work / (row['median_ms'] / 1000) / peak:.0f} %",
            f"{row['peak_mib']:.0f}",
            f"{row['steps']:.0f}",
        ]
        for name, row in sorted(measured.items(), key=lambda item: item[1]["median_ms"])
    ]
    header = ["", "median ms", "range", "of minicnn fused", "dense work / sgemm peak", "peak MiB", "steps"]
    return report.table(header, rows)


def summary(comparisons: list[dict[str, Any]]) -> str:
    """Return how many times faster than the fastest peer minicnn is, by model and batch size."""
    rows = [
        [
            entry["model"],
            str(entry["batch"]),
            f"{entry['frameworks'][OURS]['median_ms']:.2f}",
            f"{entry['fastest_peer']} {entry['frameworks'][entry['fastest_peer']]['median_ms']:.2f}",
            f"{entry['times_faster']:.2f} ×",
            f"{entry['times_faster_by_minimum']:.2f} ×",
        ]
        for entry in comparisons
        if "fastest_peer" in entry
    ]
    header = ["model", "batch", "minicnn ms", "fastest peer ms", "faster, medians", "faster, minima"]
    return report.table(header, rows)


def chart(comparisons: list[dict[str, Any]], predict: bool) -> Figure:
    """Return bar charts, one for each model and batch size."""
    batches = sorted({entry["batch"] for entry in comparisons})
    models = list(dict.fromkeys(entry["model"] for entry in comparisons))
    figure = Figure(figsize=(3.4 * len(batches), 2.3 * len(models)), layout="constrained")
    panels = figure.subplots(len(models), len(batches), squeeze=False)
    for entry in comparisons:
        axes = panels[models.index(entry["model"])][batches.index(entry["batch"])]
        rows = entry["frameworks"]
        colors = [next((c for k, c in COLORS.items() if name.startswith(k)), "#777777") for name in rows]
        bars = axes.barh(list(rows), [row["median_ms"] for row in rows.values()], color=colors)
        axes.bar_label(bars, fmt=" %.1f", fontsize=7)
        axes.set_title(f"{entry['model']}, batch {entry['batch']}", fontsize=9)
        axes.tick_params(labelsize=7)
        axes.margins(x=0.22)
        axes.invert_yaxis()
        if entry["batch"] != batches[0]:
            axes.set_yticklabels([])
    what = "one prediction" if predict else "one training step"
    figure.supxlabel(f"milliseconds for {what}, median; shorter is better", fontsize=9)
    return figure
