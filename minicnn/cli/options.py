"""Shared by the commands: options and their checks, the data they name, and how results are printed."""

import argparse
import json
import math
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from textwrap import wrap
from typing import Any

from minicnn import data, zoo
from minicnn.data.csv import stem
from minicnn.data.loader import name_in
from minicnn.errors import ConfigError, DataNotFoundError
from minicnn.metrics import Evaluation
from minicnn.text import did_you_mean, echo
from minicnn.zoo import Recipe

MODEL = "a file that was saved with model.save, or by minicnn train"
WIDTH = 88  # of the box around a warning


class Parser(argparse.ArgumentParser):
    """Report unknown options with the usage of their command, and the most similar known option."""

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]: fewer overloads
        self, args: Any = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse the options; exit if some are unknown."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            known = re.findall(r"--[\w-]+", self.format_usage())
            hints = [did_you_mean(text.partition("=")[0], known) for text in unknown if text[0] == "-"]
            self.error(f"unknown: {' '.join(unknown)}{''.join(hints)}")
        return found, unknown


def command(
    commands: Any, main: Callable[[argparse.Namespace], int], doc: str | None, example: str
) -> argparse.ArgumentParser:
    """Add the command of a module with the function ``main``, whose help is the docstring and an example."""
    doc = doc or ""  # None with python -OO
    summary = doc.partition("\n")[0].rstrip(".")
    parser = commands.add_parser(
        main.__module__.rpartition(".")[2],
        help=summary[0].lower() + summary[1:],
        description=doc,
        epilog=f"example: {example}",
        # Raw: argparse would break the example at a hyphen.
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(main=main)
    return parser


def add_data(
    parser: argparse.ArgumentParser,
    train: bool = True,
    test: bool = True,
    images: str = "use only this many images to train, and a fifth of it to test",
) -> None:
    """Add the options that choose the data."""
    parser.add_argument(
        "--dataset",
        help=f"{', '.join(data.names)}; for your own files any name, or one of these for its class names",
    )
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        help="of the data set, or of your own images in IDX files named like MNIST's "
        "(default: MINICNN_DATA, else download)",
    )
    if train:
        parser.add_argument("--train-csv", metavar="FILE", help="CSV to train on: label and pixels 0 to 255")
    if test:
        parser.add_argument("--test-csv", metavar="FILE", help="CSV to test on")
    parser.add_argument(
        "--label",
        metavar="COLUMN",
        help="the labels in CSV files: first, last, or its title (default: from the header)",
    )
    parser.add_argument("--images", type=count, help=images)


def add_training(
    parser: argparse.ArgumentParser,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
) -> None:
    """Add the options of a training with their defaults; None stands for the recipe's number."""
    default = "(default: the recipe's)" if epochs is None else "(default: %(default)s)"
    parser.add_argument("--epochs", type=count, default=epochs, help=f"passes over the data {default}")
    parser.add_argument("--batch-size", type=count, default=batch_size, help=f"images in a step {default}")
    parser.add_argument("--lr", type=rate, default=lr, help=f"highest learning rate {default}")


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Add the seed and the device."""
    parser.add_argument("--seed", type=seed, default=0, help="seed of all random numbers (default: 0)")
    parser.add_argument("--device", choices=("cpu", "cuda", "auto"), default="cpu", help="default: cpu")


def add_out(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the folder of the run."""
    parser.add_argument(
        "--out", metavar="FOLDER", help=f"of the run (default: {default}, numbered if it exists)"
    )
    parser.add_argument("--force", action="store_true", help="replace the run in the folder of --out")


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add the accuracy below which the exit status is 1."""
    parser.add_argument("--target-accuracy", type=accuracy, help="exit with 1 below it: 0.915 or 91.5")


def script_parser(description: str | None, out: str) -> Parser:
    """Return a parser with the options that all examples share."""
    parser = Parser(description=description)
    parser.add_argument("--data", help="folder of the data set (default: MINICNN_DATA, else download)")
    parser.add_argument("--images", type=count, help="use only this many to train, and a fifth of it to test")
    add_seed(parser)
    add_out(parser, out)
    add_target(parser)
    return parser


def load_or_synthetic(
    spec: data.DatasetSpec, strict: bool
) -> tuple[data.DatasetSpec, data.Dataset, data.Dataset]:
    """Load a data set; if it cannot be found or downloaded, warn and load the synthetic one.

    If ``strict`` or if a folder was given, raise instead.
    """
    try:
        return spec, *spec.load()
    except DataNotFoundError as reason:
        if strict or spec.folder:
            raise
        warn(
            f"{spec.name.upper()} COULD NOT BE FOUND OR DOWNLOADED. This run uses SYNTHETIC data instead, "
            f"garments drawn by minicnn. Its accuracy says nothing about {spec.name}, and its report and "
            'its numbers are named "synthetic". --strict-data makes this an error.'
        )
        echo(reason, sys.stderr)
    spec = data.DatasetSpec("synthetic", images=spec.images)
    return spec, *spec.load()


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


def _reader(kind: type, fits: Callable[[Any], bool], expected: str) -> Callable[[str], Any]:
    """Return a function that reads the number of an option and checks it."""

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not fits(value):
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
        return value

    return read


count = _reader(int, lambda value: value >= 1, "a whole number of at least 1")
seed = _reader(int, lambda value: value >= 0, "a whole number of at least 0")
rate = _reader(float, lambda value: 0 < value < math.inf, "a number above 0")
margin = _reader(float, lambda value: 0 <= value < 0.5, "a share of at least 0, below 0.5")
_percentage = _reader(float, lambda value: 0 <= value <= 100, "a share (0…1) or a percentage (1…100)")


def accuracy(text: str) -> float:
    """Read an accuracy as a share (0.915) or in percent (91.5)."""
    value = _percentage(text)
    return value if value <= 1 else value / 100


def status(args: argparse.Namespace, accuracy: float, trained: Mapping[str, Evaluation] | None = None) -> int:
    """Return the exit status: 1, with the reason on stderr, if a target is missed or a training failed.

    ``trained`` maps names to the evaluations of trainings; see ``warn_of_failures``.
    """
    missed = args.target_accuracy is not None and accuracy < args.target_accuracy
    if missed:
        print(f"minicnn: below the target of {args.target_accuracy:.2%}", file=sys.stderr)
    return 1 if warn_of_failures(trained or {}) or missed else 0


def warn_of_failures(trained: Mapping[str, Evaluation]) -> bool:
    """Print a box with the trainings in which nothing was learned, and return whether there are any."""
    texts = [f"{name}: {found.failure()}" for name, found in trained.items() if not found.learned]
    if texts:
        warn(*texts)
    return bool(texts)


def warn(*texts: str) -> None:
    """Print texts in a box of exclamation marks to stderr."""
    lines = [f"!!  {line}" for text in texts for line in wrap(text, WIDTH - 4)]
    echo("\n".join(["", "!" * WIDTH, *lines, "!" * WIDTH]), sys.stderr)


def discard_stdout() -> None:
    """Discard what stdout still buffers, or Python would report an error at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show(args: argparse.Namespace, facts: Any, text: str) -> None:
    """Print a result as text or as JSON; end the program if stdout cannot be written."""
    try:
        echo(json.dumps(facts, indent=2) if args.json else text)
    except BrokenPipeError:
        raise  # see cli.exit_status
    except OSError as error:
        discard_stdout()
        print(f"minicnn: cannot write the result: {error}", file=sys.stderr)
        sys.exit(2)
