"""Redraw the report of a finished run.

Reads the folder that minicnn train or an example left, and the data that it was made with, and
writes report.html and its figures there.
"""

import argparse
from typing import Any

from minicnn.cli import options
from minicnn.data import DatasetSpec
from minicnn.errors import ConfigError


def add(commands: Any) -> None:
    """Add the command."""
    parser = options.command(commands, main, __doc__, "minicnn report runs/fashion-quick")
    parser.add_argument("folder", metavar="RUN", help="the folder of a run")
    parser.add_argument("--data", help="folder that holds the data set, if it has moved")


def main(args: argparse.Namespace) -> int:
    """Read, draw, write."""
    from minicnn import report  # here, because matplotlib takes long to import

    run = report.read_run(args.folder)
    if run.metrics.get("custom_sections"):
        raise ConfigError(
            f"{args.folder}: its report has sections that only the command that made it can draw; run it "
            f"again, into another folder: {run.metrics['command']}"
        )
    spec = DatasetSpec(**run.metrics["data"])
    if args.data:
        spec = spec.moved(args.data)
    page = report.page_of(run, *spec.load()).write(run.folder)
    options.show(args, {"report": str(page)}, str(page))
    return 0
