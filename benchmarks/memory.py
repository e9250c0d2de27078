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
COMMANDS = (
    ("train_fashion.py",),
    ("train_fashion.py", "--recipe", "best"),
    ("train_mnist.py",),
    ("train_mnist.py", "--recipe", "best"),
)


def peak(script: str, *arguments: str) -> float:
    """Run an example for one epoch and return the peak memory of its process, in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(EXAMPLES / script), *arguments, "--epochs", "1", "--out", folder]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)  # of this child only
    if status:
        raise SystemExit(f"{script} failed")
    return usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)  # macOS counts in bytes


def main() -> None:
    """Measure, print the table, write JSON and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="runs of each example (default: 3)")
    args = parser.parse_args()
    found = {" ".join(command): [peak(*command) for _ in range(args.runs)] for command in COMMANDS}
    rows = [
        [f"`{name}`", f"{statistics.median(mib):.0f} MiB", f"{min(mib):.0f} to {max(mib):.0f}"]
        for name, mib in found.items()
    ]
    print(report.table(["example", "peak memory, median", f"of {args.runs} runs"], rows))
    medians = {name: statistics.median(mib) for name, mib in found.items()}
    figure = report.bars(medians, "peak memory (MiB, median)")
    report.write("memory", {"mib": found}, figure)


if __name__ == "__main__":
    main()
