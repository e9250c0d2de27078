"""The fused engine: blocks of layers, one image at a time, over arrays that are allocated once.

If no layer needs the whole batch at once, a training step is two rounds of threads:

1. each thread computes the loss and the backward pass of its part of the batch;
2. each thread sums the gradients of its part of the parameters and updates them. Clipping makes the update
   a third round.

The results equal those of ``engine/layerwise.py`` up to rounding.
"""

from itertools import groupby
from typing import Any

import numpy as np

from minicnn.arrays import check_array
from minicnn.engine.audit import is_exactly
from minicnn.engine.base import Engine, StepResult, restored_on_error
from minicnn.engine.cpu.blocks import Stage
from minicnn.engine.cpu.kernels import loss as loss_kernel
from minicnn.engine.cpu.network import Network, supports
from minicnn.engine.cpu.update import Update
from minicnn.engine.layerwise import blame
from minicnn.errors import ConfigError, NonFiniteError
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optimizers import Optimizer
from minicnn.runtime.threads import num_threads, part_range, run_parts
from minicnn.stack import Stack


class FusedEngine(Engine):
    """Takes the steps of ``LayerwiseEngine`` faster; only for float32 models on the CPU."""

    name = "fused"

    def __init__(self, model: Stack, loss: SoftmaxCrossEntropy, optimizer: Optimizer) -> None:
        self.model = model
        self._check_supported()
        self.loss = loss
        self.optimizer = optimizer
        self.network: Network | None = None

    def _check_supported(self) -> None:
        if not supports(self.model):
            raise ConfigError(
                f"the fused engine computes in float32 on the CPU, this model is {self.model.dtype} on "
                f'{self.model.device}: make a Trainer with engine="auto"'
            )

    def __getstate__(self) -> dict[str, Any]:
        """Return the state of a copy, which allocates its own arrays at its first step."""
        return {"model": self.model, "loss": self.loss, "optimizer": self.optimizer, "network": None}

    def _step(self, images: np.ndarray, labels: np.ndarray) -> StepResult:
        self._check_supported()
        N = len(images)
        network = self._network(N)
        network.audit.check(training=True)
        self._images, self._labels = images, np.ascontiguousarray(labels, np.int64)
        # An overflow makes the loss non-finite, which is reported with its cause.
        with restored_on_error(self.model), np.errstate(all="ignore"):
            network.begin(N, training=True)
            self._run(self._stages, N)
            loss = sum(self._losses[:, 0]) / N
            if not np.isfinite(loss):
                raise NonFiniteError(f"the loss is {loss}: {blame(self.model, network.images[:N])}")
            self._update.step(self.optimizer, N)
            for block in network.blocks:
                block.commit()
        self._images = self._labels = None  # frees the batch
        return StepResult(float(loss), int(sum(self._losses[:, 1])))

    def _network(self, N: int) -> Network:
        """Return a network for at least N images; a smaller batch uses the first part of its arrays."""
        network, parts = self.network, num_threads()
        fits = network is not None and network.model is self.model and network.capacity >= N
        if fits and network.fits() and self._fuses_loss() == self._fused_loss:
            return network
        self.network = None  # if this is interrupted, the next step starts over
        network = Network(self.model, parts, N)
        network.connect_gradients()
        self._update = Update(network)
        self._fused_loss = self._fuses_loss()
        self._losses = np.zeros((parts, 2))  # sum of losses and correct answers, by part
        self._stages = [
            Stage(self._begin),
            *network.forward(True),
            Stage(self._loss) if self._fused_loss else Stage(self._any_loss, whole=True),
            *network.backward(),
        ]
        self.network = network
        return network

    def _begin(self, part: int, first: int, last: int) -> None:
        self.network.pack(part, training=True)
        x = self.network.images[first:last]
        self.model.preprocessing(self._images[first:last], self.model.dtype, x)

    def _fuses_loss(self) -> bool:
        return is_exactly(self.loss, SoftmaxCrossEntropy)  # a subclass may compute something else

    def _loss(self, part: int, first: int, last: int) -> None:
        """Compute the loss and its gradient in one pass over the logits."""
        logits, dlogits = self.network.activations[-1], self.network.gradients[-1]
        self._losses[part] = loss_kernel.softmax_cross_entropy(
            logits, self._labels, first, last, len(self._labels), self.model.output_shape[0],
            self.loss.label_smoothing, dlogits,
        )  # fmt: skip

    def _any_loss(self, part: int, first: int, last: int) -> None:
        """Call a custom loss."""
        K = self.model.output_shape[0]
        logits = self.network.activations[-1].reshape(-1, K)[:last]
        self._losses[0] = self.loss.forward(logits, self._labels) * last, 0
        self._losses[0, 1] = (logits.argmax(axis=1) == self._labels).sum()
        dlogits = self.loss.backward()
        where, remedy = type(self.loss).__name__, "its backward must return the gradient of the logits"
        check_array(dlogits, np.ndarray, logits.shape, logits.dtype, where, "a gradient", remedy)
        self.network.gradients[-1].reshape(-1, K)[:last] = dlogits

    def _run(self, stages: list[Stage], N: int) -> None:
        """Run the stages, consecutive ones that are not ``whole`` in one round of threads."""
        self._losses[:] = 0
        parts = min(self.network.parts, N)
        for whole, group in groupby(stages, key=lambda stage: stage.whole):
            together = list(group)
            if whole:
                for stage in together:
                    stage.run(0, 0, N)
                continue

            def run(part: int, together: list[Stage] = together) -> None:
                for stage in together:
                    stage.run(part, *part_range(N, part, parts))

            run_parts(run, parts)
