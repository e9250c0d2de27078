"""How training went."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from minicnn.plots.style import TRAINING, VALIDATION
from minicnn.train.history import History


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
