"""Figures of an evaluation: confusion matrix, mistakes, calibration."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from minicnn.data import Dataset
from minicnn.errors import DataError
from minicnn.metrics import Evaluation
from minicnn.plots.style import TRAINING, image_grid, percent, short

MOST_NUMBERS = 50  # classes whose confusion matrix has room for numbers and for every name
LARGEST_DISC = 300  # its area in square points, of the bin with most images


def confusion_matrix(evaluation: Evaluation, title: str = "") -> Figure:
    """Draw the confusion matrix: true classes down, predicted ones across, counts in the cells.

    The shade is the share of the true class, so that classes of different sizes can be compared. With more
    than 50 classes, counts and some of the names are left out.
    """
    counts = evaluation.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    classes, names = len(counts), list(map(short, evaluation.class_names))
    has_room = classes <= MOST_NUMBERS
    side = max(4.5, 0.62 * classes + 1.8) if has_room else 14
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for true, predicted in np.argwhere(counts) if has_room else ():
        color = "white" if shares[true, predicted] > 0.5 else "black"
        axes.text(
            predicted, true, str(counts[true, predicted]), ha="center", va="center", color=color, fontsize=8
        )
    named = slice(None, None, -(-classes // MOST_NUMBERS))
    axes.set_xticks(range(classes)[named], names[named], rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(classes)[named], names[named])
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title(title or f"Confusion matrix, accuracy {evaluation.accuracy:.2%}")
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    return figure


def mistakes(data: Dataset, evaluation: Evaluation, count: int = 16, title: str = "") -> Figure:
    """Draw the most confident mistakes: images of ``data`` that were classified wrongly.

    ``evaluation`` is the result of ``evaluate(model, data)``.
    """
    if not np.array_equal(evaluation.labels, data.labels):
        raise DataError(f"expected the evaluation of these {len(data):,} images, got one of other images")
    wrong = evaluation.mistakes()[:count]
    names, confidence = list(map(short, data.class_names)), evaluation.probabilities.max(axis=1)
    captions = [
        f"is {names[data.labels[i]]}\ntaken for {names[evaluation.predicted[i]]}, {percent(confidence[i])}"
        for i in wrong
    ]
    text = title or f"{data.name}: the most confident mistakes"
    return image_grid(data.images[wrong], captions, text if len(wrong) else f"{text}: there are none")


def calibration(evaluation: Evaluation, title: str = "") -> Figure:
    """Draw the accuracy against the confidence, and a histogram of the confidence.

    The area of a disc shows the number of images in its bin: with few images, the accuracy is uncertain.
    """
    found = evaluation.calibration()
    used = found.count > 0
    figure = Figure(figsize=(5.2, 5.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot((0, 1), (0, 1), color="0.5", linestyle=":", label="perfect: as often right as confident")
    above.scatter(
        found.confidence[used],
        found.accuracy[used],
        LARGEST_DISC * found.count[used] / found.count.max(),
        color=TRAINING["color"],
        alpha=0.7,
        clip_on=False,  # whole where confidence and share are 1
        label=f"this model, the area by the number of images;\nexpected calibration error {found.error:.1%}",
    )
    above.set_ylabel("share of right answers")
    above.legend(loc="lower right", markerscale=0.5, fontsize=8)  # where few models have a disc
    below.bar(found.edges[:-1], found.count, np.diff(found.edges), align="edge", color="0.6", edgecolor="w")
    below.set_yscale("log")
    below.yaxis.set_major_formatter("{x:,.0f}")
    below.yaxis.set_minor_formatter(NullFormatter())
    below.set_ylabel("images")
    below.set_xlabel("confidence: the highest probability")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.set_xlim(0, 1)
    figure.suptitle(title or "Calibration")
    return figure
