"""The base class of all layers."""

import copy
import math
import sys
from typing import Any, ClassVar

import numpy as np

from minicnn import checks
from minicnn.backend import Array, array_module
from minicnn.errors import ConfigError, DTypeError, ShapeError, StateError
from minicnn.hints import Hinted, constructor_parameters
from minicnn.text import byte_size

Shape = tuple[int, ...]
"""The shape of one sample: no batch axis. Images are (H, W, C)."""

PANEL = 32
"""The fast kernels store channels in panels of at most this many."""


def in_panels(channels: int) -> int:
    """Return ``channels`` rounded up to whole panels."""
    return -(-channels // PANEL) * PANEL


class Layer(Hinted):
    """Base class of all layers, and the contract that they follow.

    ``compute_output_shape``, ``param_shapes`` and ``state_shapes`` compute shapes without allocating;
    ``build`` allocates the arrays; ``forward`` computes y from x; ``backward`` takes dy, the gradient of the
    loss with respect to y, **assigns** the gradients of the parameters and returns dx. Neither writes into
    its argument. Every array has the dtype passed to ``build``, float32 or float64. Constructors raise
    ConfigError.

    Attributes
    ----------
    params, grads : dict of str to array
        Same keys, shapes and dtype: ``W``, ``b``, ``gamma``, ``beta``.
    state : dict of str to array
        Saved with the model but not trained, such as a running mean.
    decayed : tuple of str
        Class attribute: the parameters that weight decay shrinks; by default ``W``.
    tunable : tuple of str
        Class attribute: the constructor arguments that may change between steps, such as Dropout's
        ``rate``. ``build`` fixes all others.
    input_shape, output_shape : tuple of int
        Of one sample; known after ``build``.
    name : str
        Set by ``Sequential``; used in error messages and model files.
    """

    decayed: ClassVar[tuple[str, ...]] = ("W",)
    tunable: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.name = type(self).__name__.lower()
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}
        self.state: dict[str, Array] = {}
        self.in_model = False  # a layer belongs to one model
        self._cache: Any = None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of one output, by default ``input_shape``; ShapeError for an unsuitable input."""
        return input_shape

    def param_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shape of each parameter by name; by default there are none."""
        return {}

    def state_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shape of each array of ``state`` by name; by default there are none."""
        return {}

    def workspace(self, input_shape: Shape) -> int:
        """Return an upper bound on the numbers that an engine allocates for one sample, besides x and y."""
        return math.prod(input_shape) + math.prod(self.compute_output_shape(input_shape))

    def operations(self, input_shape: Shape) -> int:
        """Return the approximate number of operations of ``forward`` for one sample."""
        return math.prod(input_shape) + math.prod(self.compute_output_shape(input_shape))

    def smallest_batch(self) -> int:
        """Return the smallest batch that the layer can be trained on, by default 1."""
        return 1

    def build(self, input_shape: Shape, rng: np.random.Generator, dtype: np.dtype | str = "float32") -> Shape:
        """Allocate the arrays for inputs of ``input_shape``, and return the output shape.

        Parameters
        ----------
        input_shape
            Shape of one sample, without the batch axis.
        rng
            Draws the initial weights and seeds the dropout masks.
        dtype
            ``float32`` to train, ``float64`` to check gradients.

        Raises
        ------
        ConfigError
            If ``input_shape`` or ``dtype`` is invalid, or there is not enough memory.
        ShapeError
            If the layer cannot take such an input.
        """
        self.input_shape = checks.shape(input_shape, "input_shape")
        self.dtype = checks.float_dtype(dtype)
        self.params, self.grads, self.state = {}, {}, {}
        self.forget()
        self.output_shape = self.compute_output_shape(self.input_shape)
        shapes = self.param_shapes(self.input_shape) | self.state_shapes(self.input_shape)
        sizes = [math.prod(shape) for shape in shapes.values()]
        per_sample = math.prod(self.output_shape) + self.workspace(self.input_shape)
        try:
            if max(per_sample, *sizes, 0) * np.dtype(np.float64).itemsize > sys.maxsize:
                raise MemoryError("no array can be that large")  # NumPy's own error is obscure
            self._build(self.input_shape, rng)
        except MemoryError as reason:
            arrays, work = (byte_size(n * self.dtype.itemsize) for n in (sum(sizes), per_sample))
            raise ConfigError(
                f"layer {self.name!r} on an input of {self.input_shape} needs {arrays} for its parameters "
                f"and {work} for each sample, more than available: make the layer or its input smaller"
            ) from reason
        return self.output_shape

    def _build(self, input_shape: Shape, rng: np.random.Generator) -> None:
        """Allocate ``params`` and ``state`` with the declared shapes; by default there are none."""

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute y from x, (N, *input_shape) → (N, *output_shape); save for ``backward`` only in training.

        Raises
        ------
        StateError
            If the layer is not built.
        ShapeError, DTypeError
            If x is not (N, *input_shape), N ≥ 1, in the layer's dtype.
        """
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def backward(self, dy: Array, need_dx: bool = True) -> Array | None:
        """Assign ``grads`` and return dx; None if ``need_dx`` is false.

        Raises
        ------
        StateError
            If ``forward(x, training=True)`` has not been called since the last ``backward``.
        ShapeError, DTypeError
            If dy is not (N, *output_shape) in the layer's dtype.
        """
        raise NotImplementedError(f"{type(self).__name__} must define backward")

    def multiply_adds(self) -> int:
        """Return the multiply-adds in the matrix products of ``forward`` for one sample."""
        return 0

    def config(self) -> dict[str, Any]:
        """Return the constructor arguments by name."""
        return {name: getattr(self, name) for name in constructor_parameters(type(self))}

    @classmethod
    def examples(cls) -> "list[tuple[str, Layer, Shape]]":
        """Return cases for gradient checks: a name, a small layer of this class, an input shape.

        Together they should use every argument, on uneven sizes. The default is one layer without arguments.
        """
        return [("", cls(), (4, 3, 2))]

    def for_inference(self) -> "tuple[Layer, dict[str, Array]] | None":
        """Return a layer that computes the same prediction, and its arrays; None if the prediction is y = x.

        The default is a copy. A layer that is a simpler function in prediction returns that: see
        ``BatchNorm``.
        """
        twin = copy.deepcopy(self)
        twin.in_model = False
        return twin, self.params | self.state

    def forget(self) -> None:
        """Free what ``forward`` saved for ``backward``."""
        self._cache = None

    def _save_for_backward(self, x: Array, *values: Any) -> None:
        """Save ``values`` for ``backward``, with the batch size of ``x``."""
        self._cache = (len(x), *values)

    def _saved(self, dy: Array) -> Any:
        """Check ``dy``, then return the values that ``forward`` saved, and free them."""
        if self._cache is None:
            raise StateError(
                f"layer {self.name!r}: backward without a forward; "
                "call forward(x, training=True) before each backward"
            )
        array_module(dy)  # raises for None
        batch, *values = self._cache
        expected = batch, *self.output_shape
        if dy.shape != expected:
            raise ShapeError(f"layer {self.name!r}: expected dy of shape {expected}, got {dy.shape}")
        if dy.dtype != self.dtype:
            raise DTypeError(f"layer {self.name!r}: expected dy to be {self.dtype}, got {dy.dtype}")
        self._cache = None
        return values[0] if len(values) == 1 else values

    def _check(self, x: Array) -> None:
        """Check that the layer is built, and that ``x`` has the shape and dtype it was built for."""
        if not hasattr(self, "input_shape"):
            raise StateError(f"layer {self.name!r} has no parameters yet: call build(input_shape, rng) first")
        array_module(x)  # raises for lists
        if x.ndim == 0 or x.shape[1:] != self.input_shape or x.shape[0] == 0:
            expected = ", ".join(["N ≥ 1", *map(str, self.input_shape)])
            raise ShapeError(f"layer {self.name!r}: expected an input of shape ({expected}), got {x.shape}")
        if x.dtype != self.dtype:
            raise DTypeError(
                f"layer {self.name!r} was built for {self.dtype}, got {x.dtype}: "
                f"convert the input with x.astype({self.dtype.name!r})"
            )

    def __repr__(self) -> str:
        names = constructor_parameters(type(self))
        known = [name for name in names if hasattr(self, name)]  # a custom layer may not store all
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in known)})"
