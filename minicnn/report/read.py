"""Reading the folder of a run, and checking that its files belong together and hold what a page needs."""

from pathlib import Path
from typing import Any

import numpy as np

from minicnn.checks import number, whole_number
from minicnn.data import DatasetSpec
from minicnn.errors import DataError
from minicnn.metrics import Evaluation
from minicnn.model import Sequential, load
from minicnn.reading import file_of, json_object, npz, sha256, typed
from minicnn.report.folder import HISTORY, METRICS, MODEL, PREDICTIONS
from minicnn.report.run import SIGNED, Run
from minicnn.train import History

# The most bytes that a file may have, and that the arrays in the predictions may take.
MOST = {METRICS: 2**20, HISTORY: 2**22, PREDICTIONS: 2**26, MODEL: 2**31}
MOST_UNPACKED = 2**28


def read_run(folder: str | Path) -> Run:
    """Read what ``write_run`` wrote.

    Raises
    ------
    DataError
        If a file is missing or damaged, or its SHA-256 is not the one in ``metrics.json``.
    ModelFileError
        If the model cannot be loaded.
    """
    folder = Path(folder)
    try:
        metrics = json_object(file_of(folder / METRICS, MOST[METRICS]).read_text(encoding="utf-8"))
        _check_metrics(metrics)
        digests = {name: sha256(file_of(folder / name, MOST[name])) for name in SIGNED}
    except (OSError, ValueError) as reason:
        raise _no_run(folder, reason) from reason
    changed = [name for name in SIGNED if digests[name] != metrics["digests"][name]]
    if changed:
        raise DataError(
            f"{folder}: {', '.join(changed)} changed since the run wrote {METRICS}: damaged, edited or from "
            f"another run; restore the original, or repeat the run with: {metrics['command']}"
        )
    model = load(folder / MODEL)
    try:
        history = History.from_csv(folder / HISTORY)
        evaluation = _evaluation(folder / PREDICTIONS, metrics, model)
        _check_numbers(metrics, model, history, evaluation)
    except (OSError, ValueError) as reason:
        raise _no_run(folder, reason) from reason
    return Run(folder, model, history, evaluation, metrics)


def _no_run(folder: Path, reason: Exception) -> DataError:
    return DataError(
        f"{folder}: expected the folder of a finished run, with {METRICS}, {MODEL}, {PREDICTIONS} and "
        f"{HISTORY}, as minicnn train leaves it ({reason})"
    )


def _check_metrics(metrics: dict[str, Any]) -> None:
    """Raise ValueError if something that a page needs is missing or out of range."""
    for name in ("test_accuracy", "mirrored_accuracy"):
        if name in metrics or name == "test_accuracy":
            number(typed(metrics, name, float), name, "[0, 1]")
    for name in ("test_loss", "seconds_training"):
        number(typed(metrics, name, float), name, "[0, ∞)")
    for name in ("parameters", "epochs"):
        whole_number(typed(metrics, name, int), name, 0)
    for name in ("training", "validation", "test"):
        whole_number(typed(typed(metrics, "images", dict), name, int), f"the number of {name} images", 0)
    for name in (*SIGNED, "test set"):
        typed(typed(metrics, "digests", dict), name, str)
    typed(metrics, "command", str)
    typed(metrics, "versions", dict)
    data = typed(metrics, "data", dict)
    typed(data, "name", str)
    try:
        DatasetSpec(**data)
    except TypeError as reason:
        raise ValueError(f"'data' does not say where the data came from: {reason}") from reason


def _evaluation(path: Path, metrics: dict[str, Any], model: Sequential) -> Evaluation:
    """Return the predictions on the test set; raise ValueError if they cannot be the model's."""
    arrays = npz(path, {"labels": "iu", "probabilities": "f"}, MOST_UNPACKED)
    labels, probabilities = arrays["labels"], arrays["probabilities"]
    classes = len(model.class_names or ())
    if (
        labels.ndim != 1
        or probabilities.shape != (len(labels), classes)
        or not np.isin(labels, np.arange(classes)).all()
        or not (np.abs(probabilities.sum(axis=1) - 1) < 1e-3).all()
        or probabilities.min() < 0
    ):
        raise ValueError(
            f"expected in {PREDICTIONS}, for the {classes} classes of {MODEL}, labels (N,) and probabilities "
            f"(N, {classes}); got {labels.shape} and {probabilities.shape}: the files are not of one run"
        )
    return Evaluation(metrics["test_loss"], labels, probabilities, model.class_names or ())


def _check_numbers(
    metrics: dict[str, Any], model: Sequential, history: History, evaluation: Evaluation
) -> None:
    """Raise ValueError if the metrics are of another model, history or predictions."""
    found = {"test_accuracy": evaluation.accuracy, "parameters": model.num_params, "epochs": len(history)}
    for name, value in found.items():
        if metrics[name] != value:
            raise ValueError(f"{name} is {metrics[name]} in {METRICS}, and {value} in the other files")
    if metrics["images"]["test"] != len(evaluation.labels):
        raise ValueError(f"{METRICS} and {PREDICTIONS} differ in the number of test images")
