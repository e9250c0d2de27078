"""Show the contents of a data set.

Downloads it if it is not on this machine; can write it as CSV.
"""

import argparse
import os
from pathlib import Path
from typing import Any

from minicnn.cli import options
from minicnn.data import Dataset, write_csv
from minicnn.errors import OutputError
from minicnn.preprocessing import pixel_moments


def add(commands: Any) -> None:
    """Add the command."""
    parser = options.command(commands, main, __doc__, "minicnn data --dataset mnist --write-csv csv")
    options.add_data(parser)
    parser.add_argument("--write-csv", metavar="FOLDER", help="write new files train.csv and test.csv there")


def main(args: argparse.Namespace) -> int:
    """Load, print, and write CSV if asked to."""
    files = [Path(args.write_csv) / f"{part}.csv" for part in ("train", "test")] if args.write_csv else []
    for path in files:
        if os.path.exists(path):
            raise OutputError(f"{path}: there is a file of that name already: name another folder")
    train, test = options.dataset_spec(args, "fashion-mnist").load()
    facts = {"dataset": train.name, "training": _facts(train), "test": _facts(test)}
    if files:
        facts["files"] = list(map(str, files))
        for data, path in zip((train, test), files, strict=True):
            write_csv(data, path)
    width = max(map(len, train.class_names))
    lines = [
        f"{train.name}: {len(train):,} training and {len(test):,} test images",
        f"images {' × '.join(map(str, train.image_shape))}, {train.images.dtype}",
        f"training pixels: mean {facts['training']['mean']:.4f}, deviation {facts['training']['std']:.4f}",
        f"\n{'class':<{width}}  training    test",
    ]
    for name, *counts in zip(train.class_names, train.class_counts(), test.class_counts(), strict=True):
        lines.append(f"{name:<{width}}  {counts[0]:8,}  {counts[1]:6,}")
    options.show(args, facts, "\n".join([*lines, *facts.get("files", [])]))
    return 0


def _facts(data: Dataset) -> dict[str, Any]:
    """Describe one part; mean and deviation are on the scale 0…1."""
    mean, std = pixel_moments(data.images)
    return {
        "images": len(data),
        "shape": list(data.image_shape),
        "dtype": data.images.dtype.name,
        "classes": dict(zip(data.class_names, data.class_counts().tolist(), strict=True)),
        "mean": mean,
        "std": std,
    }
