"""The command line: ``minicnn train``, ``predict`` and the rest, also as ``python -m minicnn …``.

Each command is a file: ``add`` tells its options, ``run`` does it and returns the exit status. Results go
to stdout, all else to stderr.
"""

import argparse
import sys
from collections.abc import Sequence

from minicnn import __version__
from minicnn.cli import crossval, data, evaluate, gradcheck, info, predict, report, train
from minicnn.errors import MiniCNNError

COMMANDS = train, evaluate, predict, crossval, report, gradcheck, data, info
INTERRUPTED = 130  # what a shell gives for Ctrl-C


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, 1 if a target is missed or a check failed, or 2 for bad input."""
    args = _parser().parse_args(arguments)
    try:
        return args.run(args)
    except MiniCNNError as error:
        print(f"minicnn: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nminicnn: interrupted", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("minicnn", description="Convolutional networks from scratch.")
    parser.add_argument("--version", action="version", version=f"minicnn {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    for command in COMMANDS:
        command.add(commands)
    return parser
