"""What a step or a prediction computes with, looked at once before any kernel sees it.

Between two steps a person may put layers in and take them out, build them again in place, change their
attributes and replace every array. Kernels take sizes on trust. So whoever runs them keeps an ``Audit``
of the model: ``holds`` says whether it is still built as it was then, and ``check`` looks at each array.
The optimizer's ``begin_step`` does the same for the gradients and its own moments.
"""

import inspect
from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter, is_
from typing import TYPE_CHECKING, Any

from minicnn import layers as library
from minicnn.arrays import check_array, check_writable
from minicnn.backend import Array, array_class
from minicnn.errors import ConfigError, DTypeError, MiniCNNError, ShapeError, StateError
from minicnn.layers import Layer

if TYPE_CHECKING:
    from minicnn.model import Sequential

NUMBERS = ("momentum", "epsilon", "rate", "negative_slope")
"""What a layer reads anew each time it computes. All else that it was made with is read by ``build``."""

_LIBRARY = {getattr(library, name) for name in library.__all__} - {Layer}


def kind(layer: Layer) -> type:
    """Return the class that says what a layer computes; Layer where its object has a method of its own.

    A subclass is a class of its own, too: nobody but itself knows what it computes.
    """
    own = vars(layer)
    return Layer if "forward" in own or "backward" in own else type(layer)


def is_known(thing: object, *classes: type) -> bool:
    """Whether a loss or an optimizer is of one of these very classes, and no method of it was replaced."""
    of = type(thing)
    return of in classes and not any(callable(getattr(of, name, None)) for name in vars(thing))


class Audit:
    """The model as it was found: a row of built layers that fit to each other.

    Raises
    ------
    ConfigError, StateError, ShapeError, DTypeError
        If they do not; the message names the layer, what was expected, what was found and what to do.
    """

    def __init__(self, model: "Sequential") -> None:
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

    def holds(self) -> bool:
        """Whether the model still is what it was, but for the numbers in its arrays."""
        try:
            now = self.model.layers
            same = len(now) == len(self._layers) and all(map(is_, now, self._layers))
            return same and self._facts == _facts(self.model)
        except (AttributeError, TypeError, ValueError):  # no layers any more: a new audit tells
            return False

    def check(self, training: bool) -> None:
        """Refuse arrays that are not of the class, shape and dtype that ``build`` makes.

        Raises
        ------
        ConfigError, StateError, ShapeError, DTypeError
            Naming the layer and the array; nothing has been changed then.
        """
        self._check_numbers()
        of, dtype = self._array_class, self.model.dtype
        for layer, params, state in self._expected:
            for name, w in layer.params.items():
                shape = params.get(name) or getattr(w, "shape", ())  # a layer of one's own may not say
                check_array(w, of, shape, dtype, layer.name, name, self._remedy)
                if training:
                    check_writable(w, layer.name, name)
            for name, shape in state.items():
                check_array(layer.state[name], of, shape, dtype, layer.name, name, self._remedy)
            if training and type(layer.grads) is not dict:
                raise StateError(
                    f"layer {layer.name!r}: grads must be a dict, it is {layer.grads!r}: set it to {{}}, "
                    "which each backward pass fills"
                )

    def _check_numbers(self) -> None:
        """Refuse numbers that no layer would be made with, where one has changed."""
        found = [_numbers(type(layer))(layer) for layer, _, _ in self._expected]
        if found != self._numbers:
            for layer, _, _ in self._expected:
                if type(layer) in _LIBRARY:
                    made = _made_anew(layer)
                    for name in NUMBERS:
                        if hasattr(layer, name):  # as a plain float
                            setattr(layer, name, getattr(made, name))
            self._numbers = found


def check_output(layer: Layer, y: Array, N: int) -> None:
    """Refuse what ``forward`` of a layer of one's own returned, if it is not what ``build`` has said."""
    remedy = "forward must return what build has said"
    check_array(y, type(y), (N, *layer.output_shape), layer.dtype, layer.name, "an output", remedy)


def check_dx(layer: Layer, dx: Array, N: int) -> None:
    """Refuse what ``backward`` of a layer of one's own returned, if it is no gradient of its input."""
    remedy = "backward must return the gradient of its input"
    check_array(dx, type(dx), (N, *layer.input_shape), layer.dtype, layer.name, "a dx", remedy)


def audited(model: "Sequential", last: Audit | None, training: bool) -> Audit:
    """Return ``last`` if it still holds, else a new audit of the model; its arrays are checked."""
    audit = last if last is not None and last.model is model and last.holds() else Audit(model)
    audit.check(training)
    return audit


def _facts(model: "Sequential") -> list[Any]:
    """Return all that kernels, their arrays and their order are fixed for."""
    facts = [model.input_shape, model.output_shape, model.dtype, model.device]
    for layer in model.layers:
        facts += kind(layer), _built(type(layer))(layer), *layer.params, "state", *layer.state
    return facts


@lru_cache(maxsize=256)
def _built(of: type[Layer]) -> Callable[[Layer], tuple[Any, ...]]:
    """Return what reads from a layer of this class what ``build`` has read and said."""
    names = ["name", "dtype", "input_shape", "output_shape"]
    if of in _LIBRARY:  # others need not keep what they were made with
        names += [name for name in inspect.signature(of).parameters if name not in NUMBERS]
        names += ["window"] if hasattr(of, "_window") else []
    return attrgetter(*names)


@lru_cache(maxsize=256)
def _numbers(of: type[Layer]) -> Callable[[Layer], Any]:
    """Return what reads the ``NUMBERS`` of a layer of this class."""
    names = [name for name in NUMBERS if of in _LIBRARY and name in inspect.signature(of).parameters]
    return attrgetter(*names) if names else lambda layer: None


def _check_row(model: "Sequential") -> None:
    """Refuse what is not a row of built layers, each with the shape that the one before it gives."""
    seen: set[int | str] = set()
    shape, before = model.input_shape, "the model's input_shape"
    for layer in model.layers:
        if not isinstance(layer, Layer):
            raise ConfigError(f"expected layers in model.layers, got {layer!r}")
        where, build = f"layer {layer.name!r}", f"call build({shape}, rng, {model.dtype.name!r})"
        for held in (layer.params, layer.state):
            if type(held) is not dict:
                raise StateError(
                    f"{where}: params and state must be dicts of arrays, one is {held!r}: {build}"
                )
        if id(layer) in seen:
            raise ConfigError(f"{where} appears twice: make one for each place")
        if layer.name in seen and (layer.params or layer.state):
            raise ConfigError(f"two layers are called {layer.name!r}: give each a name of its own")
        seen |= {id(layer), layer.name}
        if not hasattr(layer, "output_shape"):
            raise StateError(f"{where} is not built yet: {build}")
        if layer.dtype != model.dtype:
            raise DTypeError(f"{where} was built for {layer.dtype}, the model is {model.dtype}: {build}")
        if layer.input_shape != shape:
            raise ShapeError(
                f"{where} was built for an input of shape {layer.input_shape}, {before} is {shape}: {build}, "
                "and so for each layer behind it"
            )
        _check_built(layer, build)
        shape, before = layer.output_shape, f"the output of {where}"
    if shape != model.output_shape:
        raise ShapeError(
            f"{before} is {shape}, the model's output_shape {model.output_shape}: set "
            f"model.output_shape = {shape}, and name the outputs with set_class_names"
        )


def _check_built(layer: Layer, build: str) -> None:
    """Refuse one of the library's layers whose attributes say something else than what it was built for."""
    shape = layer.input_shape
    missing = layer.param_shapes(shape).keys() - layer.params.keys()
    missing |= layer.state_shapes(shape).keys() - layer.state.keys()
    if missing:
        raise StateError(f"layer {layer.name!r} has no {', '.join(sorted(missing))}: {build}")
    if type(layer) not in _LIBRARY:
        return
    made = _made_anew(layer)
    says = [
        ("an output of shape", made.compute_output_shape(shape), layer.output_shape),
        ("parameters", list(made.param_shapes(shape)), list(layer.params)),
        ("state", list(made.state_shapes(shape)), list(layer.state)),
    ]
    if hasattr(made, "_window"):
        says.append(("a window of", made._window(shape), layer.window))
    for what, said, built in says:
        if said != built:
            raise StateError(
                f"layer {layer.name!r}: its attributes say {what} {said}, it was built with {built}: {build} "
                "after a change, or take the change back"
            )


def _made_anew(layer: Layer) -> Layer:
    """Return a layer as this one's attributes say, not built; refuses what no layer is made with."""
    try:
        made = type(layer)(**layer.config())
    except (MiniCNNError, AttributeError) as reason:
        raise ConfigError(f"layer {layer.name!r}: {reason}") from None
    made.name = layer.name
    return made
