"""The optimizer's step, in the threads that computed the gradients."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from minicnn.engine.audit import fused_kernel
from minicnn.engine.cpu.blocks import contiguous
from minicnn.engine.cpu.kernels import update
from minicnn.engine.cpu.network import Network
from minicnn.errors import StateError
from minicnn.optimizers import Optimizer
from minicnn.runtime.threads import run_parts, uninterrupted


class _Parameter(NamedTuple):
    """A parameter, its gradient and its moments, as flat float32 arrays of equal size."""

    w: np.ndarray
    g: np.ndarray
    moments: list[np.ndarray]
    decay: float


_Piece = tuple[_Parameter, int, int]  # numbers ``first`` to ``last``, whose gradient is complete


class Update:
    """The updates of a network's parameters, after its backward pass."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.parameters: dict[tuple[int, str], _Parameter] = {}

    def step(self, optimizer: Optimizer, N: int) -> None:
        """Complete all gradients of a batch of N and update all parameters, in threads.

        Clipping needs the norm of all gradients, so its updates are a second round of threads. The step of a
        custom optimizer is called after the first round.
        """
        model, parts, kernel = self.network.model, self.network.parts, fused_kernel(optimizer)
        if kernel is None:
            run_parts(lambda part: deque(self._finish(part, N), 0), parts)
            uninterrupted(lambda: optimizer.step(model))
            return
        optimizer.begin_step(model)
        self._take_parameters(optimizer)
        apply, numbers = getattr(update, kernel), optimizer.numbers()

        def apply_to(pieces: Iterable[_Piece], clip: float) -> None:
            for (w, g, moments, decay), first, last in pieces:
                apply(w, g, *moments, first, last, numbers, decay, clip)

        if optimizer.global_clipnorm is None:
            run_parts(lambda part: apply_to(self._finish(part, N), 1.0), parts)
            return
        pieces: list[list[_Piece]] = [[] for _ in range(parts)]
        squares = np.zeros(parts)

        def finish(part: int) -> None:
            pieces[part] = list(self._finish(part, N))
            squares[part] = sum(update.square_sum(p.g, first, last) for p, first, last in pieces[part])

        run_parts(finish, parts)
        clip = optimizer.clip_scale(float(squares.sum()))
        run_parts(lambda part: apply_to(pieces[part], clip), parts)

    def _take_parameters(self, optimizer: Optimizer) -> None:
        """Collect the arrays of all parameters, which ``begin_step`` has checked.

        Raises StateError if a gradient was replaced during the step: blocks write into the old array.
        """
        for index, block in enumerate(self.network.trained):
            layer = block.layer
            for name in layer.params:
                if layer.grads[name] is not block.own_gradients.get(name, layer.grads[name]):
                    raise StateError(
                        f"layer {layer.name!r}: the gradient of {name} was replaced in the middle of a step, "
                        'which only engine="layerwise" allows'
                    )
                self.parameters[index, name] = _Parameter(
                    contiguous(layer.params, name),
                    np.ascontiguousarray(layer.grads[name]).reshape(-1),
                    _moments(optimizer, f"{layer.name}.{name}", layer.params[name]),
                    optimizer.decay_of(layer, name),
                )

    def _finish(self, part: int, N: int) -> Iterator[_Piece]:
        """Complete this part's gradients, piece by piece: each is used while it is in the cache."""
        for index, block in enumerate(self.network.trained):
            for name, first, last in block.gradients(part, self.network.parts, N):
                yield self.parameters.get((index, name)), first, last


def _moments(optimizer: Optimizer, key: str, w: np.ndarray) -> list[np.ndarray]:
    if not optimizer.moment_count:
        return [np.empty(0, np.float32)]
    moments = optimizer.moments(key, w, optimizer.moment_count)
    return [contiguous(moments, i) for i in range(len(moments))]
