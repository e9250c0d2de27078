"""`run`: a recipe from the data to the report, as the command line and the examples run it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import report
from minicnn.data import Choice, Dataset
from minicnn.kernels.threads import num_threads
from minicnn.train import Checkpoint, Trainer
from minicnn.zoo import Recipe

CHECKPOINT = "checkpoint.safetensors"


def run(
    recipe: Recipe,
    train: Dataset,
    test: Dataset,
    choice: Choice,
    out: str | Path,
    command: str,
    started: float,
    seed: int = 0,
    device: str = "cpu",
    validation: float | None = 0.05,
    add: Callable[[report.Page, report.Run], None] | None = None,
    notes: dict[str, Any] | None = None,
) -> report.Run:
    """Train by a recipe, use the test set once, and write the run with its report to ``out``.

    What happens is told on stderr. While it trains, the best model so far is in ``checkpoint.safetensors``;
    it stays there if training is broken off. A recipe that mirrors its training images is also tested with
    the mean of the answers to an image and to its mirror image, as ``mirrored_accuracy``.

    Parameters
    ----------
    recipe : Recipe
    train, test : Dataset
        What ``choice.load()`` returned.
    choice, command, started
        See ``report.write_run``.
    seed : int
        Of weights, held-out images, their order and their augmentation.
    device : "cpu", "cuda" or "auto"
    validation : float, optional
        The share of the training images that is held out, for the learning curves; None: train on all.
    add : function, optional
        Adds sections of one's own to the report.
    notes : dict, optional
        More numbers for ``metrics.json``.

    Raises
    ------
    MiniCNNError
        What ``Trainer`` and ``report.write_run`` raise.
    KeyboardInterrupt
        When training was broken off, after saying where the checkpoint is.
    """
    out = report.check_run(out)
    trainer = recipe.trainer(train, seed, device)
    _introduce(recipe, trainer, train, test, seed)
    _fit(trainer, recipe, train, out / CHECKPOINT, seed, validation)
    evaluation = trainer.evaluate(test)
    settings: dict[str, Any] = {"recipe": recipe.name, "batch_size": recipe.batch_size}
    settings |= {"learning_rate": recipe.learning_rate, "seed": seed, **(notes or {})}
    if recipe.augmentation is not None and recipe.augmentation.flip:
        settings["mirrored_accuracy"] = trainer.evaluate(test, mirrored=True).accuracy
    written = report.write_run(out, trainer, train, test, evaluation, choice, command, started, **settings)
    (out / CHECKPOINT).unlink(missing_ok=True)  # the finished model has taken its place
    page = report.page_of(written, train, test)
    if add is not None:
        add(page, written)
    page.write(out)
    return written


def _fit(
    trainer: Trainer, recipe: Recipe, train: Dataset, checkpoint: Path, seed: int, validation: float | None
) -> None:
    """Train by a recipe, keeping the best model so far in a file."""
    options = recipe.fit_options()
    monitor = "accuracy" if validation is None else "val_accuracy"
    options["callbacks"].append(Checkpoint(checkpoint, monitor))
    try:
        trainer.fit(train, validation=validation, seed=seed, **options)
    except KeyboardInterrupt:
        if len(trainer.history):
            epoch = 1 + int(np.argmax(trainer.history[monitor]))
            print(f"\nthe best model so far, of epoch {epoch}, is in {checkpoint}", file=sys.stderr)
        raise


def _introduce(recipe: Recipe, trainer: Trainer, train: Dataset, test: Dataset, seed: int) -> None:
    """Say what is about to happen."""
    engine = f"{trainer.engine.name} engine, {num_threads()} threads"
    print(
        f"{recipe.name}: {recipe.about}\n"
        f"data {train.name}: {len(train):,} training and {len(test):,} test images\n"
        f"device {trainer.device}, {engine}, {trainer.model.precision}, seed {seed}\n\n"
        f"{trainer.model.summary_table()}\n",
        file=sys.stderr,
        flush=True,
    )
