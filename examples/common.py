"""What the examples share: their options, where the data comes from, and how they end."""

import time

START = time.perf_counter()  # before the imports: they are part of what a person waits for

import argparse
import shlex
import sys
from collections.abc import Callable
from typing import NoReturn

import minicnn as mc
from minicnn import experiment, report, zoo
from minicnn.cli import options
from minicnn.data import Dataset, DatasetSpec
from minicnn.report import Run

BANNER = """
{line}
!!  {name} COULD NOT BE FOUND OR DOWNLOADED. This run uses SYNTHETIC data instead:
!!  garments drawn by minicnn. Its accuracy says nothing about {name}.
!!  Its report and its numbers carry the name "synthetic". --strict-data makes this an error.
{line}
{reason}
"""


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all examples have."""
    made = options.Parser(description=description.splitlines()[0])
    made.add_argument("--data", help="folder that holds the data set (default: MINICNN_DATA, else download)")
    made.add_argument("--images", type=options.count, help="only so many images to train, a fifth to test")
    options.add_training(made)
    options.add_out(made, "the example's name")
    options.add_target(made)
    return made


def command() -> str:
    """Return what a person types to have the same run."""
    return shlex.join(["python", *sys.argv])


def load(spec: DatasetSpec, stand_in: bool = False) -> tuple[DatasetSpec, Dataset, Dataset]:
    """Load a data set; with ``stand_in``, fall back on synthetic data, loudly, where it is not to be had.

    A folder that was named and does not hold it is an error: it was meant.
    """
    try:
        return spec, *spec.load()
    except mc.errors.DataNotFoundError as reason:
        if spec.folder or not stand_in:
            raise
        name = spec.name.upper()
        print(BANNER.format(line="!" * 88, name=name, reason=reason), file=sys.stderr, flush=True)
        synthetic = DatasetSpec("synthetic", images=spec.images)
        return synthetic, *synthetic.load()


def train_and_report(name: str, args: argparse.Namespace, out: str, stand_in: bool = False) -> Run:
    """Train by a recipe, use the test set once, and write the run, to ``out`` if no other place is named."""
    recipe = options.changed(zoo.recipe(name), args)
    spec, train, test = load(DatasetSpec(recipe.dataset, args.data, images=args.images), stand_in)
    out = report.prepare_folder(
        args.out, out if train.name == recipe.dataset else f"runs/{train.name}", args.force
    )
    run = experiment.train_recipe(recipe, train, test, spec, out, command(), START, args.seed, args.device)
    tell(run)
    return run


def status(args: argparse.Namespace, run: Run, accuracy: float | None = None) -> int:
    """Return the exit status; the target is for the run's accuracy, or for another one that is given."""
    accuracy = run.evaluation.accuracy if accuracy is None else accuracy
    return options.status(args, accuracy, {run.metrics["recipe"]: run.evaluation})


def tell(run: Run) -> None:
    """Print how a run has ended."""
    print(f"{run.evaluation.table()}\n\n{run.metrics['dataset']}, test set: {run.evaluation}")
    if "mirrored_accuracy" in run.metrics:
        print(f"with each image's mirror image as well: accuracy {run.metrics['mirrored_accuracy']:.2%}")
    print(f"{time.perf_counter() - START:.1f} s in all; see {run.folder}/report.html")


def run(main: Callable[[], int]) -> NoReturn:
    """Call ``main`` and exit with its status; bad input and Ctrl-C end in one line, not in a traceback."""
    try:
        sys.exit(main())
    except mc.errors.MiniCNNError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)
