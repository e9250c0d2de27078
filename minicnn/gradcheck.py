"""Gradient checking: ``backward`` against numerical derivatives of ``forward``.

The result of ``backward`` for a random dy is compared with central differences of Σ dy·y, in float64. With
dy = 1 instead, swapped axes and missing cross terms would go unnoticed.

The relative error of an element is |analytic − numeric| / max(|analytic|, |numeric|, floor). The floor is a
thousandth of the largest gradient in the check: below it, differences are rounding noise.

The fast engines compute in float32, too coarse for differences: ``check_engine`` compares their gradients and
updates with those of the layers in float64.

Sources: Bottou 2012, "Stochastic Gradient Descent Tricks", section 4.2; the CS231n notes, "Gradient
checks".
"""

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from minicnn import layers as L
from minicnn.checks import whole_number
from minicnn.engine import make_engine
from minicnn.engine.audit import check_output
from minicnn.errors import ConfigError, DTypeError, ShapeError, StateError
from minicnn.layers.base import Layer, Shape
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.model import Sequential
from minicnn.optimizers import SGD, Adam, AdamW, Optimizer

STEP = 1e-5  # of the central difference, whose error is about STEP² + 1e-16 / STEP
TOLERANCE = 1e-6
ENGINE_TOLERANCE = 1e-4  # float32 rounds to 6e-8, and the errors add up
FLOOR = 1e-3


@dataclass(frozen=True)
class Result:
    """One checked array.

    Attributes
    ----------
    name : str
        ``dense.W`` is the gradient of the layer "dense" with respect to W.
    error : float
        The largest relative error; NaN if a gradient is NaN.
    index : tuple of int, or None
        Where the largest error is; None if a random direction was checked instead of elements.
    analytic, numeric : float
        The two values there; for an engine, its value and that of the layers in float64.
    tolerance : float
        The error must be below it.
    """

    name: str
    error: float
    index: tuple[int, ...] | None
    analytic: float
    numeric: float
    tolerance: float = TOLERANCE

    @property
    def ok(self) -> bool:
        """Whether the error is below the tolerance; False for NaN."""
        return self.error < self.tolerance


def check_layer(layer: Layer, input_shape: Shape, batch: int = 3, seed: int = 0) -> list[Result]:
    """Check dx and the gradient of each parameter element by element, in a float64 copy of ``layer``.

    ``backward`` is called with and without ``need_dx``, and must replace old gradients; the larger error is
    reported. The elements of x are distinct and away from 0, so that no difference crosses the kink of a ReLU
    or a change of maximum. The results begin with ``x``.

    Raises
    ------
    StateError, ShapeError, DTypeError
        If ``backward`` breaks the contract: it writes into x or dy, or assigns too few or too many
        gradients, or arrays of another shape or dtype.
    """
    rng = np.random.default_rng(seed)
    layer = copy.deepcopy(layer)
    output_shape = layer.build(input_shape, rng, "float64")
    _perturb(layer.params, rng)
    x = _distinct((whole_number(batch, "batch"), *layer.input_shape), rng)
    dy = rng.standard_normal((batch, *output_shape))
    without_dx, with_dx = (_gradients(layer, x, dy, need_dx) for need_dx in (False, True))

    def outputs() -> np.ndarray:
        # Of a copy, so that dropout draws the same mask and running averages stay.
        return copy.deepcopy(layer).forward(x, training=True)

    arrays = {"x": x, **layer.params}
    numeric = {name: _elementwise(outputs, dy, array) for name, array in arrays.items()}
    results = _compare(layer.name, with_dx, numeric)
    again = _compare(layer.name, without_dx, {name: numeric[name] for name in layer.params})
    return results[:1] + [max(pair, key=_badness) for pair in zip(results[1:], again, strict=True)]


def check_loss(loss: SoftmaxCrossEntropy, targets: np.ndarray, classes: int, seed: int = 0) -> list[Result]:
    """Check the gradient of the loss for ``targets``, labels or probabilities, element by element."""
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

    An array of at most ``elements`` numbers is checked element by element, a larger one along a random
    direction u of length 1: ⟨gradient, u⟩ is compared with the difference along u. ``targets`` are labels or
    probabilities. The model does not change.

    Raises
    ------
    ConfigError
        If the model is not in float64: float32 rounding would look like a wrong gradient.
    """
    if model.dtype != np.float64:
        raise ConfigError(f'check_model needs Sequential(…, dtype="float64"), this model is {model.dtype}')
    loss = SoftmaxCrossEntropy() if loss is None else loss
    rng = np.random.default_rng(seed)
    model, x, used = copy.deepcopy(model), x.copy(), copy.deepcopy(model)
    loss.forward(used.forward(x, training=True), targets)
    analytic: dict[str, Any] = {"x": used.backward(loss.backward(), need_dx=True)}
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
    """Check the examples of every registered layer, the loss, and a small model."""
    whole_number(seed, "seed", 0)
    results = []
    for name, layer, shape in standard_layers():
        layer.name = name
        results += check_layer(layer, shape, seed=seed)
    rng = np.random.default_rng(seed)
    labels, probabilities = rng.integers(0, 5, 4), rng.dirichlet(np.ones(5), 4)
    results += check_loss(SoftmaxCrossEntropy(), labels, 5, seed)
    results += check_loss(SoftmaxCrossEntropy(label_smoothing=0.1), probabilities, 5, seed)
    layers = [L.Conv2D(4, 3, padding="same", use_bias=False), L.BatchNorm(), L.ReLU(), L.MaxPool2D(2)]
    layers += [L.Conv2D(5, (2, 3), strides=(2, 1)), L.LeakyReLU(0.1)]
    layers += [L.Flatten(), L.Dropout(0.3), L.Dense(5)]
    model = Sequential(layers, (9, 8, 2), seed, "float64")
    return results + check_model(model, rng.standard_normal((4, 9, 8, 2)), labels, seed=seed)


def standard_layers() -> Iterator[tuple[str, Layer, Shape]]:
    """Yield the examples of every registered layer: a name, the layer, its input shape."""
    for name, kind in sorted(L.registry.items()):
        for setting, layer, shape in kind.examples():
            yield f"{name}, {setting}" if setting else name, layer, shape


_LOSSES = (SoftmaxCrossEntropy, lambda: SoftmaxCrossEntropy(label_smoothing=0.1))
_OPTIMIZERS = (
    lambda: SGD(0.1, weight_decay=0.01),
    lambda: SGD(0.1, momentum=0.9, weight_decay=0.01, decoupled=True, decay_all=True),
    lambda: SGD(0.1, momentum=0.9, nesterov=True),
    lambda: Adam(0.01, weight_decay=0.01),
    lambda: AdamW(0.01),
)


def check_engine(engine: str = "fused", seed: int = 0) -> list[Result]:
    """Check one step of a fast engine for every registered layer, with several losses and optimizers.

    Each layer is part of a small classifier, after a layer with parameters, whose gradients are right only if
    dx is. Gradients and running averages are compared with those of the layers in float64, relative to the
    layer's largest; updates with those of the optimizer in float64 for the engine's gradients, relative to
    the largest. The results are the worst gradient (or running average) and the worst update of each layer.
    """
    whole_number(seed, "seed", 0)
    results = []
    for name, layer, shape in standard_layers():
        gradients, updates = [], []
        for make_loss, make_optimizer in product(_LOSSES, _OPTIMIZERS):
            step = _engine_step(engine, name, layer, shape, make_loss(), make_optimizer, seed)
            gradients += step[0]
            updates += step[1]
        results += [max(gradients, key=_badness), max(updates, key=_badness)]
    return results


def _engine_step(
    engine: str,
    name: str,
    layer: Layer,
    shape: Shape,
    loss: SoftmaxCrossEntropy,
    make_optimizer: Callable[[], Optimizer],
    seed: int,
) -> tuple[list[Result], list[Result]]:
    """Return the results for the gradients (and running averages) and for the updates of one step."""
    rng = np.random.default_rng(seed)
    model, exact = (_classifier(layer, shape, seed, dtype) for dtype in ("float32", "float64"))
    _perturb(model.arrays(), rng)
    exact.set_arrays(model.arrays())
    before, updated = copy.deepcopy(exact), copy.deepcopy(exact)
    images, labels = rng.random((6, *shape), np.float32), rng.integers(0, 5, 6)
    make_engine(engine, model, loss, make_optimizer()).train_step(images, labels)
    loss.forward(exact.forward(exact.preprocess(images), training=True), labels)
    exact.backward(loss.backward())
    for ours, theirs in zip(model.layers, updated.layers, strict=True):
        theirs.grads = {key: g.astype("float64") for key, g in ours.grads.items()}
    make_optimizer().step(updated)

    def compare(key: str, ours: np.ndarray, theirs: np.ndarray, scale: float) -> Result:
        error = np.abs(ours - theirs) / scale
        return _worst(f"{name}: {fast.name}.{key}", error, ours, theirs, ENGINE_TOLERANCE)

    gradients, updates = [], []
    largest = max(_largest(g) for theirs in exact.layers for g in theirs.grads.values())
    stacks = model.layers, exact.layers, updated.layers, before.layers
    for fast, slow, after, old in zip(*stacks, strict=True):
        # At least 1 % of the model's largest: a bias before BatchNorm has a zero gradient up to rounding.
        scale = max([0.01 * largest, *map(_largest, slow.grads.values())])
        gradients += [compare(key, fast.grads[key], g, scale) for key, g in slow.grads.items()]
        gradients += [compare(key, fast.state[key], a, _largest(a)) for key, a in slow.state.items()]
        for key, w in after.params.items():
            scale = max(_largest(w - old.params[key]), 1e-3)
            updates.append(compare(f"{key} updated", fast.params[key], w, scale))
    return gradients, updates


def _classifier(layer: Layer, shape: Shape, seed: int, dtype: str) -> Sequential:
    """Return a model of five classes with a copy of ``layer`` after a layer with parameters."""
    first = [L.Dense(*shape)] if len(shape) == 1 else [L.Conv2D(shape[-1], 1)] if len(shape) == 3 else []
    layers = [*first, copy.deepcopy(layer), L.ReLU(), L.Flatten(), L.Dense(5)]
    return Sequential(layers, shape, seed=seed, dtype=dtype)


def _largest(array: np.ndarray) -> float:
    return float(np.abs(array).max())


def _worst(
    name: str, error: np.ndarray, analytic: np.ndarray, numeric: np.ndarray, tolerance: float = TOLERANCE
) -> Result:
    """Return the element with the largest error, or the first NaN."""
    index = tuple(int(i) for i in np.unravel_index(error.argmax(), error.shape))
    values = float(error[index]), index or None, float(analytic[index]), float(numeric[index])
    return Result(name, *values, tolerance)


def table(results: Iterable[Result]) -> str:
    """Return a table of the results: name, largest relative error, where, both values, verdict."""
    rows = [("gradient", "worst error", "at", "analytic", "numeric", "")]
    for r in results:
        where = "direction" if r.index is None else str(r.index)
        verdict = "ok" if r.ok else "WRONG"
        rows.append((r.name, f"{r.error:.1e}", where, f"{r.analytic:+.6f}", f"{r.numeric:+.6f}", verdict))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _gradients(layer: Layer, x: np.ndarray, dy: np.ndarray, need_dx: bool) -> dict[str, np.ndarray]:
    """Return the gradients of a copy of the layer for the parameters and, with ``need_dx``, for x."""
    used, given_x, given_dy = copy.deepcopy(layer), x.copy(), dy.copy()
    # Old gradients, which backward must replace.
    used.grads = {name: np.full_like(w, 7) for name, w in used.params.items()}
    check_output(used, used.forward(given_x, training=True), len(x))
    dx: Any = used.backward(given_dy, need_dx=need_dx)
    for name, given, before in (("x", given_x, x), ("dy", given_dy, dy)):
        if not np.array_equal(given, before):
            raise StateError(f"{layer.name}: forward or backward wrote into {name}; make a new array")
    return {"x": dx, **used.grads} if need_dx else used.grads


def _badness(result: Result) -> tuple[bool, float]:
    """Return a sort key: the error, with NaN last."""
    return math.isnan(result.error), result.error


def _perturb(arrays: dict[str, np.ndarray], rng: np.random.Generator) -> None:
    """Add noise to the arrays: initial values such as 0 and 1 can hide mistakes."""
    for array in arrays.values():
        array += rng.normal(0, 0.1, array.shape)


def _distinct(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return numbers from −1 to 1 in random order, far from 0 and from each other compared with STEP."""
    n = math.prod(shape)
    values = (np.arange(n) + 0.5 - n / 2 + 0.25) * (2 / n)
    return rng.permutation(values).reshape(shape)


def _elementwise(outputs: Callable[[], np.ndarray], dy: np.ndarray, array: np.ndarray) -> np.ndarray:
    """Return the derivative of Σ dy·outputs() with respect to each element of ``array``."""
    numeric, direction = np.empty_like(array), np.zeros_like(array)
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
    # Subtract first, so that unchanged outputs cancel exactly.
    return float((dy * (above - below)).sum() / (2 * STEP))


def _compare(owner: str, analytic: dict[str, np.ndarray], numeric: dict[str, np.ndarray]) -> list[Result]:
    _check_contract(owner, analytic, numeric)
    # Finite values only: a NaN in one gradient must not affect the others.
    floor = FLOOR * max((np.abs(a[np.isfinite(a)]).max(initial=0) for a in analytic.values()), default=0)
    results = []
    for name, n in numeric.items():
        a = analytic[name]
        size = np.maximum(np.maximum(np.abs(a), np.abs(n)), floor)
        with np.errstate(invalid="ignore"):  # ∞ / ∞ is NaN, and NaN is wrong
            error = np.divide(np.abs(a - n), size, out=np.zeros_like(n), where=size != 0)
        results.append(_worst(f"{owner}.{name}", error, a, n))
    return results


def _check_contract(owner: str, analytic: dict[str, np.ndarray], numeric: dict[str, np.ndarray]) -> None:
    """Raise for gradients that are missing, unknown, or of another shape or dtype than their arrays."""
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
        raise StateError(f"{owner}: gradients of {', '.join(unknown)}, which are not parameters")
