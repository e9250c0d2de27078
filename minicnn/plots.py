"""Figures: each function draws one and returns the matplotlib ``Figure``; ``save`` writes it as PNG.

Figures are made without pyplot, so nothing global is touched and no window is opened; in a notebook
the returned figure shows itself. Lines differ by dash as well as colour, and the confusion matrix
carries its numbers, so that all can be read in grey.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from minicnn.data import Dataset
from minicnn.files import replacing
from minicnn.train.history import History
from minicnn.train.metrics import Evaluation

TRAINING = {"color": "#1f5fa8", "linestyle": "-", "marker": "o"}
VALIDATION = {"color": "#c8500a", "linestyle": "--", "marker": "s"}


def save(figure: Figure, path: str | Path) -> None:
    """Write ``figure`` to ``path`` as PNG, 150 dots an inch.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def learning_curves(history: History, title: str = "") -> Figure:
    """Draw loss and accuracy over the epochs, training against validation where there was one."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    _curve(loss, history, "loss", 1.0)
    loss.set_ylabel("loss (cross-entropy)")
    _curve(accuracy, history, "accuracy", 100.0)
    accuracy.set_ylabel("accuracy (%)")
    figure.suptitle(title or "Learning curves")
    return figure


def _curve(axes: Axes, history: History, column: str, scale: float) -> None:
    epochs = history["epoch"]
    axes.plot(epochs, np.multiply(history[column], scale), label="training (mean over the epoch)", **TRAINING)
    if f"val_{column}" in history:
        validation = np.multiply(history[f"val_{column}"], scale)
        axes.plot(epochs, validation, label="validation (after the epoch)", **VALIDATION)
    axes.set_xlabel("epoch")
    axes.set_xlim(0.5, len(epochs) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.legend()


def confusion_matrix(evaluation: Evaluation, title: str = "") -> Figure:
    """Draw the confusion matrix: true classes down, predicted ones across, counts in the cells.

    The shade is the share of the true class, so that classes of different size compare.
    """
    counts = evaluation.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    classes = len(counts)
    side = max(4.5, 0.62 * classes + 1.8)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for true, predicted in np.ndindex(counts.shape):
        if counts[true, predicted]:
            colour = "white" if shares[true, predicted] > 0.5 else "black"
            axes.text(
                predicted, true, counts[true, predicted], ha="center", va="center", color=colour, fontsize=8
            )
    axes.set_xticks(range(classes), evaluation.class_names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(classes), evaluation.class_names)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title(title or f"Confusion matrix, accuracy {evaluation.accuracy:.2%}")
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    return figure


def samples(data: Dataset, count: int = 9, title: str = "") -> Figure:
    """Draw the first ``count`` images with the names of their classes."""
    shown = data.subset(slice(count))
    captions = [data.class_names[label] for label in shown.labels]
    return _image_grid(shown.images, captions, title or f"{data.name}: the first {len(shown)} images")


def mistakes(data: Dataset, evaluation: Evaluation, count: int = 16, title: str = "") -> Figure:
    """Draw the images of ``data`` that were classified wrongly with the most confidence.

    ``evaluation`` is what ``Trainer.evaluate(data)`` returned.
    """
    wrong = evaluation.mistakes()[:count]
    names, confidence = data.class_names, evaluation.probabilities.max(axis=1)
    captions = [
        f"is {names[data.labels[i]]}\ntaken for {names[evaluation.predicted[i]]}, {_percent(confidence[i])}"
        for i in wrong
    ]
    text = title or f"{data.name}: the most confident mistakes"
    return _image_grid(data.images[wrong], captions, text if len(wrong) else f"{text}: there are none")


def _percent(probability: float) -> str:
    """Return a probability in per cent; what is not certain is not called 100 %."""
    return ">99.9%" if probability > 0.999 else f"{probability:.1%}"


def _image_grid(images: np.ndarray, captions: Sequence[str], title: str) -> Figure:
    columns = max(1, int(np.ceil(np.sqrt(len(images)))))
    rows = max(1, -(-len(images) // columns))
    figure = Figure(figsize=(2.1 * columns + 0.4, 2.2 * rows + 0.5), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, caption in zip(grid.flat, images, captions, strict=False):
        # Three channels are RGB, four RGBA; else the first is shown in grey, light on dark as stored.
        shown = image if image.shape[-1] in (3, 4) else image[..., 0]
        axes.imshow(shown, cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1)
        axes.set_title(caption, fontsize=8)
    return figure
