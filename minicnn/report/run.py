"""`Run`: a finished run, written to a folder, and the page that shows it."""

import hashlib
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import info
from minicnn.data import Dataset, DatasetSpec
from minicnn.errors import ConfigError, DataError, StateError
from minicnn.files import replacing
from minicnn.metrics import Evaluation
from minicnn.model import Sequential
from minicnn.reading import sha256
from minicnn.report import sections
from minicnn.report.folder import HISTORY, METRICS, MODEL, PREDICTIONS, check_run, release
from minicnn.report.page import Page
from minicnn.text import printable
from minicnn.train import History, Trainer

SIGNED = MODEL, HISTORY, PREDICTIONS
"""The files whose SHA-256 is in ``metrics.json``, so that files of another run are detected."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    ``evaluation`` is on the test set. ``metrics`` is the content of ``metrics.json``: scores, settings, data
    set, machine and command.
    """

    folder: Path
    model: Sequential
    history: History
    evaluation: Evaluation
    metrics: dict[str, Any]

    def __repr__(self) -> str:
        return printable(f"Run({self.folder}: {self.evaluation})")


def write_run(
    folder: str | Path,
    trainer: Trainer,
    train: Dataset,
    test: Dataset,
    evaluation: Evaluation,
    spec: DatasetSpec,
    command: str | None = None,
    **notes: Any,
) -> Run:
    """Write the model and the numbers of a finished run to ``folder``, and return the run.

    Writes all files but the page, which ``page_of`` makes. The folder is claimed with ``check_run``, unless
    this process has claimed it before, and released at the end.

    Parameters
    ----------
    folder : str or Path
    trainer : Trainer
        After ``fit``.
    train, test : Dataset
        What ``fit`` and ``evaluate`` were given.
    evaluation : Evaluation
        On ``test``.
    spec : DatasetSpec
        Where the data came from.
    command : str, optional
        The command line that reproduces the run; by default that of this process.
    notes
        More numbers and names for ``metrics.json``, such as the recipe's name.

    Raises
    ------
    OutputError
        If the folder cannot be written, or holds a run; see ``check_run``.
    StateError
        If the trainer has not trained yet.
    ConfigError
        If a note cannot be written as JSON.
    """
    folder, history = check_run(folder), trainer.history
    if len(history) == 0:
        raise StateError("write_run: the trainer has not trained yet; call trainer.fit(…) first")
    metrics = {
        "dataset": test.name,
        "test_accuracy": evaluation.accuracy,
        "test_loss": evaluation.loss,
        **evaluation.scores(),
        "epochs": len(history),
        "seconds_training": history.seconds,
        "images_per_second": history.images_per_second,
        "parameters": trainer.model.num_params,
        **trainer.settings,
        **notes,
        "images": {
            "training": trainer.total_images // trainer.epochs,
            "validation": 0 if trainer.held_out is None else len(trainer.held_out),
            "test": len(test),
        },
        "data": spec.asdict(),
        "command": shlex.join(["python", *sys.argv]) if command is None else command,
        "device": trainer.device,
        "engine": trainer.engine.name,
        "precision": trainer.model.precision,
        **info.environment(),
    }
    try:
        json.dumps(metrics, allow_nan=False)
    except (TypeError, ValueError) as reason:
        raise ConfigError(f"write_run: a note must be text or a plain number: {reason}") from reason
    trainer.model.info |= {"dataset": train.name, "test_accuracy": f"{evaluation.accuracy:.4f}"}
    _write_files(folder, trainer, evaluation, metrics, test)
    release(folder)
    return Run(folder, trainer.model, history, evaluation, metrics)


def _write_files(
    folder: Path, trainer: Trainer, evaluation: Evaluation, metrics: dict[str, Any], test: Dataset
) -> None:
    """Write model, history, predictions and, last, the metrics, to which the digests are added."""
    trainer.model.save(folder / MODEL)
    trainer.history.to_csv(folder / HISTORY)
    with replacing(folder / PREDICTIONS) as temporary:
        np.savez_compressed(temporary, labels=evaluation.labels, probabilities=evaluation.probabilities)
    metrics["digests"] = {name: sha256(folder / name) for name in SIGNED} | {"test set": _digest(test)}
    with replacing(folder / METRICS) as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")


def _digest(data: Dataset) -> str:
    """Return the SHA-256 of images and labels as hexadecimal digits."""
    digest = hashlib.sha256()
    for array in (data.images, data.labels):
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        digest.update(memoryview(np.ascontiguousarray(array)).cast("B"))  # pyright: ignore[reportArgumentType]: an array is a buffer
    return digest.hexdigest()


def page_of(run: Run, train: Dataset, test: Dataset) -> Page:
    """Draw the page of a run; sections can be added before it is written to ``run.folder``.

    Raises
    ------
    DataError
        If the run was not tested on ``test``, or ``train`` has other classes or images of another shape.
    """
    if run.metrics["digests"]["test set"] != _digest(test) or run.evaluation.class_names != test.class_names:
        raise DataError(
            f"{run.folder}: the run was tested on other images than these {len(test):,} of {test.name}: "
            "give the data that it was made with"
        )
    if (train.class_names, train.image_shape) != (test.class_names, test.image_shape):
        raise DataError(
            f"{run.folder}: the training set, {train.name}, has other classes or another image shape than "
            "the test set: give the data that the run was made with"
        )
    metrics = run.metrics
    facts = {
        "test accuracy": f"{metrics['test_accuracy']:.2%}",
        "95% interval": run.evaluation.interval_text(),
        "test loss": f"{metrics['test_loss']:.4f}",
        "parameters": f"{metrics['parameters']:,}",
        "epochs": str(metrics["epochs"]),
        "training time": sections.duration(metrics["seconds_training"]),
    }
    if "mirrored_accuracy" in metrics:
        facts["with mirror images"] = f"{metrics['mirrored_accuracy']:.2%}"
    title, warning = f"{train.name}: {metrics['test_accuracy']:.2%}", run.evaluation.failure()
    page = Page(title, _lead(run, train.name), facts, warning)
    sections.add_network(page, run.model)
    sections.add_data(page, train, test)
    sections.add_training(page, run.history, metrics)
    sections.add_results(page, test, run.evaluation)
    sections.add_inside(page, run.model, test)
    sections.add_origin(page, metrics)
    return page


def _lead(run: Run, name: str) -> str:
    """Return one sentence on what was trained, how, and on how many images of the data set ``name``."""
    images = run.metrics["images"]
    recipe = f" by the recipe {run.metrics['recipe']}" if "recipe" in run.metrics else ""
    held_out = f", {images['validation']:,} more for the learning curves," if images["validation"] else ""
    return (
        f"A network of {len(run.model.layers)} layers, trained{recipe} on {images['training']:,} images of "
        f"{name}{held_out} and at the end tested on {images['test']:,} others."
    )
