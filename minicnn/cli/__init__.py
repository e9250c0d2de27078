"""The command line: ``minicnn train``, ``predict`` and the rest, also as ``python -m minicnn …``.

Each command is a file: ``add`` declares its options, ``main`` runs it and returns the exit status. Results go
to stdout, everything else to stderr.
"""

import argparse
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from minicnn import __version__
from minicnn.cli import crossval, data, evaluate, gradcheck, info, options, predict, report, train
from minicnn.errors import MiniCNNError
from minicnn.text import did_you_mean, tolerate_every_terminal

COMMANDS = train, evaluate, predict, crossval, report, gradcheck, data, info
NAMES = [command.__name__.rpartition(".")[2] for command in COMMANDS]
INTERRUPTED = 130  # as a shell reports Ctrl-C
CLOSED = 141  # the exit status of a shell for a closed pipe


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status, see ``exit_status``."""
    return exit_status(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser()
    if arguments and arguments[0][:1] != "-" and arguments[0] not in NAMES:
        hint = did_you_mean(arguments[0], NAMES) or f"; choose from {', '.join(NAMES)}"
        parser.error(f"unknown command {arguments[0]!r}{hint}")
    args = parser.parse_args(arguments)
    args.command = shlex.join(["minicnn", *arguments])
    return args.main(args)


def exit_status(main: Callable[[], int]) -> int:
    """Run a command or a script and return its exit status; errors and Ctrl-C print a line, not a traceback.

    ``main`` returns 0, or 1 if a target, a training or a check failed. Bad input gives 2.
    """
    tolerate_every_terminal()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            status = main()
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # as in "minicnn data | head"
        options.discard_stdout()
        return CLOSED
    except MiniCNNError as error:
        print(f"minicnn: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nminicnn: interrupted", file=sys.stderr)
        return INTERRUPTED


def _show_warning(message: Warning, *_: Any) -> None:
    """Print a warning without the line of code it comes from."""
    print(f"minicnn: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = options.Parser("minicnn", description="Convolutional networks from scratch.")
    parser.add_argument("--version", action="version", version=f"minicnn {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    for command in COMMANDS:
        command.add(commands)
    return parser
