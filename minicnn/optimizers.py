"""Optimizers: ``optimizer.step(model)`` updates the parameters in place, after ``model.backward``.

The learning rate is a plain attribute, so a schedule may set it between steps.
"""

import math
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from minicnn.arrays import check_array, check_writable
from minicnn.backend import Array, array_module, device_of, to_device
from minicnn.checks import flag, number
from minicnn.errors import ConfigError, StateError
from minicnn.hints import Hinted, module_names

if TYPE_CHECKING:
    from minicnn.layers import Layer
    from minicnn.stack import Stack

_NEW_GRADIENT = "backward must assign one like the parameter"
_AVERAGE = "the optimizer's average of the gradients of {}"
_NEW_OPTIMIZER = "make a new optimizer for the changed model"


class SGDNumbers(NamedTuple):
    """The arguments of SGD's kernels."""

    learning_rate: float
    momentum: float
    nesterov: bool
    decoupled: bool


class AdamNumbers(NamedTuple):
    """The arguments of Adam's kernels; ``correction`` is 1 − βᵗ, ``rest`` is 1 − β."""

    learning_rate: float
    correction_1: float
    correction_2: float
    rest_1: float
    rest_2: float
    epsilon: float
    decoupled: bool


class Optimizer(Hinted):
    """Base class: clips gradients, applies weight decay, stores the moments of each parameter.

    Attributes
    ----------
    kernel : str, optional
        The fast engines' kernel for exactly this class; it takes ``numbers``. If None, as in a custom
        optimizer, the engines call ``step``.

    Parameters
    ----------
    learning_rate : float
        Above 0.
    weight_decay : float
        λ, at least 0.
    decoupled : bool
        False: L2, λ·w is added to the gradient. True: w also shrinks by learning_rate·λ·w (Loshchilov &
        Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 1; as in PyTorch, the decay is
        scaled by the learning rate).
    decay_all : bool
        True: all parameters decay, not only those in ``Layer.decayed``.
    global_clipnorm : float, optional
        c, above 0: if the norm ‖g‖ of all gradients together is above c, they are multiplied by c / ‖g‖
        (Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks",
        algorithm 1). ``layer.grads`` do not change.

    Raises
    ------
    ConfigError
        If a number is out of range, or a flag is not True or False.
    """

    intervals: ClassVar[dict[str, str]] = {"learning_rate": "[0, ∞)", "weight_decay": "[0, ∞)"}
    """The interval of each number, checked at every step."""

    kernel: ClassVar[str | None] = None

    def __init__(
        self,
        learning_rate: float,
        weight_decay: float,
        decoupled: bool,
        decay_all: bool,
        global_clipnorm: float | None = None,
    ) -> None:
        self.learning_rate = number(learning_rate, "learning_rate", "(0, ∞)")
        self.weight_decay = number(weight_decay, "weight_decay", self.intervals["weight_decay"])
        self.decoupled = flag(decoupled, "decoupled")
        self.decay_all = flag(decay_all, "decay_all")
        clips = global_clipnorm is not None
        self.global_clipnorm = number(global_clipnorm, "global_clipnorm", "(0, ∞)") if clips else None
        self.steps = 0
        self._state: dict[str, list[Array]] = {}
        self._model: Stack | None = None

    @property
    def moment_count(self) -> int:
        """The number of running averages of each parameter; 0 if unknown, as in a custom optimizer."""
        return 0

    def numbers(self) -> SGDNumbers | AdamNumbers:
        """Return the arguments of ``kernel`` for the current step."""
        raise NotImplementedError(f"{type(self).__name__} must define numbers for its kernel")

    @np.errstate(under="ignore")  # the square of a small gradient may become 0
    def step(self, model: "Stack") -> None:
        """Update every parameter of ``model`` from its gradient; raises the errors of ``begin_step``."""
        self.begin_step(model)
        scale = 1.0
        if self.global_clipnorm is not None:
            gradients = [g for layer in model.layers for g in layer.grads.values()]
            scale = self.clip_scale(sum(float((g.astype("float64") ** 2).sum()) for g in gradients))
        for layer in model.layers:
            for name, w in layer.params.items():
                g = layer.grads[name]
                g = g if scale == 1 else scale * g
                self._update(f"{layer.name}.{name}", w, g, self.decay_of(layer, name))

    def begin_step(self, model: "Stack") -> None:
        """Check everything that a step on ``model`` reads and writes, and count the step.

        Raises
        ------
        StateError
            If a parameter has no gradient, because ``model.backward`` has not run, or is read-only.
        ShapeError, DTypeError
            If a gradient or a moment is not an array like its parameter.
        ConfigError
            If a number of the optimizer is out of range (a learning rate of 0 is allowed here), or the
            optimizer has the moments of another model.
        """
        if self._model is not None and self._model is not model:
            raise ConfigError("this optimizer has trained another model: make one for each model")
        for name, interval in self.intervals.items():
            setattr(self, name, number(getattr(self, name), name, interval))
        if self.global_clipnorm is not None:
            number(self.global_clipnorm, "global_clipnorm", "(0, ∞)")
        for layer in model.layers:
            if layer.params.keys() != layer.grads.keys():
                raise self._wrong_names(layer)
            for name, w in layer.params.items():
                self._check(layer.name, name, w, layer.grads[name])
        self._model = model
        self.steps += 1

    def _check(self, layer: str, name: str, w: Array, g: Array) -> None:
        """Check that the gradient and the moments of a parameter are arrays like it."""
        check_writable(w, layer, name)
        of, shape, dtype, key = type(w), w.shape, w.dtype, f"{layer}.{name}"
        check_array(g, of, shape, dtype, layer, "the gradient of {}", _NEW_GRADIENT, name)
        if key in self._state:
            for moment in self.moments(key, w, self.moment_count or len(self._state[key])):
                check_array(moment, of, shape, dtype, layer, _AVERAGE, _NEW_OPTIMIZER, name)
                check_writable(moment, layer, _AVERAGE, name)

    @staticmethod
    def _wrong_names(layer: "Layer") -> StateError:
        """Return the error for a layer whose gradients and parameters have different names."""
        missing = sorted(layer.params.keys() - layer.grads.keys())
        if missing:
            names = ", ".join(missing)
            return StateError(
                f"layer {layer.name!r} has no gradients of {names}: call model.backward(…) before step"
            )
        names = ", ".join(sorted(layer.grads.keys() - layer.params.keys()))
        return StateError(
            f"layer {layer.name!r} has gradients of {names}, which are not parameters: delete them"
        )

    def clip_scale(self, squares: float) -> float:
        """Return the factor for the gradients, min(1, c / ‖g‖), where ``squares`` is ‖g‖²."""
        norm, limit = math.sqrt(squares), self.global_clipnorm
        return 1.0 if limit is None or norm <= limit else limit / norm

    def decay_of(self, layer: "Layer", name: str) -> float:
        """Return λ for a parameter of ``layer``, or 0 if it does not decay."""
        return self.weight_decay if self.decay_all or name in layer.decayed else 0.0

    def _update(self, key: str, w: Array, g: Array, decay: float) -> None:
        if decay and self.decoupled:
            w *= 1 - self.learning_rate * decay
        elif decay:
            g = g + decay * w
        w -= self.learning_rate * self._direction(key, g)

    def _direction(self, key: str, g: Array) -> Array:
        """Return the step of parameter ``key`` per unit of learning rate, to be subtracted."""
        raise NotImplementedError(f"{type(self).__name__} must define _direction")

    def moments(self, key: str, like: Array, count: int) -> list[Array]:
        """Return the ``count`` running averages of one parameter, initially zeros.

        Raises StateError if a different number of them exists.
        """
        if key not in self._state:
            self._state[key] = [array_module(like).zeros_like(like, order="C") for _ in range(count)]
        moments = self._state[key]
        if len(moments) != count:
            raise StateError(
                f"{key}: expected {count} running averages, there are {len(moments)}: {_NEW_OPTIMIZER}"
            )
        if array_module(moments[0]) is not array_module(like):  # the model was moved
            moments[:] = [to_device(moment, device_of(like)) for moment in moments]
        return moments


class SGD(Optimizer):
    """Stochastic gradient descent: v ← μ·v + g, w ← w − η·v; with ``nesterov``, w ← w − η·(g + μ·v).

    Parameters
    ----------
    learning_rate : float
        η, above 0.
    momentum : float
        μ, at least 0 and below 1.
    nesterov : bool
        Needs a momentum above 0.
    weight_decay, decoupled, decay_all, global_clipnorm
        See ``Optimizer``.

    Raises
    ------
    ConfigError
        If a number is out of range, a flag is not True or False, or ``nesterov`` is used without momentum.

    Notes
    -----
    Sources: Sutskever et al. 2013, "On the importance of initialization and momentum in deep
    learning", section 2 (there v is −η times this v; here η may change between steps); the Nesterov
    step as in Bengio, Boulanger-Lewandowski & Pascanu 2013, "Advances in Optimizing Recurrent
    Networks", equation 7.
    """

    intervals: ClassVar = Optimizer.intervals | {"momentum": "[0, 1)"}
    kernel = "sgd"

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        decoupled: bool = False,
        decay_all: bool = False,
        global_clipnorm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, decoupled, decay_all, global_clipnorm)
        self.momentum = number(momentum, "momentum", self.intervals["momentum"])
        if nesterov and momentum == 0:
            raise ConfigError("nesterov=True needs a momentum above 0, such as 0.9")
        self.nesterov = flag(nesterov, "nesterov")

    @property
    def moment_count(self) -> int:
        """1 (v), or 0 without momentum."""
        return int(self.momentum != 0)

    def numbers(self) -> SGDNumbers:
        """Return the arguments of ``kernel`` for the current step."""
        return SGDNumbers(self.learning_rate, self.momentum, self.nesterov, self.decoupled)

    def _direction(self, key: str, g: Array) -> Array:
        if self.momentum == 0:
            return g
        (v,) = self.moments(key, g, 1)
        v *= self.momentum
        v += g
        return g + self.momentum * v if self.nesterov else v


class Adam(Optimizer):
    """Adaptive moments: m ← β₁·m + (1 − β₁)·g, s ← β₂·s + (1 − β₂)·g², w ← w − η·m̂ / (√ŝ + ε).

    At step t, m̂ = m / (1 − β₁ᵗ) and ŝ = s / (1 − β₂ᵗ) correct for the initial zeros.

    Parameters
    ----------
    learning_rate : float
        η, above 0.
    beta_1, beta_2 : float
        β₁ at least 0, β₂ above 0, both below 1.
    epsilon : float
        ε, above 0.
    weight_decay, decoupled, decay_all, global_clipnorm
        See ``Optimizer``.

    Raises
    ------
    ConfigError
        If a number is out of range, or a flag is not True or False.

    Notes
    -----
    Source: Kingma & Ba 2015, "Adam: A Method for Stochastic Optimization", algorithm 1.
    """

    intervals: ClassVar = Optimizer.intervals | {"beta_1": "[0, 1)", "beta_2": "(0, 1)", "epsilon": "(0, ∞)"}
    kernel = "adam"

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled: bool = False,
        decay_all: bool = False,
        global_clipnorm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, decoupled, decay_all, global_clipnorm)
        if beta_2 == 0 and not isinstance(beta_2, bool):
            raise ConfigError(
                "beta_2 must be above 0, such as 0.999: with 0, a weight whose gradient is 0 once, as behind "
                "a closed ReLU, would move by learning_rate · momentum / epsilon"
            )
        self.beta_1 = number(beta_1, "beta_1", self.intervals["beta_1"])
        self.beta_2 = number(beta_2, "beta_2", self.intervals["beta_2"])
        self.epsilon = number(epsilon, "epsilon", self.intervals["epsilon"])

    @property
    def moment_count(self) -> int:
        """2 (m and s)."""
        return 2

    def numbers(self) -> AdamNumbers:
        """Return the arguments of ``kernel`` for the current step."""
        corrections = 1 - self.beta_1**self.steps, 1 - self.beta_2**self.steps
        rests = 1 - self.beta_1, 1 - self.beta_2
        return AdamNumbers(self.learning_rate, *corrections, *rests, self.epsilon, self.decoupled)

    def _direction(self, key: str, g: Array) -> Array:
        m, s = self.moments(key, g, 2)
        m += (1 - self.beta_1) * (g - m)
        s += (1 - self.beta_2) * (g * g - s)
        m_hat = m / (1 - self.beta_1**self.steps)
        s_hat = s / (1 - self.beta_2**self.steps)
        return m_hat / (array_module(g).sqrt(s_hat) + self.epsilon)


class AdamW(Adam):
    """Adam with decoupled weight decay: ``decoupled`` is True.

    Source: Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2.
    """

    kernel = "adam"

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        decay_all: bool = False,
        global_clipnorm: float | None = None,
    ) -> None:
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, weight_decay, True, decay_all, global_clipnorm
        )


__getattr__ = module_names(__name__)
