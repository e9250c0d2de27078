"""The optimizer's step, shared out among the threads that have computed the gradients."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from minicnn.engine.audit import is_known
from minicnn.engine.cpu.blocks import Block, laid_out
from minicnn.engine.cpu.kernels import update
from minicnn.errors import StateError
from minicnn.model import Sequential
from minicnn.optimizers import SGD, Adam, AdamW, Optimizer
from minicnn.runtime.threads import run_parts, uninterrupted

# Only the library's own classes are known: a subclass may compute something else.
_KNOWN = SGD, Adam, AdamW


class _Parameter(NamedTuple):
    """One parameter with all that its update reads and writes, as flat float32 numbers of one size."""

    w: np.ndarray
    g: np.ndarray
    moments: list[np.ndarray]
    decay: float


class _Piece(NamedTuple):
    """Numbers ``first`` to ``last`` of a parameter whose gradient is known."""

    parameter: _Parameter
    first: int
    last: int


class Update:
    """One step of an optimizer on the parameters of ``blocks``, whose backward pass is done, on N images.

    An optimizer of a class of its own is asked for its ``step``, when all gradients are known.
    """

    def __init__(self, optimizer: Optimizer, blocks: list[Block], N: int) -> None:
        self.optimizer = optimizer
        self.blocks = blocks
        self.N = N
        self.fused = is_known(optimizer, *_KNOWN)
        self.parameters: dict[tuple[Block, str], _Parameter] = {}

    def step(self, model: Sequential, parts: int) -> None:
        """Finish all gradients and update all parameters; each of ``parts`` threads does a part of both.

        Where gradients are clipped, their norm is known when all are finished: that takes a second round
        of threads.
        """
        self._begin(model)
        if not self.fused:
            run_parts(lambda part: deque(self._finish(part, parts), 0), parts)
            uninterrupted(lambda: self.optimizer.step(model))
        elif self.optimizer.global_clipnorm is None:
            run_parts(lambda part: self._update(self._finish(part, parts), 1.0), parts)
        else:
            pieces: list[list[_Piece]] = [[] for _ in range(parts)]
            squares = np.zeros(parts)

            def finish(part: int) -> None:
                pieces[part] = list(self._finish(part, parts))
                squares[part] = sum(update.square_sum(p.parameter.g, p.first, p.last) for p in pieces[part])

            run_parts(finish, parts)
            scale = self.optimizer.clip_scale(float(squares.sum()))
            run_parts(lambda part: self._update(pieces[part], scale), parts)

    def _begin(self, model: Sequential) -> None:
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
        if not self.optimizer.moment_count:
            return [np.empty(0, np.float32)]
        moments = self.optimizer.moments(key, w, self.optimizer.moment_count)
        return [laid_out(moments, i) for i in range(len(moments))]

    def _finish(self, part: int, parts: int) -> Iterator[_Piece]:
        """Finish this part's gradients, piece by piece: each can be used while it is in the cache."""
        for block in self.blocks:
            for name, first, last in block.gradients(part, parts, self.N):
                yield _Piece(self.parameters.get((block, name)), first, last)

    def _update(self, pieces: Iterable[_Piece], clip: float) -> None:
        o = self.optimizer
        for (w, g, moments, decay), first, last in pieces:
            if isinstance(o, SGD):
                update.sgd(
                    w, g, *moments, first, last, o.learning_rate, o.momentum, o.nesterov, decay, o.decoupled,
                    clip,
                )  # fmt: skip
            else:
                update.adam(
                    w, g, *moments, first, last, o.learning_rate, o.beta_1, o.beta_2, o.epsilon, o.steps,
                    decay, o.decoupled, clip,
                )  # fmt: skip
