"""The output of every benchmark: a table on the screen, JSON and a plot in ``benchmarks/results/``."""

import json
import os
import statistics
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from minicnn import plots
from minicnn.files import replacing
from minicnn.info import environment

RESULTS = Path(__file__).parent / "results"
# Variables that limit the instructions that a library uses; the JSON records those that are set.
LIMITING = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")


def machine() -> dict[str, Any]:
    """Describe the machine: processor, cores, threads, BLAS, versions."""
    return {
        **environment(),
        "cores": os.cpu_count(),
        "precision": "float32",
        "variables": {name: os.environ[name] for name in LIMITING if name in os.environ},
    }


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return the rows as a Markdown table with aligned columns."""
    rows = [header, *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    lines = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])


def bars(values: dict[str, float], label: str) -> Figure:
    """Draw a bar for each value, the first at the top."""
    figure = Figure(figsize=(8, 0.4 * len(values) + 0.6), layout="constrained")
    axes = figure.subplots()
    axes.barh(list(values), list(values.values()), color="#1f5fa8")
    axes.set_xlabel(label)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    return figure


def spread(shares: list[float], sign: str = "") -> str:
    """Return mean ± sample standard deviation in percent, or the mean alone of a single value.

    With ``sign="+"`` the mean has its sign, as for differences in points.
    """
    mean = f"{100 * statistics.mean(shares):{sign}.2f}"
    return f"{mean} ± {100 * statistics.stdev(shares):.2f}" if len(shares) > 1 else mean


def known(name: str) -> dict[str, dict[str, Any]]:
    """Return what ``keep`` saved under ``name``: entry to machine and results."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def keep(name: str, entry: str, **result: Any) -> None:
    """Add an entry, with the machine, to ``name``.json, so that long measurements can be resumed."""
    text = json.dumps(known(name) | {entry: {"machine": machine(), **result}}, indent=2)
    with replacing(RESULTS / f"{name}.json") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def write(name: str, result: dict[str, Any], figure: Figure) -> None:
    """Write ``name``.json, with the machine, and ``name``.png."""
    with replacing(RESULTS / f"{name}.json") as temporary:
        temporary.write_text(json.dumps({"machine": machine(), **result}, indent=2) + "\n", encoding="utf-8")
    save_figure(name, figure)


def save_figure(name: str, figure: Figure) -> None:
    """Write ``name``.png beside the JSON, and say so."""
    plots.save(figure, RESULTS / f"{name}.png")
    print(f"\nwritten: {RESULTS / name}.json and .png")
