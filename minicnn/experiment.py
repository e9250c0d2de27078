"""`train_recipe`: a recipe from the data to the report, as the command line runs it."""

import sys
from pathlib import Path

from minicnn import report
from minicnn.data import Dataset, DatasetSpec
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
    seed: int = 0,
    device: str = "cpu",
    validation: float | None = 0.05,
) -> report.Run:
    """Train by a recipe, use the test set once, and write the run with its report to ``out``.

    Progress is printed to stderr. During training the best model so far is in ``checkpoint.safetensors``; it
    stays there if training is interrupted. A recipe that mirrors its training images is also tested with
    ``flip_tta``, which gives ``mirrored_accuracy``. The preprocessing, which is two numbers, is fitted to all
    of ``train``, including the images that are held out.

    Parameters
    ----------
    recipe : Recipe
    train, test : Dataset
        What ``spec.load()`` returned.
    spec, command
        See ``report.write_run``.
    out : str or Path
        See ``report.run_folder``.
    seed : int
        Of weights, held-out images, their order and their augmentation.
    device : "cpu", "cuda" or "auto"
    validation : float, optional
        The share of the training images that is held out for the learning curves; None trains on all.

    Raises
    ------
    MiniCNNError
        What ``Trainer`` and ``report.write_run`` raise.
    KeyboardInterrupt
        If interrupted, after printing where the checkpoint or the model is.
    """
    with report.run_folder(out) as out:
        trainer = recipe.trainer(train, seed, device)
        try:
            test = match_classes(test, trainer.model)
            trainer.model.preprocessing.check(test.images, trainer.model.input_shape)
        except MiniCNNError as reason:
            raise type(reason)(f"the test set, {test.name}: {reason}") from reason
        _introduce(recipe, trainer, train, test, seed, out)
        monitor = "accuracy" if validation is None else "val_accuracy"
        # The folder is claimed: whatever is there may be replaced.
        checkpoint = Checkpoint(out / report.CHECKPOINT, monitor, overwrite=True)
        options = recipe.fit_options()
        options["callbacks"].append(checkpoint)
        run = None
        try:
            trainer.fit(train, validation=validation, seed=seed, **options)
            evaluation = trainer.evaluate(test)
            notes = {"recipe": recipe.name}
            if recipe.augmentation is not None and recipe.augmentation.flip:
                notes["mirrored_accuracy"] = trainer.evaluate(test, flip_tta=True).accuracy
            run = report.write_run(out, trainer, train, test, evaluation, spec, command, **notes)
            checkpoint.path.unlink(missing_ok=True)  # the finished model has taken its place
            report.page_of(run, train, test).write(out)
        except (KeyboardInterrupt, MiniCNNError):
            if run is not None:
                echo(f"\nthe finished model is in {out / report.MODEL}", sys.stderr)
            elif checkpoint.epoch is not None:
                found = f"the best model so far, of epoch {checkpoint.epoch}, is in {checkpoint.path}"
                echo(f"\n{found}", sys.stderr)
            raise
        return run


def _introduce(recipe: Recipe, trainer: Trainer, train: Dataset, test: Dataset, seed: int, out: Path) -> None:
    """Print what is about to happen."""
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
