"""What the commands share: how their options are read, where data come from, how results are printed."""

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from textwrap import wrap
from typing import Any

from minicnn import data, zoo
from minicnn.data.csv import stem
from minicnn.data.loader import name_in
from minicnn.errors import ConfigError
from minicnn.metrics import Evaluation
from minicnn.text import did_you_mean, echo
from minicnn.zoo import Recipe

WIDTH = 88
"""Of what is said loudly."""


class Parser(argparse.ArgumentParser):
    """Refuses what it does not know with the usage of the command at hand, and names what may be meant."""

    def parse_known_args(
        self, args: Any = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Read the options; without subcommands as with one, what is left over is an error here."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = re.findall(r"--[\w-]+", self.format_usage())
            meant = [
                did_you_mean(text.partition("=")[0], options) for text in unknown if text.startswith("-")
            ]
            self.error(f"unknown: {' '.join(unknown)}{''.join(meant)}")
        return found, unknown


def command(commands: Any, name: str, run: Callable, text: str, example: str) -> argparse.ArgumentParser:
    """Add a command with its help, which ends in an example, and the option ``--json``."""
    first = text.partition(". ")[0].rstrip(".")
    parser = commands.add_parser(
        name,
        help=first[0].lower() + first[1:],
        description="\n".join(wrap(text, 96)),
        epilog=f"example: {example}",
        # As they are: argparse would break the example at a hyphen.
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print the result for a program to read")
    parser.set_defaults(run=run)
    return parser


def add_data(
    parser: argparse.ArgumentParser,
    train: bool = True,
    test: bool = True,
    images: str = "only so many images to train, a fifth of it to test",
) -> None:
    """Add the options that choose the data."""
    parser.add_argument(
        "--dataset",
        help=f"{', '.join(data.names)}; your own files have any name, or that of whose class names they have",
    )
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        help="that holds it, or your own images as IDX files that are called as MNIST's are "
        "(default: MINICNN_DATA, else it is downloaded)",
    )
    if train:
        parser.add_argument("--train-csv", metavar="FILE", help="CSV to train on: label and pixels 0 to 255")
    if test:
        parser.add_argument("--test-csv", metavar="FILE", help="CSV to test on")
    parser.add_argument(
        "--label",
        metavar="COLUMN",
        help="of CSV files: first, last, or its title (default: as the header says)",
    )
    parser.add_argument("--images", type=count, help=images)


def add_training(parser: argparse.ArgumentParser) -> None:
    """Add the options that change a recipe, and the seed."""
    parser.add_argument("--epochs", type=count, help="passes over the data (default: the recipe's)")
    parser.add_argument("--batch-size", type=count, help="default: the recipe's")
    parser.add_argument("--lr", type=rate, help="highest learning rate (default: the recipe's)")
    parser.add_argument("--seed", type=seed, default=0, help="of everything that is drawn (default: 0)")
    parser.add_argument("--device", choices=("cpu", "cuda", "auto"), default="cpu", help="default: cpu")


def add_out(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the folder of the run."""
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help=f"for the run (default: runs/ and {what}, with a number where that is there already)",
    )
    parser.add_argument("--force", action="store_true", help="replace the run that is in the folder of --out")


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add the accuracy below which the exit status is 1."""
    parser.add_argument("--target-accuracy", type=accuracy, help="exit with 1 below it: 0.915 or 91.5")


def dataset_spec(args: argparse.Namespace, default: str) -> data.DatasetSpec:
    """Return the data set that the options of ``add_data`` name."""
    csv = getattr(args, "train_csv", None) or getattr(args, "test_csv", None)
    return data.DatasetSpec(
        args.dataset or (stem(csv) if csv else args.data and name_in(args.data)) or default,
        args.data,
        getattr(args, "train_csv", None),
        getattr(args, "test_csv", None),
        args.images,
        args.label,
    )


def changed(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    """Return the recipe with the changes that the options of ``add_training`` make."""
    changes = {"epochs": args.epochs, "batch_size": args.batch_size, "learning_rate": args.lr}
    return replace(recipe, **{name: value for name, value in changes.items() if value is not None})


def recipe(name: str) -> Recipe:
    """Read the name of a recipe."""
    try:
        return zoo.recipe(name)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def count(text: str) -> int:
    """Read a whole number of at least 1."""
    return _read(int, text, lambda value: value >= 1, "a whole number of at least 1")


def seed(text: str) -> int:
    """Read a whole number of at least 0."""
    return _read(int, text, lambda value: value >= 0, "a whole number of at least 0")


def rate(text: str) -> float:
    """Read a learning rate."""
    return _read(float, text, lambda value: 0 < value < math.inf, "a number above 0")


def margin(text: str) -> float:
    """Read the share of an image that stays empty on each side."""
    return _read(float, text, lambda value: 0 <= value < 0.5, "a share of at least 0, below 0.5")


def accuracy(text: str) -> float:
    """Read an accuracy as a share (0.915) or in per cent (91.5)."""
    value = _read(float, text, lambda value: 0 <= value <= 100, "a share (0…1) or a percentage (1…100)")
    return value if value <= 1 else value / 100


def _read(kind: Callable, text: str, fits: Callable, expected: str) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not fits(value):
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return value


def status(args: argparse.Namespace, accuracy: float, trained: Mapping[str, Evaluation] | None = None) -> int:
    """Return the exit status: 1, and say why, if a training failed or the target of ``add_target`` is missed.

    ``trained`` are the evaluations of trainings, by a name; see ``failed``.
    """
    missed = args.target_accuracy is not None and accuracy < args.target_accuracy
    if missed:
        print(f"minicnn: below the target of {args.target_accuracy:.2%}", file=sys.stderr)
    return 1 if failed(trained or {}) or missed else 0


def failed(trained: Mapping[str, Evaluation]) -> bool:
    """Say loudly in which trainings nothing was learned, and return whether there are any."""
    texts = [f"{name}: {found.failure()}" for name, found in trained.items() if not found.learned]
    if texts:
        lines = [f"!!  {line}" for text in texts for line in wrap(text, WIDTH - 4)]
        echo("\n".join(["", "!" * WIDTH, *lines, "!" * WIDTH]), sys.stderr)
    return bool(texts)


def show(args: argparse.Namespace, facts: Any, text: str) -> None:
    """Print a result, as text or as JSON."""
    echo(json.dumps(facts, indent=2) if args.json else text)
