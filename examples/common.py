"""What the training examples share: their options, where the data comes from, and what they leave behind."""

import time

START = time.perf_counter()  # before the imports: they are part of what a person waits for

import argparse
import math
import sys
from collections.abc import Callable
from typing import NoReturn

import minicnn as mc
from minicnn import report
from minicnn.kernels.threads import num_threads

BANNER = """
{line}
!!  {name} COULD NOT BE FOUND OR DOWNLOADED. This run uses SYNTHETIC data instead:
!!  garments drawn by minicnn. Its accuracy says nothing about {name}.
!!  Every file it writes carries the name "synthetic". --strict-data makes this an error.
{line}
{reason}
"""


def arguments(description: str, epochs: int, batch_size: int, lr: float) -> argparse.Namespace:
    """Read the command line; the defaults are the example's recipe."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--epochs", type=count, default=epochs, help="passes over the data (default: %(default)s)"
    )
    parser.add_argument("--batch-size", type=count, default=batch_size, help="default: %(default)s")
    parser.add_argument("--lr", type=rate, default=lr, help="highest learning rate (default: %(default)s)")
    parser.add_argument("--seed", type=seed, default=0, help="of weights, split and order (default: 0)")
    parser.add_argument(
        "--data", help="folder that holds the data set (default: MINICNN_DATA, else download)"
    )
    parser.add_argument("--device", choices=("cpu", "cuda", "auto"), default="cpu", help="default: cpu")
    parser.add_argument("--out", help="folder for the results (default: runs/<data set>)")
    parser.add_argument("--target-accuracy", type=accuracy, help="exit with 1 below it: 0.915 or 91.5")
    parser.add_argument("--strict-data", action="store_true", help="no synthetic data for Fashion-MNIST")
    return parser.parse_args()


def count(text: str) -> int:
    """Read a whole number of at least 1."""
    return _read(int, text, lambda value: value >= 1, "a whole number of at least 1")


def seed(text: str) -> int:
    """Read a whole number of at least 0."""
    return _read(int, text, lambda value: value >= 0, "a whole number of at least 0")


def rate(text: str) -> float:
    """Read a learning rate."""
    return _read(float, text, lambda value: 0 < value < math.inf, "a number above 0")


def accuracy(text: str) -> float:
    """Read an accuracy as a share (0.915) or in per cent (91.5)."""
    value = _read(float, text, lambda value: 0 <= value <= 100, "a share (0…1) or a percentage (1…100)")
    return value if value <= 1 else value / 100


def _read(kind: Callable, text: str, fits: Callable, expected: str) -> float:
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not fits(value):
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return value


def load(
    name: str, args: argparse.Namespace, stand_in: bool = False
) -> tuple[mc.data.Dataset, mc.data.Dataset]:
    """Load a data set; with ``stand_in``, fall back on synthetic data, loudly, where it is not to be had.

    A folder named with ``--data`` that does not hold it is an error: it was meant.
    """
    try:
        return mc.data.load(name, args.data)
    except mc.errors.DataNotFoundError as reason:
        if args.strict_data or args.data or not stand_in:
            raise
        print(BANNER.format(line="!" * 88, name=name.upper(), reason=reason), file=sys.stderr, flush=True)
        return mc.data.load("synthetic")


def train_and_report(
    trainer: mc.Trainer,
    train: mc.data.Dataset,
    test: mc.data.Dataset,
    args: argparse.Namespace,
) -> int:
    """Train with a one-cycle schedule, use the test set once, write the run; return the exit status."""
    out = report.check_run(args.out or f"runs/{train.name}")
    print(f"data {train.name}: {len(train):,} training and {len(test):,} test images")
    engine = f"{trainer.engine.name} engine, {num_threads()} threads"
    print(f"device {trainer.device}, {engine}, {trainer.model.precision}, seed {args.seed}\n")
    trainer.model.summary()
    print(flush=True)
    trainer.fit(
        train,
        epochs=args.epochs,
        batch_size=args.batch_size,
        validation=0.05,
        callbacks=[mc.train.LearningRateSchedule(mc.schedules.OneCycle(args.lr))],
        seed=args.seed,
    )
    result = trainer.evaluate(test)
    settings = {name: getattr(args, name) for name in ("batch_size", "lr", "seed")}
    metrics = report.write_run(out, trainer, train, test, result, started=START, **settings)
    print(f"\n{result.table()}\n\n{test.name}, test set: {result}")
    print(f"{metrics['seconds_total']:.1f} s in all; see {out}")
    if args.target_accuracy is not None and result.accuracy < args.target_accuracy:
        print(f"below the target of {args.target_accuracy:.2%}", file=sys.stderr)
        return 1
    return 0


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
