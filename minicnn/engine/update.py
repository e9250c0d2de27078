"""The optimizer's step, shared out among the threads that have computed the gradients."""

from typing import NamedTuple

import numpy as np

from minicnn.engine.blocks import Block, laid_out
from minicnn.errors import StateError
from minicnn.kernels import update
from minicnn.model import Sequential
from minicnn.optimizers import SGD, Adam, AdamW, Optimizer

# Only the library's own classes are known: a subclass may compute something else.
_MOMENTS = {SGD: 1, Adam: 2, AdamW: 2}


class _Parameter(NamedTuple):
    """One parameter with all that its update reads and writes, as flat float32 numbers of one size."""

    w: np.ndarray
    g: np.ndarray
    moments: list[np.ndarray]
    decay: float


class Update:
    """One step of an optimizer: ``run(part, parts)`` finishes this part's gradients, then its parameters.

    For an optimizer of a class of its own, ``run`` leaves the parameters to ``optimizer.step``.
    """

    def __init__(self, optimizer: Optimizer, blocks: list[Block], N: int) -> None:
        self.optimizer = optimizer
        self.blocks = blocks
        self.N = N
        self.fused = type(optimizer) in _MOMENTS and not {"step", "_direction"} & vars(optimizer).keys()
        self.parameters: dict[tuple[Block, str], _Parameter] = {}

    def begin(self, model: Sequential) -> None:
        """Let the optimizer look at all arrays, and take them: once, and in one thread.

        Raises also StateError, if a gradient was replaced while the step ran: the block would not write
        into the new array.
        """
        if not self.fused:
            return
        self.optimizer.begin_step(model)
        for block in self.blocks:
            layer = block.layer
            for name in layer.params:
                if layer.grads[name] is not block.own_gradients.get(name, layer.grads[name]):
                    raise StateError(
                        f"layer {layer.name!r}: the gradient of {name} was replaced in the middle of a step, "
                        'which only engine="layerwise" allows'
                    )
                self.parameters[block, name] = _Parameter(
                    laid_out(layer.params, name),
                    np.ascontiguousarray(layer.grads[name]).reshape(-1),
                    self._moments(f"{layer.name}.{name}", layer.params[name]),
                    self.optimizer.decay_of(name),
                )

    def _moments(self, key: str, w: np.ndarray) -> list[np.ndarray]:
        if isinstance(self.optimizer, SGD) and self.optimizer.momentum == 0:
            return [np.empty(0, np.float32)]
        moments = self.optimizer.moments(key, w, _MOMENTS[type(self.optimizer)])
        return [laid_out(moments, i) for i in range(len(moments))]

    def run(self, part: int, parts: int) -> None:
        """Do this part."""
        for block in self.blocks:
            for piece in block.gradients(part, parts, self.N):
                if self.fused:
                    self._update(self.parameters[block, piece.name], piece.first, piece.last)

    def _update(self, parameter: _Parameter, first: int, last: int) -> None:
        o, (w, g, moments, decay) = self.optimizer, parameter
        if isinstance(o, SGD):
            update.sgd(
                w, g, *moments, first, last, o.learning_rate, o.momentum, o.nesterov, decay, o.decoupled
            )
        else:
            update.adam(
                w, g, *moments, first, last, o.learning_rate, o.beta_1, o.beta_2, o.epsilon, o.steps,
                decay, o.decoupled,
            )  # fmt: skip
