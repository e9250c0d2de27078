"""Figures of cross-validations: curves and accuracies of the folds."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minicnn.errors import ConfigError
from minicnn.plots.style import TRAINING, VALIDATION, curves
from minicnn.train.crossval import CrossValidation, require_same_folds


def fold_curves(cv: CrossValidation, title: str = "") -> Figure:
    """Draw loss and accuracy over the epochs: a thin line for each fold, a thick one for their mean.

    The mean ends where the shortest fold does.
    """
    lengths = list(map(len, cv.histories))
    shortest = min(lengths)

    def draw(axes: Axes, column: str, scale: float) -> None:
        for name, key, style in (("training", column, TRAINING), ("validation", f"val_{column}", VALIDATION)):
            folds = [np.multiply(history[key], scale) for history in cv.histories]
            for history, fold in zip(cv.histories, folds, strict=True):
                axes.plot(history["epoch"], fold, **dict(style, marker=""), linewidth=0.8, alpha=0.6)
            mean = np.mean([fold[:shortest] for fold in folds], axis=0)
            label = f"{name} (thick: mean of the folds)"
            axes.plot(range(1, shortest + 1), mean, **style, linewidth=2.5, label=label)

    text = title or f"{cv.name}: learning curves of {len(lengths)} folds and their mean"
    return curves(text, max(lengths), draw)


def accuracy_boxes(cvs: Sequence[CrossValidation], title: str = "") -> Figure:
    """Draw the accuracies of the folds as a box for each model; a gray line joins each fold's points.

    All models must have the same folds. A box goes from the first quartile to the third, its whiskers to the
    minimum and the maximum.
    """
    if not cvs:
        raise ConfigError("accuracy_boxes: expected at least one cross-validation, got none")
    for cv in cvs[1:]:
        require_same_folds(cvs[0], cv)
    accuracies = 100 * np.array([cv.accuracies for cv in cvs])  # (models, folds)
    names = [f"{cv.name}\n{cv.mean * 100:.2f} ± {cv.std * 100:.2f} %" for cv in cvs]
    places = np.arange(len(cvs))
    longest = max(len(line) for name in names for line in name.split("\n"))
    figure = Figure(figsize=(max(5.5, len(cvs) * (0.1 * longest + 0.3) + 1), 4.5), layout="constrained")
    axes = figure.subplots()
    folds = axes.plot(places, accuracies, color="0.6", linewidth=0.8, marker="o", markersize=4, zorder=3)
    boxes = axes.boxplot(
        accuracies.T,
        positions=places,
        whis=(0, 100),
        showfliers=False,
        widths=0.4,
        showmeans=True,
        medianprops={"color": TRAINING["color"], "linewidth": 2},
        meanprops={
            "marker": "D",
            "markersize": 9,
            "markerfacecolor": "none",  # a fold's point may lie beneath
            "markeredgecolor": VALIDATION["color"],
            "markeredgewidth": 2,
            "zorder": 4,
        },
    )
    axes.set_xticks(places, names)
    axes.set_xlim(-0.6, len(cvs) - 0.4)
    axes.set_ylabel("accuracy of a fold (%)")
    axes.grid(axis="y", alpha=0.3)
    axes.legend([folds[0], boxes["medians"][0], boxes["means"][0]], ["one fold", "median", "mean"])
    axes.set_title(title or f"Accuracy on {accuracies.shape[1]} folds")
    return figure
