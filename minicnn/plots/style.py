"""Shared by all figures: colors, captions, grids of images, and saving."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from minicnn.files import replacing

TRAINING: dict[str, Any] = {"color": "#1f5fa8", "linestyle": "-", "marker": "o"}
VALIDATION: dict[str, Any] = {"color": "#c8500a", "linestyle": "--", "marker": "s"}


def save(figure: Figure, path: str | Path) -> None:
    """Write ``figure`` to ``path`` as PNG with 150 dpi; $ in a text is not read as TeX."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def percent(probability: float) -> str:
    """Return a probability in percent; those above 99.9 % are not rounded."""
    return ">99.9%" if probability > 0.999 else f"{probability:.1%}"


def short(name: str, most: int = 22) -> str:
    """Return a name, cut to ``most`` letters."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def curves(title: str, epochs: int, draw: Callable[[Axes, str, float], None]) -> Figure:
    """Return a figure of loss and accuracy over the epochs; ``draw(axes, column, scale)`` adds the lines."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    panels = ("loss", 1.0, "loss (cross-entropy)"), ("accuracy", 100.0, "accuracy (%)")
    for axes, (column, scale, label) in zip(figure.subplots(1, 2), panels, strict=True):
        draw(axes, column, scale)
        epoch_axis(axes, epochs)
        axes.set_ylabel(label)
        axes.legend()
    figure.suptitle(title)
    return figure


def epoch_axis(axes: Axes, epochs: int) -> None:
    """Let the x axis count epochs, in whole numbers."""
    axes.set_xlabel("epoch")
    axes.set_xlim(0.5, epochs + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)


def picture_grid(
    title: str, rows: int, columns: int, size: tuple[float, float], widths: Sequence[float] | None = None
) -> tuple[Figure, np.ndarray]:
    """Return a figure of ``size`` inches and its axes, (rows, columns), without frames and ticks."""
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(rows, columns, squeeze=False, width_ratios=widths)
    for axes in grid.flat:
        axes.set_axis_off()
    return figure, grid


def image_grid(images: np.ndarray, captions: Sequence[str], title: str, columns: int | None = None) -> Figure:
    """Draw images (K, H, W, C) with captions in a grid, by default a square one."""
    columns = max(1, int(np.ceil(np.sqrt(len(images))))) if columns is None else columns
    rows = max(1, -(-len(images) // columns))
    figure, grid = picture_grid(title, rows, columns, (max(2.1 * columns + 0.4, 5), 2.2 * rows + 0.5))
    for axes, image, caption in zip(grid.flat, images, captions, strict=False):
        show(axes, image)
        axes.set_title(caption, fontsize=8)
    return figure


def show(axes: Axes, image: np.ndarray) -> None:
    """Draw an image: three channels are RGB, four RGBA; otherwise the first is drawn in gray."""
    shown = image if image.shape[-1] in (3, 4) else image[..., 0]
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1)
