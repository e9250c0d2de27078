"""Figures of a network: its layers, its filters, and what ``minicnn.explain`` computes."""

import inspect
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from minicnn.backend import to_numpy
from minicnn.checks import whole_number
from minicnn.errors import ConfigError, ShapeError
from minicnn.hints import constructor_parameters
from minicnn.layers import Layer
from minicnn.model import Sequential
from minicnn.plots.style import picture_grid, short, show

BOX = 2.6, 0.46  # inches
PITCH = 3.0, 0.7  # from one box to the next, across and down
ROWS = 12  # a longer model continues in the next column, in at most three
MOST_FILTERS = 64


def model_graph(model: Sequential, title: str = "") -> Figure:
    """Draw the layers from input to output: a box for each, joined by arrows.

    A box holds the layer's class and arguments, its name, its output shape and its number of parameters.
    An argument with its default value is not shown. Layers with parameters have a thick border, those that
    only act in training, such as Dropout, a dashed one. A long model is drawn in several columns.
    """
    boxes = len(model.layers) + 1  # with the input's
    columns = min(3, -(-boxes // ROWS))
    rows = -(-boxes // columns)
    corners = [(PITCH[0] * (i // rows), -PITCH[1] * (i % rows)) for i in range(boxes)]
    figure = Figure(figsize=(PITCH[0] * columns + 0.2, PITCH[1] * rows + 0.5))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.3, PITCH[0] * columns - 0.1), ylim=(-PITCH[1] * rows, 0.5))
    axes.set_axis_off()
    text = title or f"{len(model.layers)} layers, {model.num_params:,} parameters"
    figure.suptitle(text, y=0.99, va="top", fontsize=min(12, 400 * columns / len(text)))
    for start, end in pairwise(corners):
        _arrow(axes, start, end)
    _box(axes, corners[0], "Input", _shape_text(model.input_shape), facecolor="white", linewidth=0.7)
    for layer, corner in zip(model.layers, corners[1:], strict=True):
        _layer_box(axes, corner, layer)
    return figure


def _layer_box(axes: Axes, corner: tuple[float, float], layer: Layer) -> None:
    num_params = sum(array.size for array in layer.params.values())
    facts = [layer.name, _shape_text(layer.output_shape)]
    if num_params:
        facts.append(f"{num_params:,} parameters")
    _box(
        axes,
        corner,
        f"{type(layer).__name__}  {_arguments(layer)}".strip(),
        "   ".join(facts),
        facecolor=_tint(layer),
        linewidth=1.8 if num_params else 0.7,
        linestyle="--" if layer.for_inference() is None else "-",
    )


def _arguments(layer: Layer) -> str:
    """Return the layer's arguments as text: required ones by value, others by name where not the default."""
    shown, values = [], []
    for name, parameter in constructor_parameters(type(layer)).items():
        if not hasattr(layer, name):  # a custom layer may not store all
            continue
        value, default = _value_text(getattr(layer, name)), parameter.default
        if default is inspect.Parameter.empty:
            shown.append(value)
        # A layer stores 1 as (1, 1), and None as the value of another argument.
        elif value not in (_value_text(default), _value_text((default, default))) and not (
            default is None and value in values
        ):
            shown.append(f"{name} {value}")
        values.append(value)
    return ", ".join(shown)


def _value_text(value: Any) -> str:
    if isinstance(value, tuple) and all(isinstance(n, int) for n in value):
        return "×".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else short(" ".join(str(value).split()), 40)


def _tint(layer: Layer) -> str:
    """Return a color for what a layer does: the more it computes the darker, also in gray."""
    if layer.multiply_adds():
        return "#8fbbe0" if len(layer.output_shape) == 3 else "#f7b98b"
    if layer.params:
        return "#d9c9ea"
    if math.prod(layer.output_shape) < math.prod(layer.input_shape):
        return "#cfe8c6"
    return "#fbf3cf" if layer.output_shape == layer.input_shape else "white"


def _box(axes: Axes, corner: tuple[float, float], heading: str, facts: str, **style: Any) -> None:
    """Draw a box with two lines of text; ``corner`` is its upper left one."""
    (x, y), (width, height) = corner, BOX
    axes.add_patch(
        FancyBboxPatch(
            (x, y - height), width, height,
            boxstyle="round,pad=0,rounding_size=0.08", edgecolor="#333333", **style,
        )
    )  # fmt: skip
    center = x + width / 2
    # Long texts get a smaller font, so that they fit.
    axes.text(center, y - 0.14, heading, ha="center", va="center", fontsize=min(9, 310 / len(heading)))
    axes.text(center, y - 0.34, facts, ha="center", va="center", fontsize=min(7, 300 / len(facts)))


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow from the box at ``start`` to the one at ``end``, which may be in the next column."""
    (x, y), (next_x, top) = start, end
    width, height = BOX
    bottom, center, next_center = y - height, x + width / 2, next_x + width / 2
    path = [(center, bottom), (next_center, top)]
    if next_x != x:
        gap = (PITCH[1] - height) / 2
        gutter = x + (PITCH[0] + width) / 2
        low, high = bottom - gap, top + gap
        path[1:1] = [(center, low), (gutter, low), (gutter, high), (next_center, high)]
        axes.plot(*zip(*path[:-1], strict=True), color="#333333", linewidth=1)
    style = {"arrowstyle": "-|>", "color": "#333333", "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", path[-1], path[-2], arrowprops=style)


def _shape_text(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def filters(model: Sequential, layer: str | None = None, title: str = "") -> Figure:
    """Draw the filters of a convolution, at most 64, all on one scale.

    With one input channel, the weights are drawn: black negative, white positive, and 0 mid-gray. With more
    channels, the norm √(Σ W²) over the channels at each position of the window is drawn.

    Parameters
    ----------
    layer : str, optional
        The name of a layer whose weights are (KH, KW, C, OC), by default the first.
    """
    weights = {found.name: found.params["W"] for found in model.layers if "W" in found.params}
    weights = {name: to_numpy(W) for name, W in weights.items() if W.ndim == 4}
    if not weights:
        raise ConfigError("the model has no convolution, so there are no filters to draw")
    if layer is not None and layer not in weights:
        raise ConfigError(f"the model has no convolution {layer!r}: choose one of {', '.join(weights)}")
    name = next(iter(weights)) if layer is None else layer
    KH, KW, C, OC = weights[name].shape
    W = weights[name][..., :MOST_FILTERS]
    text = title or f"{name}: {_some(W.shape[-1], OC)} filters of {KH}×{KW}×{C}"
    if C == 1:
        limit = abs(W).max()
        return _tiles(W[:, :, 0], text, "gray", (-limit, limit), "weight")
    norms = np.sqrt((W**2).sum(axis=2))
    return _tiles(norms, text, "viridis", (0, norms.max()), "norm of the weights")


def feature_maps(maps: np.ndarray, title: str = "", count: int = 32) -> Figure:
    """Draw the first ``count`` channels, at least 1, of one image's activations, (H, W, C), on one scale.

    ``maps`` is one image's row of the result of ``explain.feature_maps``. If some values are negative, 0 is
    gray in the middle of the scale, lower values are bluer and darker, higher ones yellower and lighter.
    """
    if maps.ndim != 3:
        raise ShapeError(f"expected the maps of one image, (H, W, C), got {maps.shape}: pass maps[0]")
    shown = maps[..., : whole_number(count, "count")]
    text = f"{title}: " if title else ""
    text += f"{_some(shown.shape[-1], maps.shape[-1])} channels"
    if shown.min() < 0:
        # Two hues, but a single order from dark to light, which survives printing in gray.
        limit = abs(shown).max()
        return _tiles(shown, text, "cividis", (-limit, limit), "activation")
    return _tiles(shown, text, "viridis", (shown.min(), shown.max()), "activation")


def _some(shown: int, total: int) -> str:
    return f"{total}" if shown == total else f"the first {shown} of {total}"


def _tiles(pictures: np.ndarray, title: str, colors: str, limits: tuple[float, float], unit: str) -> Figure:
    """Draw numbered pictures, (H, W, K), in a grid with one scale for all."""
    K = pictures.shape[-1]
    low, high = limits
    if low == high:
        high += 1
    columns = min(8, K)
    rows = -(-K // columns)
    figure, grid = picture_grid(title, rows, columns, (max(4.5, 0.95 * columns + 1.4), 1.1 * rows + 0.6))
    for k, axes in enumerate(grid.flat[:K]):
        axes.imshow(pictures[..., k], cmap=colors, vmin=low, vmax=high)
        axes.set_title(str(k), fontsize=7, pad=2)
    figure.colorbar(grid[0, 0].images[0], ax=grid, label=unit, fraction=0.05)
    return figure


def heat_maps(images: np.ndarray, maps: np.ndarray, captions: Sequence[str], title: str = "") -> Figure:
    """Draw each image beside its map, dark where the map is 0 and light where it is largest.

    Parameters
    ----------
    images : (K, H, W, C), at least one
    maps : (K, H, W)
        Results of ``explain.saliency`` or ``explain.grad_cam``; each has its own scale.
    captions : sequence of K str
    """
    if len(images) == 0 or maps.shape != images.shape[:3] or len(captions) != len(images):
        raise ShapeError(
            f"expected at least one image, and a map and a caption for each, got images {images.shape}, "
            f"maps {maps.shape} and {len(captions)} captions"
        )
    pairs = min(3, len(images))  # in a row
    rows = -(-len(images) // pairs)
    title = title or "Each image and its map, light where the map is largest"
    # A narrow empty column after each pair.
    figure, grid = picture_grid(
        title, rows, 3 * pairs, (3 * pairs + 0.2, 1.7 * rows + 0.5), [1, 1, 0.05] * pairs
    )
    places = grid.reshape(-1, 3)[: len(images)]
    for (left, right, _), image, heat, caption in zip(places, images, maps, captions, strict=True):
        show(left, image)
        left.set_title(caption, fontsize=8)
        right.imshow(heat, cmap="inferno", vmin=0, vmax=heat.max())
    return figure


def search_results(
    queries: np.ndarray, results: np.ndarray, captions: Sequence[Sequence[str]], title: str = ""
) -> Figure:
    """Draw a row for each query: the query, then its results, the best first.

    Parameters
    ----------
    queries : (Q, H, W, C), at least one
    results : (Q, count, H, W, C)
    captions : Q sequences of 1 + count str
        The class of the query, then of each result. A result of another class is marked ✗.
    """
    count = results.shape[1]
    fits = len(results) == len(queries) and [len(row) for row in captions] == [1 + count] * len(queries)
    if len(queries) == 0 or not fits:
        raise ShapeError(
            f"expected at least one query, and results and 1 + {count} captions for each of {len(queries)}, "
            f"got results {results.shape} and captions of {[len(row) for row in captions]}"
        )
    title = title or "Each query and what is nearest to it; ✗ is of another class"
    size = (1 + count + 0.2, 1.2 * len(queries) + 0.5)
    # A narrow empty column separates the query from the results.
    figure, grid = picture_grid(title, len(queries), 2 + count, size, [1, 0.1] + [1] * count)
    for (left, _, *right), query, found, names in zip(grid, queries, results, captions, strict=True):
        show(left, query)
        left.set_title(names[0], fontsize=7, fontweight="bold")
        for axes, image, name in zip(right, found, names[1:], strict=True):
            show(axes, image)
            wrong = name != names[0]
            axes.set_title(f"✗ {name}" if wrong else name, fontsize=7, color="#b02020" if wrong else "black")
    return figure
