"""Gradient checking: whether the hand-written backward pass is the derivative of the forward pass.

A random gradient dy makes the scalar Σ dy·y out of a layer's output; central differences of that
scalar are compared with what ``backward`` returns, in float64. A random dy matters: with dy = 1,
swapped axes and missing cross terms stay invisible.

The relative error of one element is |analytic − numeric| / max(|analytic|, |numeric|, floor), where
the floor is a thousandth of the largest gradient in the whole check: below it, central differences
are rounding noise.

A fast engine computes in float32, where differences would drown in rounding: ``check_engine`` holds its
gradients and its update to those of the layers in float64, which have been checked as above.

Sources: Bottou 2012, "Stochastic Gradient Descent Tricks", section 4.2; the CS231n notes, "Gradient
checks".
"""

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from minicnn import layers as L
from minicnn.checks import whole_number
from minicnn.engine import make_engine
from minicnn.errors import ConfigError, DTypeError, ShapeError, StateError
from minicnn.layers.base import Layer, Shape
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.model import Sequential
from minicnn.optimizers import SGD, Adam, AdamW, Optimizer

STEP = 1e-5  # of the central difference: error about STEP² + 1e-16 / STEP
TOLERANCE = 1e-6
ENGINE_TOLERANCE = 1e-4  # of float32, whose rounding of 6e-8 adds up
FLOOR = 1e-3


@dataclass(frozen=True)
class Result:
    """One checked array.

    Attributes
    ----------
    name : str
        What was checked: ``dense.W`` is the gradient of the layer "dense" with respect to W.
    error : float
        The worst relative error; NaN if a gradient is NaN.
    index : tuple of int, or None
        Where the worst error is; None where a random direction was checked instead of elements.
    analytic, numeric : float
        The two values there; of an engine its own, and that of the layers in float64.
    tolerance : float
        What the error has to be below.
    """

    name: str
    error: float
    index: tuple[int, ...] | None
    analytic: float
    numeric: float
    tolerance: float = TOLERANCE

    @property
    def ok(self) -> bool:
        """Whether the error is below the tolerance, 1e-6 but for engines; NaN is not."""
        return self.error < self.tolerance


def check_layer(layer: Layer, input_shape: Shape, batch: int = 3, seed: int = 0) -> list[Result]:
    """Check a layer element by element: dx, and the gradient of each parameter.

    ``backward`` is called twice, as for the first layer of a model (``need_dx=False``) and with old
    gradients in place, which it must replace; the worse of the two is reported.

    The layer is built here, in float64, on a copy; x holds distinct values away from 0, so that no
    difference steps over the kink of a ReLU or the change of a maximum.

    Parameters
    ----------
    layer
        Any layer, built or not.
    input_shape
        Of one sample.
    batch, seed : int
        Number of samples; of the random numbers.

    Returns
    -------
    list of Result
        First ``x``, then the parameters.

    Raises
    ------
    StateError, ShapeError, DTypeError
        If ``backward`` breaks the contract: it writes into x or dy, assigns too little or too much, or
        arrays of another shape or dtype.
    """
    rng = np.random.default_rng(seed)
    layer = copy.deepcopy(layer)
    output_shape = layer.build(input_shape, rng, "float64")
    _disturb(layer.params, rng)
    x = _distinct((whole_number(batch, "batch"), *layer.input_shape), rng)
    dy = rng.standard_normal((batch, *output_shape))

    # As the first layer of a model, and in the middle.
    as_first = _gradients(layer, x, dy, need_dx=False)
    in_middle = _gradients(layer, x, dy, need_dx=True)

    def outputs() -> np.ndarray:
        # A copy each time: dropout draws the same mask, running averages stay.
        return copy.deepcopy(layer).forward(x, training=True)

    arrays = {"x": x, **layer.params}
    numeric = {name: _elementwise(outputs, dy, array) for name, array in arrays.items()}
    results = _compare(layer.name, in_middle, numeric)
    again = _compare(layer.name, as_first, {name: numeric[name] for name in layer.params})
    return results[:1] + [max(pair, key=_badness) for pair in zip(results[1:], again, strict=True)]


def check_loss(loss: SoftmaxCrossEntropy, targets: np.ndarray, classes: int, seed: int = 0) -> list[Result]:
    """Check the loss's gradient with respect to the logits, element by element.

    Parameters
    ----------
    targets : (N,) labels or (N, classes) probabilities
    """
    logits = np.random.default_rng(seed).normal(0, 2, (len(targets), classes))
    loss.forward(logits, targets)
    analytic = {"logits": loss.backward()}
    one = np.ones(1)
    numeric = {"logits": _elementwise(lambda: np.array([loss(logits, targets)]), one, logits)}
    return _compare(type(loss).__name__.lower(), analytic, numeric)


def check_model(
    model: Sequential,
    x: np.ndarray,
    targets: np.ndarray,
    loss: SoftmaxCrossEntropy | None = None,
    elements: int = 200,
    seed: int = 0,
) -> list[Result]:
    """Check a whole model with its loss: every parameter, and the network input x.

    An array of at most ``elements`` numbers is checked element by element, a larger one along one
    random direction u of unit length: ⟨gradient, u⟩ against the difference along u.

    Parameters
    ----------
    model
        Built with ``dtype="float64"``; it is copied, so neither weights nor running averages change.
    x : (N, *input_shape) float64
    targets : (N,) labels or (N, K) probabilities

    Raises
    ------
    ConfigError
        If the model is not in float64: float32 rounding would look like a wrong gradient.
    """
    if model.dtype != np.float64:
        raise ConfigError(f'check_model needs Sequential(…, dtype="float64"), this model is {model.dtype}')
    loss = SoftmaxCrossEntropy() if loss is None else loss
    rng = np.random.default_rng(seed)
    model, x = copy.deepcopy(model), x.copy()

    used = copy.deepcopy(model)
    loss.forward(used.forward(x, training=True), targets)
    analytic = {"x": used.backward(loss.backward(), need_dx=True)}
    arrays = {"x": x}
    for layer, used_layer in zip(model.layers, used.layers, strict=True):
        analytic |= {f"{layer.name}.{name}": g for name, g in used_layer.grads.items()}
        arrays |= {f"{layer.name}.{name}": w for name, w in layer.params.items()}

    def value() -> np.ndarray:
        return np.array([loss(copy.deepcopy(model).forward(x, training=True), targets)])

    numeric, one = {}, np.ones(1)
    for name, array in arrays.items():
        if array.size <= elements:
            numeric[name] = _elementwise(value, one, array)
        else:
            direction = rng.standard_normal(array.shape)
            direction /= np.linalg.norm(direction)
            numeric[name] = np.array(_difference(value, one, array, direction))
            analytic[name] = np.array((analytic[name] * direction).sum())
    return _compare("model", analytic, numeric)


def check_all(seed: int = 0) -> list[Result]:
    """Check every layer of the library, in its awkward settings, the loss, and a small model."""
    whole_number(seed, "seed", 0)
    results = []
    for name, layer, shape in standard_layers():
        layer.name = name
        results += check_layer(layer, shape, seed=seed)
    rng = np.random.default_rng(seed)
    labels, probabilities = rng.integers(0, 5, 4), rng.dirichlet(np.ones(5), 4)
    results += check_loss(SoftmaxCrossEntropy(), labels, 5, seed)
    results += check_loss(SoftmaxCrossEntropy(label_smoothing=0.1), probabilities, 5, seed)
    model = Sequential(
        [
            L.Conv2D(4, 3, padding="same", use_bias=False),
            L.BatchNorm(),
            L.ReLU(),
            L.MaxPool2D(2),
            L.Conv2D(5, (2, 3), strides=(2, 1)),
            L.LeakyReLU(0.1),
            L.Flatten(),
            L.Dropout(0.3),
            L.Dense(5),
        ],
        input_shape=(9, 8, 2),
        seed=seed,
        dtype="float64",
    )
    return results + check_model(model, rng.standard_normal((4, 9, 8, 2)), labels, seed=seed)


def check_engine(engine: str = "fused", seed: int = 0) -> list[Result]:
    """Check one step of a fast engine: for every layer of the library, every loss and every optimizer.

    Each layer stands in a small classifier, between two layers with parameters: the gradients of the first
    are right only if its dx is. Gradients and running averages are held to those of the layers in float64,
    on the scale of the layer's largest; the update to that of the optimizer in float64, from the engine's
    own gradients, on the scale of the largest step.

    Returns
    -------
    list of Result
        For each layer of ``standard_layers`` its worst gradient (or running average) and its worst update.
    """
    whole_number(seed, "seed", 0)
    results = []
    for setting, layer, shape in standard_layers():
        gradients, updates = [], []
        for loss, optimizer in product(_LOSSES.values(), _OPTIMIZERS.values()):
            step = _EngineStep(engine, layer, shape, loss(), optimizer, seed)
            gradients += step.gradients(setting)
            updates += step.updates(setting)
        results += [max(gradients, key=_badness), max(updates, key=_badness)]
    return results


_LOSSES = {"plain": SoftmaxCrossEntropy, "smoothed": lambda: SoftmaxCrossEntropy(label_smoothing=0.1)}
_OPTIMIZERS = {
    "sgd": lambda: SGD(0.1, weight_decay=0.01),
    "momentum": lambda: SGD(0.1, momentum=0.9, weight_decay=0.01, decoupled=True, decay_all=True),
    "nesterov": lambda: SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: Adam(0.01, weight_decay=0.01),
    "adamw": lambda: AdamW(0.01),
}


class _EngineStep:
    """One step of an engine, beside the same step of the layers in float64."""

    def __init__(
        self,
        engine: str,
        layer: Layer,
        shape: Shape,
        loss: SoftmaxCrossEntropy,
        make_optimizer: Callable[[], Optimizer],
        seed: int,
    ) -> None:
        rng = np.random.default_rng(seed)
        model, self.exact = (_classifier(layer, shape, seed, dtype) for dtype in ("float32", "float64"))
        _disturb(model.arrays(), rng)
        self.exact.set_arrays(model.arrays())
        self.before = copy.deepcopy(self.exact)
        images, labels = rng.random((6, *shape), np.float32), rng.integers(0, 5, 6)
        x = self.exact.preprocess(images)
        make_engine(engine, model, loss, make_optimizer()).train_step(images, labels)
        loss.forward(self.exact.forward(x, training=True), labels)
        self.exact.backward(loss.backward())
        # The step of the optimizer in float64, along the gradients of the engine.
        self.stepped, optimizer = copy.deepcopy(self.before), make_optimizer()
        for ours, theirs in zip(model.layers, self.stepped.layers, strict=True):
            theirs.grads = {name: g.astype("float64") for name, g in ours.grads.items()}
        optimizer.step(self.stepped)
        self.model = model

    def gradients(self, setting: str) -> list[Result]:
        """Return the results for gradients and running averages, by layer and name."""
        found, layers = [], zip(self.model.layers, self.exact.layers, strict=True)
        anywhere = max(float(abs(g).max()) for layer in self.exact.layers for g in layer.grads.values())
        for ours, exact in layers:
            # A gradient that is 0 but for rounding, as of a bias before BatchNorm, has no scale of its own.
            scale = max([0.01 * anywhere, *(float(abs(g).max()) for g in exact.grads.values())])
            for name, g in exact.grads.items():
                found.append(_held_to(f"{setting}: {ours.name}.{name}", ours.grads[name], g, scale))
            for name, average in exact.state.items():
                scale = float(abs(average).max())
                found.append(_held_to(f"{setting}: {ours.name}.{name}", ours.state[name], average, scale))
        return found

    def updates(self, setting: str) -> list[Result]:
        """Return the results for the updated parameters, by layer and name."""
        found = []
        for ours, stepped, before in zip(
            self.model.layers, self.stepped.layers, self.before.layers, strict=True
        ):
            for name, w in stepped.params.items():
                scale = float(abs(w - before.params[name]).max())
                label = f"{setting}: {ours.name}.{name} updated"
                found.append(_held_to(label, ours.params[name], w, max(scale, 1e-3)))
        return found


def _classifier(layer: Layer, shape: Shape, seed: int, dtype: str) -> Sequential:
    """Return a model of five classes with a new ``layer`` in it, in front of it one with parameters."""
    first = L.Dense(shape[0]) if len(shape) == 1 else L.Conv2D(shape[-1], 1)
    layers = [first, type(layer)(**layer.config()), L.ReLU(), L.Flatten(), L.Dense(5)]
    return Sequential(layers, shape, seed=seed, dtype=dtype)


def _held_to(name: str, ours: np.ndarray, exact: np.ndarray, scale: float) -> Result:
    """Compare two arrays on a scale; the place of the worst error is the result's."""
    error = np.abs(ours - exact) / scale
    index = tuple(int(i) for i in np.unravel_index(error.argmax(), error.shape))
    values = float(error[index]), index, float(ours[index]), float(exact[index])
    return Result(name, *values, ENGINE_TOLERANCE)


def standard_layers() -> Iterator[tuple[str, Layer, Shape]]:
    """Yield the examples of every registered layer, by name: uneven sides, strides and paddings."""
    for name, kind in sorted(L.registry.items()):
        for setting, layer, shape in kind.examples():
            yield f"{name}, {setting}" if setting else name, layer, shape


def table(results: Iterable[Result]) -> str:
    """Return the results as text: name, worst relative error, where, both values, verdict."""
    rows = [("gradient", "worst error", "at", "analytic", "numeric", "")]
    for r in results:
        where = "direction" if r.index is None else str(r.index)
        verdict = "ok" if r.ok else "WRONG"
        rows.append((r.name, f"{r.error:.1e}", where, f"{r.analytic:+.6f}", f"{r.numeric:+.6f}", verdict))
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _gradients(layer: Layer, x: np.ndarray, dy: np.ndarray, need_dx: bool) -> dict[str, np.ndarray]:
    """Return what a copy of the layer computes for the parameters and, with ``need_dx``, for x."""
    used, given_x, given_dy = copy.deepcopy(layer), x.copy(), dy.copy()
    # Old gradients, which backward must replace: neither add to them nor leave them.
    used.grads = {name: np.full_like(w, 7) for name, w in used.params.items()}
    used.forward(given_x, training=True)
    dx = used.backward(given_dy, need_dx=need_dx)
    for name, given, before in (("x", given_x, x), ("dy", given_dy, dy)):
        if not np.array_equal(given, before):
            raise StateError(f"{layer.name}: forward or backward wrote into {name}; make a new array")
    return {"x": dx, **used.grads} if need_dx else used.grads


def _badness(result: Result) -> tuple[bool, float]:
    """Order results by error, NaN above all."""
    return math.isnan(result.error), result.error


def _disturb(params: dict[str, np.ndarray], rng: np.random.Generator) -> None:
    """Move the parameters off their special initial values, 0 and 1, where mistakes can hide."""
    for array in params.values():
        array += rng.normal(0, 0.1, array.shape)


def _distinct(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return numbers between −1 and 1 in random order, no two closer than many STEPs, none near 0."""
    n = math.prod(shape)
    values = (np.arange(n) + 0.5 - n / 2 + 0.25) * (2 / n)
    return rng.permutation(values).reshape(shape)


def _elementwise(outputs: Callable[[], np.ndarray], dy: np.ndarray, array: np.ndarray) -> np.ndarray:
    """Return the derivative of Σ dy·outputs() with respect to each element of ``array``."""
    numeric = np.empty_like(array)
    direction = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        direction[index] = 1
        numeric[index] = _difference(outputs, dy, array, direction)
        direction[index] = 0
    return numeric


def _difference(
    outputs: Callable[[], np.ndarray], dy: np.ndarray, array: np.ndarray, direction: np.ndarray
) -> float:
    """Return the central difference of Σ dy·outputs() as ``array`` moves along ``direction``."""
    before = array.copy()
    array[...] = before + STEP * direction
    above = outputs().copy()  # a layer may return a view of its input
    array[...] = before - STEP * direction
    below = outputs().copy()
    array[...] = before
    # Subtract first, then sum: what did not change cancels exactly.
    return float((dy * (above - below)).sum() / (2 * STEP))


def _compare(owner: str, analytic: dict[str, np.ndarray], numeric: dict[str, np.ndarray]) -> list[Result]:
    _check_contract(owner, analytic, numeric)
    # A NaN in one gradient must not spread to the verdict on the others.
    floor = FLOOR * max((np.abs(a[np.isfinite(a)]).max(initial=0) for a in analytic.values()), default=0)
    results = []
    for name, n in numeric.items():
        a = analytic[name]
        size = np.maximum(np.maximum(np.abs(a), np.abs(n)), floor)
        with np.errstate(invalid="ignore"):  # ∞ / ∞ is NaN, and NaN is wrong
            error = np.divide(np.abs(a - n), size, out=np.zeros_like(n), where=size != 0)
        # NaN counts as the worst of all: argmax returns the first NaN.
        index = tuple(int(i) for i in np.unravel_index(error.argmax(), error.shape))
        where = index if index else None
        results.append(
            Result(f"{owner}.{name}", float(error[index]), where, float(a[index]), float(n[index]))
        )
    return results


def _check_contract(owner: str, analytic: dict[str, np.ndarray], numeric: dict[str, np.ndarray]) -> None:
    """Refuse gradients that cannot be compared: missing, of nothing, or of another shape or dtype."""
    for name, n in numeric.items():
        a = analytic.get(name)
        if a is None:
            raise StateError(f"{owner}: backward gave no gradient of {name}: return dx, set grads['W'], …")
        if a.shape != n.shape:
            raise ShapeError(f"{owner}: the gradient of {name} must have its shape {n.shape}, got {a.shape}")
        if a.dtype != n.dtype:
            raise DTypeError(f"{owner}: the gradient of {name} must be {n.dtype}, got {a.dtype}")
    unknown = sorted(analytic.keys() - numeric.keys())
    if unknown:
        raise StateError(f"{owner}: gradients of {', '.join(unknown)}, which are no parameters")
