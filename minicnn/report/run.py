"""What a training run leaves behind: a folder with the model, its numbers and its figures."""

import json
import time
from pathlib import Path
from typing import Any

from minicnn import plots
from minicnn.data import Dataset
from minicnn.errors import ConfigError, StateError
from minicnn.files import check_file, replacing
from minicnn.info import versions
from minicnn.kernels.threads import num_threads
from minicnn.train import Evaluation, Trainer

FILES = (
    "model.safetensors",
    "history.csv",
    "metrics.json",
    "learning_curves.png",
    "confusion_matrix.png",
    "samples.png",
    "mistakes.png",
)


def check_run(folder: str | Path) -> Path:
    """Check, before any training, that a run can be written to ``folder``; make it, and return it.

    Raises
    ------
    OutputError
        If it cannot be made or written.
    """
    for name in FILES:
        check_file(Path(folder) / name)
    return Path(folder)


def write_run(
    folder: str | Path,
    trainer: Trainer,
    train: Dataset,
    test: Dataset,
    evaluation: Evaluation,
    started: float,
    **settings: Any,
) -> dict[str, Any]:
    """Write everything about a finished run to ``folder`` and return the metrics.

    The files are those of ``FILES``. Each is replaced only by a complete one, and the data set's name
    is in each of them.

    Parameters
    ----------
    trainer
        After ``fit``.
    evaluation
        What ``trainer.evaluate(test)`` returned.
    started
        What ``time.perf_counter()`` gave when the program began; for ``seconds_total``, in which
        drawing and writing are counted.
    settings
        More numbers and names for ``metrics.json``, such as the seed.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    StateError
        If nothing was trained yet.
    ConfigError
        If a setting cannot be written as JSON.
    """
    folder, history, name = check_run(folder), trainer.history, test.name
    if len(history) == 0:
        raise StateError("write_run: nothing was trained yet; call trainer.fit(…) first")
    metrics = {
        "dataset": name,
        "test_accuracy": evaluation.accuracy,
        "test_loss": evaluation.loss,
        "epochs": len(history),
        "seconds_training": history.seconds,
        "images_per_second": history.images_per_second,
        "parameters": trainer.model.parameters,
        **settings,
        "device": trainer.device,
        "engine": trainer.engine.name,
        "precision": trainer.model.precision,
        "threads": num_threads(),
        "versions": versions(),
    }
    try:
        json.dumps(metrics)
    except TypeError as reason:
        raise ConfigError(f"write_run: a setting is neither text nor a plain number: {reason}") from reason
    trainer.model.info |= {"dataset": train.name, "test_accuracy": f"{evaluation.accuracy:.4f}"}
    trainer.model.save(folder / "model.safetensors")
    history.to_csv(folder / "history.csv")
    figures = {
        "learning_curves": plots.learning_curves(history, f"{train.name}: learning curves"),
        "confusion_matrix": plots.confusion_matrix(evaluation, f"{name}: accuracy {evaluation.accuracy:.2%}"),
        "samples": plots.samples(train, title=f"{train.name}: the first nine training images"),
        "mistakes": plots.mistakes(test, evaluation),
    }
    for figure_name, figure in figures.items():
        plots.save(figure, folder / f"{figure_name}.png")
    metrics["seconds_total"] = time.perf_counter() - started
    with replacing(folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    return metrics
