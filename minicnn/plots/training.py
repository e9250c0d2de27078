"""Figures of a training: learning curves."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minicnn.plots.style import TRAINING, VALIDATION, epoch_axis, loss_and_accuracy
from minicnn.train.history import History


def learning_curves(history: History, title: str = "") -> Figure:
    """Draw loss and accuracy over the epochs, of training and, if there is any, of validation."""
    figure, loss, accuracy = loss_and_accuracy(title or "Learning curves")
    _curve(loss, history, "loss", 1.0)
    _curve(accuracy, history, "accuracy", 100.0)
    return figure


def _curve(axes: Axes, history: History, column: str, scale: float) -> None:
    epochs = history["epoch"]
    axes.plot(epochs, np.multiply(history[column], scale), label="training (mean over the epoch)", **TRAINING)
    if f"val_{column}" in history:
        validation = np.multiply(history[f"val_{column}"], scale)
        axes.plot(epochs, validation, label="validation (after the epoch)", **VALIDATION)
    epoch_axis(axes, len(epochs))
    axes.legend()
