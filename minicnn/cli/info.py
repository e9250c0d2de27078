"""``minicnn info``: what minicnn runs on."""

import argparse
from typing import Any

from minicnn import info
from minicnn.cli import options


def add(commands: Any) -> None:
    """Add the command."""
    options.command(
        commands,
        "info",
        run,
        "Show versions, processor, threads, BLAS and GPU. Where a GPU cannot be used, it says why.",
        "minicnn info --json",
    )


def run(args: argparse.Namespace) -> int:
    """Find out, print."""
    facts = info.describe()
    width = max(map(len, facts))
    options.show(args, facts, "\n".join(f"{name:{width}}  {value}" for name, value in facts.items()))
    return 0
