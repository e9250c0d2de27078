"""Checks of a model and its arrays before a step or a prediction.

Between two steps a user may insert, remove or rebuild layers, change their attributes or replace an array,
but kernels rely on sizes. So each engine and predictor has an ``Audit`` of its model: ``is_current`` tells
whether the layers are unchanged, and ``check`` checks each array. ``Optimizer.begin_step`` checks gradients
and moments.
"""

from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter, is_
from typing import Any

import numpy as np

from minicnn.arrays import check_array, check_writable
from minicnn.backend import Array, array_class
from minicnn.errors import ConfigError, DTypeError, MiniCNNError, ShapeError, StateError
from minicnn.hints import constructor_parameters
from minicnn.layers import Layer, registry
from minicnn.optimizers import Optimizer
from minicnn.stack import Stack


def kind(layer: Layer) -> type[Layer]:
    """Return the layer's class; ``Layer`` if the object has its own ``forward`` or ``backward``."""
    own = vars(layer)
    return Layer if "forward" in own or "backward" in own else type(layer)


def is_exactly(thing: object, cls: type) -> bool:
    """Whether ``thing`` is an instance of ``cls`` itself, not of a subclass, with its original methods."""
    return type(thing) is cls and not _has_replaced_method(thing)


def fused_kernel(optimizer: Optimizer) -> str | None:
    """Return the name of the optimizer's kernel, or None for a custom optimizer."""
    kernel = vars(type(optimizer)).get("kernel")  # a subclass may compute something else
    return None if _has_replaced_method(optimizer) else kernel


def _has_replaced_method(thing: object) -> bool:
    return any(callable(getattr(type(thing), name, None)) for name in vars(thing))


class Audit:
    """A record of a model whose layers are built and fit together; raises a MiniCNNError if they do not."""

    def __init__(self, model: Stack) -> None:
        _check_row(model)
        self.model = model
        self._layers = list(model.layers)
        self._facts = _facts(model)
        self._array_class = array_class(model.device)
        self._remedy = (
            f"assign array.astype({model.dtype.name!r}) of that shape, or call build again; then "
            f"model.to({model.device!r})"
        )
        self._numbers: list[Any] = []
        self._expected = [
            (layer, layer.param_shapes(layer.input_shape), layer.state_shapes(layer.input_shape))
            for layer in model.layers
        ]

    def is_current(self) -> bool:
        """Whether the model is unchanged, apart from the numbers in its arrays."""
        try:
            now = self.model.layers
            same = len(now) == len(self._layers) and all(map(is_, now, self._layers))
            return same and self._facts == _facts(self.model)
        except (AttributeError, TypeError, ValueError):  # a new audit reports it
            return False

    def check(self, training: bool) -> None:
        """Check that all arrays have the class, shape and dtype that ``build`` gave them.

        Raises a MiniCNNError that names the layer and the array, before anything is changed.
        """
        self._check_numbers()
        of, dtype = self._array_class, self.model.dtype
        for layer, params, state in self._expected:
            for name, w in layer.params.items():
                shape = params.get(name) or getattr(w, "shape", ())  # a custom layer may not declare it
                check_array(w, of, shape, dtype, layer.name, name, self._remedy)
                if training:
                    check_writable(w, layer.name, name)
            for name, shape in state.items():
                check_array(layer.state[name], of, shape, dtype, layer.name, name, self._remedy)
            if training and type(layer.grads) is not dict:
                raise StateError(
                    f"layer {layer.name!r}: grads must be a dict, got {layer.grads!r}: set it to {{}}, "
                    "which each backward pass fills"
                )

    def _check_numbers(self) -> None:
        """Check the tunable numbers as the constructor would, if one has changed."""
        found = [_numbers(type(layer))(layer) for layer in self._layers]
        if found != self._numbers:
            for layer in self._layers:
                if _stores_arguments(type(layer)):
                    made = _remade(layer)
                    for name in layer.tunable:  # as a plain float
                        setattr(layer, name, getattr(made, name))
            self._numbers = found


def check_output(layer: Layer, y: Array, N: int) -> None:
    """Check that a custom layer's ``forward`` returned the declared shape and dtype."""
    remedy = "forward must return the declared shape"
    check_array(y, _array_type(y), (N, *layer.output_shape), layer.dtype, layer.name, "an output", remedy)


def check_dx(layer: Layer, dx: Array, N: int) -> None:
    """Check that a custom layer's ``backward`` returned the shape and dtype of its input."""
    remedy = "backward must return the gradient of its input"
    check_array(dx, _array_type(dx), (N, *layer.input_shape), layer.dtype, layer.name, "a dx", remedy)


def _array_type(returned: Any) -> type:
    """Return the class of an array; for a list, None and the like NumPy's, which is then the expected one."""
    return type(returned) if hasattr(returned, "dtype") else np.ndarray


def audited(model: Stack, last: Audit | None, training: bool) -> Audit:
    """Return ``last`` if it is current, else a new audit, and check the model's arrays."""
    audit = last if last is not None and last.model is model and last.is_current() else Audit(model)
    audit.check(training)
    return audit


def _facts(model: Stack) -> list[Any]:
    """Return everything that an engine's kernels and arrays depend on."""
    facts = [model.input_shape, model.output_shape, model.dtype, model.device]
    for layer in model.layers:
        facts += kind(layer), _built(type(layer))(layer), *layer.params, "state", *layer.state
    return facts


@lru_cache(maxsize=256)
def _built(of: type[Layer]) -> Callable[[Layer], tuple[Any, ...]]:
    """Return a function that reads a layer's attributes that ``build`` uses or sets."""
    names = ["name", "dtype", "input_shape", "output_shape"]
    if _stores_arguments(of):  # an unregistered class may not
        names += [name for name in constructor_parameters(of) if name not in of.tunable]
    return attrgetter(*names)


@lru_cache(maxsize=256)
def _numbers(of: type[Layer]) -> Callable[[Layer], Any]:
    """Return a function that reads the tunable numbers of a layer of this class."""
    return attrgetter(*of.tunable) if of.tunable and _stores_arguments(of) else lambda layer: None


def _stores_arguments(of: type[Layer]) -> bool:
    """Whether layers of this class store their constructor arguments as attributes: see ``register``."""
    return registry.get(of.__name__) is of and of.config is Layer.config


def _check_row(model: Stack) -> None:
    """Check that each layer is built for the output shape of the one before it."""
    seen: set[int | str] = set()
    shape, before = model.input_shape, "the model's input_shape"
    for layer in model.layers:
        if not isinstance(layer, Layer):
            raise ConfigError(f"expected layers in model.layers, got {layer!r}")
        where, build = f"layer {layer.name!r}", f"call build({shape}, rng, {model.dtype.name!r})"
        for arrays in (layer.params, layer.state):
            if type(arrays) is not dict:
                raise StateError(
                    f"{where}: params and state must be dicts of arrays, got {arrays!r}: {build}"
                )
        if id(layer) in seen:
            raise ConfigError(f"{where} appears twice: make one for each place")
        if layer.name in seen and (layer.params or layer.state):
            raise ConfigError(f"two layers are called {layer.name!r}: give each its own name")
        seen |= {id(layer), layer.name}
        if not hasattr(layer, "output_shape"):
            raise StateError(f"{where} is not built yet: {build}")
        if layer.dtype != model.dtype:
            raise DTypeError(f"{where} was built for {layer.dtype}, the model is {model.dtype}: {build}")
        if layer.input_shape != shape:
            raise ShapeError(
                f"{where} was built for an input of shape {layer.input_shape}, {before} is {shape}: {build}, "
                "and rebuild each layer after it"
            )
        _check_built(layer, build)
        shape, before = layer.output_shape, f"the output of {where}"
    if shape != model.output_shape:
        raise ShapeError(
            f"{before} is {shape}, the model's output_shape {model.output_shape}: set "
            f"model.output_shape = {shape}, and name the outputs with set_class_names"
        )


def _check_built(layer: Layer, build: str) -> None:
    """Check that a layer's arrays and attributes are those it was built with."""
    shape = layer.input_shape
    missing = layer.param_shapes(shape).keys() - layer.params.keys()
    missing |= layer.state_shapes(shape).keys() - layer.state.keys()
    if missing:
        raise StateError(f"layer {layer.name!r} has no {', '.join(sorted(missing))}: {build}")
    if not _stores_arguments(type(layer)):
        return
    made = _remade(layer)
    pairs = [
        ("an output of shape", made.compute_output_shape(shape), layer.output_shape),
        ("parameters", list(made.param_shapes(shape)), list(layer.params)),
        ("state", list(made.state_shapes(shape)), list(layer.state)),
    ]
    for what, declared, built in pairs:
        if declared != built:
            raise StateError(
                f"layer {layer.name!r}: its attributes give {what} {declared}, it was built with {built}: "
                f"{build} after a change, or undo the change"
            )


def _remade(layer: Layer) -> Layer:
    """Return a new layer with the same arguments; the constructor checks them."""
    try:
        made = type(layer)(**layer.config())
    except (MiniCNNError, AttributeError) as reason:
        raise ConfigError(f"layer {layer.name!r}: {reason}") from None
    made.name = layer.name
    return made
