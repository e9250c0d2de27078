"""Figures of data sets: samples, counts and means of the classes."""

import numpy as np
from matplotlib.figure import Figure

from minicnn.data import Dataset
from minicnn.plots.style import TRAINING, VALIDATION, image_grid, short


def samples(data: Dataset, count: int = 9, title: str = "") -> Figure:
    """Draw the first ``count`` images with the names of their classes."""
    shown = data.subset(slice(count))
    captions = [short(data.class_names[label]) for label in shown.labels]
    return image_grid(shown.images, captions, title or f"{data.name}: the first {len(shown)} images")


def class_counts(train: Dataset, test: Dataset, title: str = "") -> Figure:
    """Draw how many images of each class the training and the test set hold."""
    figure = Figure(figsize=(max(9, 0.4 * len(train.class_names)), 3.6), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(train.class_names))
    bars = ((train, TRAINING["color"], ""), (test, VALIDATION["color"], "//"))
    for shift, (data, color, hatch) in zip((-0.2, 0.2), bars, strict=True):
        part = "training" if data is train else "test"
        axes.bar(
            places + shift, data.class_counts(), 0.4, color=color, hatch=hatch, edgecolor="white",
            label=f"{part}, {len(data):,} images",
        )  # fmt: skip
    axes.set_xticks(
        places, list(map(short, train.class_names)), rotation=30, ha="right", rotation_mode="anchor"
    )
    axes.set_ylabel("images")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper right", ncols=2)
    figure.suptitle(title or f"{train.name}: images of each class", x=0.02, ha="left")
    return figure


def class_means(data: Dataset, title: str = "") -> Figure:
    """Draw the mean image of each class that has images."""
    present = np.flatnonzero(data.class_counts())
    scale = 255 if data.images.dtype == np.uint8 else 1
    means = [data.images[data.labels == label].mean(axis=0) / scale for label in present]
    names = [short(data.class_names[label]) for label in present]
    return image_grid(np.stack(means), names, title or f"{data.name}: the mean image of each class", 5)
