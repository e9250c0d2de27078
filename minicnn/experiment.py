"""`train_recipe`: train by a recipe and write the report, as the command line does."""

import sys
from pathlib import Path
from typing import Any

from minicnn import report
from minicnn.data import Dataset, DatasetSpec
from minicnn.errors import MiniCNNError
from minicnn.evaluate import match_classes
from minicnn.model import Sequential
from minicnn.runtime.threads import num_threads
from minicnn.text import echo
from minicnn.train import Checkpoint, Trainer
from minicnn.zoo import Recipe

HELD_OUT = 0.05
"""The share of the training images that is held out for the learning curves."""


def train_recipe(
    recipe: Recipe,
    train: Dataset,
    test: Dataset,
    spec: DatasetSpec,
    command: str,
    out: str | Path | None = None,
    force: bool = False,
    seed: int = 0,
    device: str = "cpu",
) -> report.Run:
    """Train by a recipe, use the test set once, and write the run with its report.

    Progress is printed to stderr. ``checkpoint.safetensors`` holds the best model so far, also after an
    interrupt. A recipe that mirrors its training images is also tested with ``flip_tta``, which gives
    ``mirrored_accuracy``. The preprocessing, two numbers, is fitted to all of ``train``, including the images
    that are held out.

    Parameters
    ----------
    recipe : Recipe
    train, test : Dataset
        What ``spec.load()`` returned.
    spec, command
        See ``report.write_run``.
    out, force
        See ``report.run_folder``; the default folder is ``runs/`` and the recipe's name.
    seed : int
        Seed of all random numbers.
    device : "cpu", "cuda" or "auto"

    Raises
    ------
    MiniCNNError, KeyboardInterrupt
        After printing the path of the checkpoint or the model, if there is one.
    """
    with report.run_folder(out, f"runs/{recipe.name}", force) as folder:
        trainer = recipe.trainer(train, seed, device)
        test = _check_test_set(test, trainer.model)
        _introduce(recipe, trainer, train, test, seed, folder)
        # run_folder has checked that files there may be replaced.
        checkpoint = Checkpoint(folder / report.CHECKPOINT, overwrite=True)
        options = recipe.fit_options()
        options["callbacks"].append(checkpoint)
        run = None
        try:
            trainer.fit(train, validation=HELD_OUT, seed=seed, **options)
            evaluation = trainer.evaluate(test)
            notes: dict[str, Any] = {"recipe": recipe.name}
            if recipe.augmentation is not None and recipe.augmentation.flip:
                notes["mirrored_accuracy"] = trainer.evaluate(test, flip_tta=True).accuracy
            run = report.write_run(folder, trainer, train, test, evaluation, spec, command, **notes)
            checkpoint.path.unlink(missing_ok=True)
            report.page_of(run, train, test).write(folder)
        except (KeyboardInterrupt, MiniCNNError):
            if run is not None:
                echo(f"\nthe finished model is in {folder / report.MODEL}", sys.stderr)
            elif checkpoint.epoch is not None:
                best = f"the best model so far, of epoch {checkpoint.epoch}, is in {checkpoint.path}"
                echo(f"\n{best}", sys.stderr)
            raise
        return run


def _check_test_set(test: Dataset, model: Sequential) -> Dataset:
    """Check before training that the model can be tested on ``test``; return it with the model's classes."""
    try:
        test = match_classes(test, model)
        model.preprocessing.check(test.images, model.input_shape)
    except MiniCNNError as reason:
        raise type(reason)(f"the test set, {test.name}: {reason}") from reason
    return test


def _introduce(
    recipe: Recipe, trainer: Trainer, train: Dataset, test: Dataset, seed: int, folder: Path
) -> None:
    """Print recipe, data, device, folder and network."""
    engine = f"{trainer.engine.name} engine, {num_threads()} threads"
    replaced = [folder / name for name in (report.MODEL, report.CHECKPOINT) if (folder / name).exists()]
    lines = [
        f"{recipe.name}: {recipe.about}",
        f"data {train.name}: {len(train):,} training and {len(test):,} test images of "
        f"{len(train.class_names)} classes",
        f"device {trainer.device}, {engine}, {trainer.model.precision}, seed {seed}",
        f"the run goes to {folder}",
        *(f"{path}, of an earlier run, will be replaced" for path in replaced),
        f"\n{trainer.model.summary_table()}\n",
    ]
    echo("\n".join(lines), sys.stderr)
