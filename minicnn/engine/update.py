"""The optimizer's step, shared out among the threads that have computed the gradients."""

import numpy as np

from minicnn.engine.blocks import Block, weights
from minicnn.kernels import update
from minicnn.optimizers import SGD, Adam, AdamW, Optimizer

# Only the library's own classes are known: a subclass may compute something else.
_MOMENTS = {SGD: 1, Adam: 2, AdamW: 2}


class Update:
    """One step of an optimizer: ``run(part, parts)`` finishes this part's gradients, then its parameters.

    For an optimizer of a class of its own, ``run`` leaves the parameters to ``optimizer.step``.
    """

    def __init__(self, optimizer: Optimizer, blocks: list[Block], N: int) -> None:
        self.optimizer = optimizer
        self.blocks = blocks
        self.N = N
        self.fused = type(optimizer) in _MOMENTS
        # Made here, by one thread, if they are not there yet.
        self.moments = {key: self._moments(key, w) for key, w in self._parameters()} if self.fused else {}

    def _parameters(self) -> list[tuple[str, np.ndarray]]:
        return [(f"{b.layer.name}.{name}", w) for b in self.blocks for name, w in b.layer.params.items()]

    def _moments(self, key: str, w: np.ndarray) -> list[np.ndarray]:
        if isinstance(self.optimizer, SGD) and self.optimizer.momentum == 0:
            return [np.empty(0, np.float32)]
        moments = self.optimizer.moments(key, w, _MOMENTS[type(self.optimizer)])
        return [moment.reshape(-1) for moment in moments]

    def run(self, part: int, parts: int) -> None:
        """Do this part."""
        for block in self.blocks:
            for piece in block.gradients(part, parts, self.N):
                if self.fused:
                    self._update(block, *piece)

    def _update(self, block: Block, name: str, first: int, last: int) -> None:
        o, layer = self.optimizer, block.layer
        w, g = weights(layer, name), np.ascontiguousarray(layer.grads[name]).reshape(-1)
        moments, decay = self.moments[f"{layer.name}.{name}"], o.decay_of(name)
        if isinstance(o, SGD):
            update.sgd(
                w, g, *moments, first, last, o.learning_rate, o.momentum, o.nesterov, decay, o.decoupled
            )
        else:
            update.adam(
                w, g, *moments, first, last, o.learning_rate, o.beta_1, o.beta_2, o.epsilon, o.steps,
                decay, o.decoupled,
            )  # fmt: skip
