"""Figures of a training: learning curves."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minicnn.plots.style import TRAINING, VALIDATION, curves
from minicnn.train.history import History


def learning_curves(history: History, title: str = "") -> Figure:
    """Draw loss and accuracy over the epochs, of training and, if there is any, of validation."""
    epochs = history["epoch"]

    def draw(axes: Axes, column: str, scale: float) -> None:
        training = np.multiply(history[column], scale)
        axes.plot(epochs, training, label="training (mean over the epoch)", **TRAINING)
        if f"val_{column}" in history:
            validation = np.multiply(history[f"val_{column}"], scale)
            axes.plot(epochs, validation, label="validation (after the epoch)", **VALIDATION)

    return curves(title or "Learning curves", len(epochs), draw)
