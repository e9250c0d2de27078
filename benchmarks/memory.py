"""Peak memory of the examples: of the whole process, with training, evaluation and report.

    python benchmarks/memory.py

One epoch each, as more epochs need no more memory. Not for Windows, which does not report it.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import report

EXAMPLES = Path(__file__).parent.parent / "examples"
COMMANDS = {
    "train_fashion.py": [str(EXAMPLES / "train_fashion.py")],
    "minicnn train --recipe fashion-best": ["-m", "minicnn", "train", "--recipe", "fashion-best"],
    "train_mnist.py": [str(EXAMPLES / "train_mnist.py")],
    "minicnn train --recipe mnist-best": ["-m", "minicnn", "train", "--recipe", "mnist-best"],
}


def peak(arguments: list[str]) -> float:
    """Run a command for one epoch and return the peak memory of its process, in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *arguments, "--epochs", "1", "--out", folder]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)  # of this child only
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)  # macOS counts in bytes


def main() -> None:
    """Measure, print the table, write JSON and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="runs of each command (default: 3)")
    args = parser.parse_args()
    found = {name: [peak(command) for _ in range(args.runs)] for name, command in COMMANDS.items()}
    rows = [
        [f"`{name}`", f"{statistics.median(mib):.0f} MiB", f"{min(mib):.0f} to {max(mib):.0f}"]
        for name, mib in found.items()
    ]
    print(report.table(["command", "peak memory, median", f"of {args.runs} runs"], rows))
    medians = {name: statistics.median(mib) for name, mib in found.items()}
    figure = report.bars(medians, "peak memory (MiB, median)")
    report.write("memory", {"mib": found}, figure)


if __name__ == "__main__":
    main()
