"""`train_recipe`: a recipe from the data to the report, as the command line and the examples run it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minicnn import report
from minicnn.data import Dataset, DatasetSpec, split
from minicnn.errors import MiniCNNError
from minicnn.evaluate import match_classes
from minicnn.runtime.threads import num_threads
from minicnn.text import echo
from minicnn.train import Checkpoint, Trainer
from minicnn.zoo import Recipe


def train_recipe(
    recipe: Recipe,
    train: Dataset,
    test: Dataset,
    spec: DatasetSpec,
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
    the mean of the answers to an image and to its mirror image, as ``mirrored_accuracy``. The preprocessing,
    which is two numbers, is fitted to all of ``train``, the images that are held out included.

    Parameters
    ----------
    recipe : Recipe
    train, test : Dataset
        What ``spec.load()`` returned.
    spec, command, started
        See ``report.write_run``.
    out : str or Path
        Claimed by ``report.check_run``, unless it was before, as by ``report.prepare_folder``.
    seed : int
        Of weights, held-out images, their order and their augmentation.
    device : "cpu", "cuda" or "auto"
    validation : float, optional
        The share of the training images that is held out, for the learning curves; None: train on all.
    add : function, optional
        Adds sections of one's own to the report, before its last ones on the run's origin.
    notes : dict, optional
        More numbers for ``metrics.json``.

    Raises
    ------
    MiniCNNError
        What ``Trainer`` and ``report.write_run`` raise.
    KeyboardInterrupt
        When it was broken off; where the checkpoint, or the model, is has been said then.
    """
    with report.claimed(out) as out:
        trainer = recipe.trainer(train, seed, device)
        try:
            test = match_classes(test, trainer.model)
            trainer.model.preprocessing.check(test.images, trainer.model.input_shape)
        except MiniCNNError as reason:
            raise type(reason)(f"the test set, {test.name}: {reason}") from reason
        trained, held_out = (train, None) if validation is None else split(train, validation, seed)
        _introduce(recipe, trainer, train, test, seed, out)
        monitor = "accuracy" if validation is None else "val_accuracy"
        # Whatever is there may be replaced: the folder was claimed.
        checkpoint = Checkpoint(out / report.CHECKPOINT, monitor, overwrite=True)
        options = recipe.fit_options()
        options["callbacks"].append(checkpoint)
        run = None
        try:
            trainer.fit(trained, validation=held_out, seed=seed, **options)
            evaluation = trainer.evaluate(test)
            settings = recipe.settings() | {"held_out": validation, "seed": seed, **(notes or {})}
            settings["sections_of_its_own"] = add is not None
            if recipe.augmentation is not None and recipe.augmentation.flip:
                settings["mirrored_accuracy"] = trainer.evaluate(test, flip_tta=True).accuracy
            run = report.write_run(
                out, trainer, trained, test, evaluation, spec, command, started, held_out, **settings
            )
            checkpoint.path.unlink(missing_ok=True)  # the finished model has taken its place
            page = report.page_of(run, train, test)
            if add is not None:
                add(page, run)
            page.write(out)
        except (KeyboardInterrupt, MiniCNNError):
            if run is not None:
                echo(f"\nthe finished model is in {out / report.MODEL}", sys.stderr)
            elif checkpoint.epoch is not None:
                told = f"the best model so far, of epoch {checkpoint.epoch}, is in {checkpoint.path}"
                echo(f"\n{told}", sys.stderr)
            raise
        return run


def _introduce(recipe: Recipe, trainer: Trainer, train: Dataset, test: Dataset, seed: int, out: Path) -> None:
    """Say what is about to happen."""
    engine = f"{trainer.engine.name} engine, {num_threads()} threads"
    lines = [
        f"{recipe.name}: {recipe.about}",
        f"data {train.name}: {len(train):,} training and {len(test):,} test images of "
        f"{len(train.class_names)} classes",
        f"device {trainer.device}, {engine}, {trainer.model.precision}, seed {seed}",
        f"the run goes to {out}",
        *(
            f"{out / name}, of an earlier run, will be replaced"
            for name in (report.MODEL, report.CHECKPOINT)
            if (out / name).exists()
        ),
        f"\n{trainer.model.summary_table()}\n",
    ]
    echo("\n".join(lines), sys.stderr)
