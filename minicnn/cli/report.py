"""``minicnn report``: draw the report of a finished run anew."""

import argparse
from typing import Any

from minicnn.cli import options
from minicnn.data import DatasetSpec
from minicnn.errors import ConfigError


def add(commands: Any) -> None:
    """Add the command."""
    parser = options.command(
        commands,
        "report",
        run,
        "Draw the report of a finished run anew. Reads the folder that minicnn train or an example left, and "
        "the data that it was made with, and writes report.html and its figures there.",
        "minicnn report runs/fashion-quick",
    )
    parser.add_argument("folder", metavar="RUN", help="the folder of a run")
    parser.add_argument("--data", help="folder that holds the data set, if it has moved")


def run(args: argparse.Namespace) -> int:
    """Read, draw, write."""
    from minicnn.report import page_of, read_run

    done = read_run(args.folder)
    spec = DatasetSpec(**done.metrics["data"])
    if done.metrics.get("sections_of_its_own"):
        raise ConfigError(
            f"{args.folder}: its report has sections that only the command that made it can draw; run it "
            f"again, into another folder: {done.metrics['command']}"
        )
    if args.data:
        spec = spec.moved(args.data)
    page = page_of(done, *spec.load()).write(done.folder)
    options.show(args, {"report": str(page)}, str(page))
    return 0
