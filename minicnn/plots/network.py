"""What a network is, and what is inside it once it is trained; see ``minicnn.explain`` for the numbers."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from minicnn import layers as L
from minicnn.backend import to_numpy
from minicnn.checks import whole_number
from minicnn.errors import ConfigError, ShapeError
from minicnn.layers import Layer
from minicnn.model import Sequential
from minicnn.plots.style import show

# Tints that differ in gray too, the darker the more the layer computes; what is not named here is white.
TINTS = {
    L.Conv2D: "#8fbbe0",
    L.Dense: "#f7b98b",
    L.BatchNorm: "#d9c9ea",
    L.MaxPool2D: "#cfe8c6",
    L.AvgPool2D: "#cfe8c6",
    L.GlobalAvgPool2D: "#cfe8c6",
    L.GlobalMaxPool2D: "#cfe8c6",
    L.ReLU: "#fbf3cf",
    L.LeakyReLU: "#fbf3cf",
}
BOX = 2.6, 0.46  # inches
PITCH = 3.0, 0.7  # from one box to the next, across and down
ROWS = 12  # a longer model goes on in the next column, in at most three
MOST_FILTERS = 64


def model_graph(model: Sequential, title: str = "") -> Figure:
    """Draw the layers from input to output: a box for each, an arrow for what one hands to the next.

    A box holds the layer's kind and essential arguments, its name, its output's shape and its number
    of parameters. Layers with parameters have a thick border; dropout, which is there in training
    only, a dashed one. A long model is folded into columns, read from the left.
    """
    boxes = len(model.layers) + 1  # with the input's
    columns = min(3, -(-boxes // ROWS))
    rows = -(-boxes // columns)
    places = [(PITCH[0] * (i // rows), -PITCH[1] * (i % rows)) for i in range(boxes)]
    figure = Figure(figsize=(PITCH[0] * columns + 0.2, PITCH[1] * rows + 0.5))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.3, PITCH[0] * columns - 0.1), ylim=(-PITCH[1] * rows, 0.5))
    axes.set_axis_off()
    text = title or f"{len(model.layers)} layers, {model.num_params:,} parameters"
    figure.suptitle(text, y=0.99, va="top", fontsize=min(12, 400 * columns / len(text)))
    for here, there in pairwise(places):
        _arrow(axes, here, there)
    _box(axes, places[0], "Input", _shape_text(model.input_shape), facecolor="white", linewidth=0.7)
    for layer, place in zip(model.layers, places[1:], strict=True):
        _layer_box(axes, place, layer)
    return figure


def _layer_box(axes: Axes, place: tuple[float, float], layer: Layer) -> None:
    parameters = sum(array.size for array in layer.params.values())
    facts = [layer.name, _shape_text(layer.output_shape)]
    if parameters:
        facts.append(f"{parameters:,} parameters")
    _box(
        axes,
        place,
        f"{type(layer).__name__}  {_essentials(layer)}".strip(),
        "   ".join(facts),
        facecolor=TINTS.get(type(layer), "white"),
        linewidth=1.8 if parameters else 0.7,
        linestyle="--" if isinstance(layer, L.Dropout) else "-",
    )


def _box(axes: Axes, place: tuple[float, float], heading: str, facts: str, **style: str | float) -> None:
    """Draw a box with two lines of text; ``place`` is its upper left corner."""
    (x, y), (width, height) = place, BOX
    corner = x, y - height
    axes.add_patch(
        FancyBboxPatch(
            corner, width, height, boxstyle="round,pad=0,rounding_size=0.08", edgecolor="#333333", **style
        )
    )
    center = x + width / 2
    # Long text is set smaller, so that it stays in its box.
    axes.text(center, y - 0.14, heading, ha="center", va="center", fontsize=min(9, 310 / len(heading)))
    axes.text(center, y - 0.34, facts, ha="center", va="center", fontsize=min(7, 300 / len(facts)))


def _arrow(axes: Axes, here: tuple[float, float], there: tuple[float, float]) -> None:
    """Draw an arrow from below one box to above the next, around the corner where a column ends."""
    (x, y), (next_x, next_y) = here, there
    width, height = BOX
    start, end = (x + width / 2, y - height), (next_x + width / 2, next_y)
    gap = PITCH[1] - height
    path = [start, end]
    if next_x != x:
        gutter = x + (PITCH[0] + width) / 2
        low, high = start[1] - gap / 2, end[1] + gap / 2
        path = [start, (start[0], low), (gutter, low), (gutter, high), (end[0], high), end]
        axes.plot(*zip(*path[:-1], strict=True), color="#333333", linewidth=1)
    axes.annotate(
        "",
        path[-1],
        path[-2],
        arrowprops={"arrowstyle": "-|>", "color": "#333333", "shrinkA": 0, "shrinkB": 0},
    )


def _essentials(layer: Layer) -> str:
    """Return the arguments that say what the layer does."""
    if isinstance(layer, L.Conv2D):
        parts = [f"{layer.filters} @ {_pair_text(layer.kernel_size)}", *_window_text(layer, (1, 1))]
        if layer.dilation_rate != (1, 1):
            parts.append(f"dilation {_pair_text(layer.dilation_rate)}")
        return ", ".join(parts)
    if isinstance(layer, L.MaxPool2D | L.AvgPool2D):
        return ", ".join([_pair_text(layer.pool_size), *_window_text(layer, layer.pool_size)])
    if isinstance(layer, L.Dense):
        return str(layer.units)
    if isinstance(layer, L.Dropout):
        return f"{layer.rate:g}"
    if isinstance(layer, L.LeakyReLU):
        return f"{layer.negative_slope:g}"
    return ""


def _window_text(layer: Layer, usual_strides: tuple[int, int]) -> list[str]:
    """Return padding and strides of a window where they are not what one expects."""
    parts = []
    if layer.padding != "valid":
        parts.append("same" if layer.padding == "same" else f"padding {layer.padding}")
    if layer.strides != usual_strides:
        parts.append(f"stride {_pair_text(layer.strides)}")
    return parts


def _pair_text(pair: tuple[int, int]) -> str:
    return f"{pair[0]}×{pair[1]}"


def _shape_text(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def filters(model: Sequential, layer: str | None = None, title: str = "") -> Figure:
    """Draw the kernels of a convolution, at most 64, all on one scale.

    Where the layer has one input channel, its weights are drawn: black negative, white positive, and
    mid-gray 0. With more input channels a kernel is no picture; drawn is where it looks, the norm
    √(Σ W²) over the input channels at each place of the window, which has no sign.

    Parameters
    ----------
    layer : str, optional
        The name of a Conv2D, by default the first.

    Raises
    ------
    ConfigError
        If the model has no such layer.
    """
    kernels = {found.name: found for found in model.layers if isinstance(found, L.Conv2D)}
    if not kernels:
        raise ConfigError("the model has no Conv2D, so there are no filters to draw")
    if layer is not None and layer not in kernels:
        raise ConfigError(f"the model has no Conv2D {layer!r}: choose one of {', '.join(kernels)}")
    name = next(iter(kernels)) if layer is None else layer
    W = to_numpy(kernels[name].params["W"])  # (KH, KW, C, OC)
    KH, KW, C, OC = W.shape
    shown = W[..., :MOST_FILTERS]
    text = title or f"{name}: {_some(shown.shape[-1], OC)} filters of {KH}×{KW}×{C}"
    if C == 1:
        limit = abs(shown).max()
        return _tiles(shown[:, :, 0], text, "gray", (-limit, limit), "weight")
    norms = np.sqrt((shown**2).sum(axis=2))
    return _tiles(norms, text, "viridis", (0, norms.max()), "norm of the weights")


def feature_maps(maps: np.ndarray, title: str = "", count: int = 32) -> Figure:
    """Draw the first ``count`` channels of one image's activations, (H, W, C), all on one scale.

    ``maps`` is one image's row of what ``explain.feature_maps`` returned. The figure's title is ``title``
    and how many channels of how many there are. Where some values are negative, 0 is gray in the middle of
    the scale, what is below is bluer and darker, what is above yellower and lighter.

    Raises
    ------
    ShapeError
        If ``maps`` is not (H, W, C).
    ConfigError
        If ``count`` is not at least 1.
    """
    if maps.ndim != 3:
        raise ShapeError(f"expected the maps of one image, (H, W, C), got {maps.shape}: pass maps[0]")
    shown = maps[..., : whole_number(count, "count")]
    text = f"{title}: " if title else ""
    text += f"{_some(shown.shape[-1], maps.shape[-1])} channels"
    if shown.min() < 0:
        # Two hues, but one order from dark to light, which stays when it is printed in gray.
        limit = abs(shown).max()
        return _tiles(shown, text, "cividis", (-limit, limit), "activation")
    return _tiles(shown, text, "viridis", (shown.min(), shown.max()), "activation")


def _some(shown: int, there_are: int) -> str:
    return f"{there_are}" if shown == there_are else f"the first {shown} of {there_are}"


def _tiles(pictures: np.ndarray, title: str, colors: str, limits: tuple[float, float], unit: str) -> Figure:
    """Draw numbered pictures, (H, W, K), in a grid with one scale for all."""
    K = pictures.shape[-1]
    low, high = limits
    if low == high:  # of maps that are all 0, say
        high += 1
    columns = min(8, K)
    rows = -(-K // columns)
    figure = Figure(figsize=(max(4.5, 0.95 * columns + 1.4), 1.1 * rows + 0.6), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for k, axes in enumerate(grid.flat[:K]):
        image = axes.imshow(pictures[..., k], cmap=colors, vmin=low, vmax=high)
        axes.set_title(str(k), fontsize=7, pad=2)
    figure.colorbar(image, ax=grid, label=unit, fraction=0.05)
    return figure


def heat_maps(images: np.ndarray, maps: np.ndarray, captions: Sequence[str], title: str = "") -> Figure:
    """Draw each image beside its map, dark where the map is 0 and light where it is largest.

    Parameters
    ----------
    images : (K, H, W, C)
    maps : (K, H, W)
        What ``explain.saliency`` or ``explain.grad_cam`` returned; each has its own scale.
    captions : sequence of K str

    Raises
    ------
    ShapeError
        If there is no image, or not a map of the image's size and a caption for each.
    """
    if len(images) == 0 or maps.shape != images.shape[:3] or len(captions) != len(images):
        raise ShapeError(
            f"expected at least one image, and a map and a caption for each, got images {images.shape}, "
            f"maps {maps.shape} and {len(captions)} captions"
        )
    pairs = min(3, len(images))  # in a row
    rows = -(-len(images) // pairs)
    figure = Figure(figsize=(3 * pairs + 0.2, 1.7 * rows + 0.5), layout="constrained")
    figure.suptitle(title or "Each image and its map, light where the map is largest")
    # A narrow empty column behind each pair holds it together.
    grid = figure.subplots(rows, 3 * pairs, squeeze=False, width_ratios=[1, 1, 0.05] * pairs)
    for axes in grid.flat:
        axes.set_axis_off()
    for (left, right, _), image, heat, caption in zip(
        grid.reshape(-1, 3), images, maps, captions, strict=False
    ):
        show(left, image)
        left.set_title(caption, fontsize=8)
        right.imshow(heat, cmap="inferno", vmin=0, vmax=heat.max())
    return figure


def search_results(
    queries: np.ndarray, results: np.ndarray, captions: Sequence[Sequence[str]], title: str = ""
) -> Figure:
    """Draw each query with what was found for it, a row for each query, the best beside it.

    Parameters
    ----------
    queries : (Q, H, W, C)
    results : (Q, count, H, W, C)
    captions : Q sequences of 1 + count str
        The class of the query, then of each result. A result of another class is marked ✗.

    Raises
    ------
    ShapeError
        If there is no query, or not results and captions for each.
    """
    count = results.shape[1]
    fits = len(results) == len(queries) and [len(row) for row in captions] == [1 + count] * len(queries)
    if len(queries) == 0 or not fits:
        raise ShapeError(
            f"expected at least one query, and results and 1 + {count} captions for each of {len(queries)}, "
            f"got results {results.shape} and captions of {[len(row) for row in captions]}"
        )
    figure = Figure(figsize=(1 + count + 0.2, 1.2 * len(queries) + 0.5), layout="constrained")
    figure.suptitle(title or "Each query and what is nearest to it; ✗ is of another class")
    # A narrow empty column keeps the query apart from what was found.
    grid = figure.subplots(len(queries), 2 + count, squeeze=False, width_ratios=[1, 0.1] + [1] * count)
    for axes in grid.flat:
        axes.set_axis_off()
    for (left, _, *right), query, found, names in zip(grid, queries, results, captions, strict=True):
        show(left, query)
        left.set_title(names[0], fontsize=7, fontweight="bold")
        for axes, image, name in zip(right, found, names[1:], strict=True):
            show(axes, image)
            wrong = name != names[0]
            text = f"✗ {name}" if wrong else name
            axes.set_title(text, fontsize=7, color="#b02020" if wrong else "black")
    return figure
