"""Show versions, processor, threads, BLAS and GPU.

If a GPU cannot be used, it says why.
"""

import argparse
from typing import Any

from minicnn import info
from minicnn.cli import options


def add(commands: Any) -> None:
    """Add the command."""
    options.command(commands, main, __doc__, "minicnn info --json")


def main(args: argparse.Namespace) -> int:
    """Describe the machine, print."""
    facts = info.describe()
    width = max(map(len, facts))
    options.show(args, facts, "\n".join(f"{name:{width}}  {value}" for name, value in facts.items()))
    return 0
