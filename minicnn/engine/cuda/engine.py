"""The captured engine: a training step is one graph of kernels over arrays that never move.

The stored data set is copied to the device once. A step gathers and preprocesses its batch there, and runs
forward, backward and update. It is captured once per batch size and then replayed: the host sends the rows
and the learning rate in one small copy, and reads the loss only every ``LOOK_EVERY`` steps. The results equal
those of ``engine/layerwise.py`` up to the rounding of the model's ``precision``.
"""

import copy
from operator import is_
from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import Array
from minicnn.data import Augmentation
from minicnn.engine.audit import fused_kernel, is_exactly
from minicnn.engine.base import Engine, StepResult, StepTotals, check_data
from minicnn.engine.cuda import network
from minicnn.engine.cuda.device import Launch
from minicnn.engine.cuda.network import STEP, Images, Network, device_of
from minicnn.engine.cuda.update import Update
from minicnn.engine.layerwise import blame
from minicnn.errors import ConfigError, NonFiniteError, ShapeError
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optimizers import Optimizer
from minicnn.stack import Stack

# Steps between two reads of the loss, which make the device wait for the host.
LOOK_EVERY = 64
# A small batch is done before the host can launch the next one, so several steps share a graph.
_IMAGES_PER_GRAPH, _MOST_STEPS = 1024, 8
_MOST_GRAPHS = 16  # cached, one for each batch size and change of settings

_TOTALS = np.dtype([("loss", "f8"), ("correct", "i8"), ("broken", "i8")])  # Totals in step.cu


class _Graph(NamedTuple):
    """Captured steps, and the memory that the host writes before each replay."""

    graph: Any
    control: Array  # on the device: the records of the steps, then their rows
    copies: np.ndarray  # (LOOK_EVERY, size of control), in pinned memory
    launches: list[Launch]  # keep the kernels' arrays alive


class CudaGraphEngine(Engine):
    """Takes the steps of ``LayerwiseEngine`` faster; only for float32 on a GPU, without custom classes."""

    name = "cuda_graph"

    def __init__(self, model: Stack, loss: SoftmaxCrossEntropy, optimizer: Optimizer) -> None:
        if not supports(model, loss, optimizer):
            raise ConfigError(
                "the cuda_graph engine computes in float32 on a GPU with minicnn's own layers, loss "
                f"and optimizers; this model is {model.dtype} on {model.device}: use "
                'engine="auto", which falls back to the layerwise engine'
            )
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.device = device_of(model)
        self.stream = self.device.xp.cuda.Stream()
        self.totals = self.device.zeros(_TOTALS.itemsize, dtype=np.uint8)
        self.network: Network | None = None
        self.update = Update(self.device, optimizer, self.totals)
        self.moments: list[Array] = []  # in the captured graphs
        self.data: Images | None = None
        self.graphs: dict[Any, tuple[_Graph, _Graph]] = {}
        self.slot = 0  # the row of ``_Graph.copies`` for the next launch
        self.rng = np.random.default_rng(0)
        self.waiting: list[tuple[np.ndarray, np.void]] = []  # rows and records of pending steps
        self.unseen: list[np.ndarray] = []  # rows of launched steps whose loss has not been read

    def __getstate__(self) -> dict[str, Any]:
        """Return the state of a copy, which allocates its own arrays at its first step."""
        return {"model": self.model, "loss": self.loss, "optimizer": self.optimizer}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)

    def train_step(self, images: np.ndarray, labels: np.ndarray) -> StepResult:
        """Take one step on a batch: see ``Engine.train_step``."""
        self._set_data(images, labels, None)
        self.step(np.arange(len(images)))
        seen = self.finish()
        return StepResult(seen.loss_sum / seen.images, seen.correct)

    def load(
        self, images: np.ndarray, labels: np.ndarray, augmentation: Augmentation | None = None, seed: int = 0
    ) -> None:
        """Check the data set and copy it to the device; raises also DeviceError, if memory runs out."""
        self._set_data(images, labels, augmentation)
        self.rng = np.random.default_rng(seed)  # for augmentation and dropout

    def _check_known(self) -> None:
        if not supports(self.model, self.loss, self.optimizer):
            raise ConfigError(
                f"this engine trains on a GPU, but the model is now {self.model.dtype} on "
                f"{self.model.device}, or has a layer, loss or optimizer without kernels: make a new Trainer"
            )

    def _set_data(self, images: np.ndarray, labels: np.ndarray, augmentation: Augmentation | None) -> None:
        self._check_known()
        check_data(self.model, images, labels)
        self._drop_results()
        if self.data is None or not self.data.replace(images, labels, augmentation):
            self._drop_graphs()  # they refer to the old data
            self.data = None  # frees its memory before more is allocated
            self.data = Images(self.model, images, labels, augmentation)
        self.images = images

    def _drop_results(self) -> None:
        """Launch the pending steps, and drop unread results."""
        self.launch()
        with self.stream:
            self.totals.fill(0)
        self.unseen = []

    def _drop_graphs(self) -> None:
        self.stream.synchronize()  # the device may still use their arrays
        self.graphs, self.slot = {}, 0
        self.one = self.many = None

    def step(self, rows: np.ndarray) -> StepTotals | None:
        """Take one step on these rows, now or together with the next ones; see ``Engine.step``.

        Raises
        ------
        NonFiniteError
            If the loss of a recent step was NaN or infinite; the message names the layer that caused it. That
            step and all later ones updated nothing.
        """
        rows = np.array(rows, np.int32)  # a copy, as the step may wait
        if rows.ndim != 1 or len(rows) == 0 or rows.min() < 0 or rows.max() >= len(self.images):
            raise ShapeError(f"expected rows from 0 to {len(self.images) - 1}, at least one, got {rows}")
        self._check_known()
        self._fit(len(rows))
        self.optimizer.begin_step(self.model)
        try:
            self._prepare(rows)
        except BaseException:
            self.optimizer.steps -= 1
            raise
        if len(self.waiting) == self.together:
            self._replay(self.many, self.waiting)
        return self.finish() if len(self.unseen) >= LOOK_EVERY else None

    def _prepare(self, rows: np.ndarray) -> None:
        """Capture graphs for this step if needed, and add it to the pending ones."""
        self._refresh_moments()
        key = self._key(len(rows))
        if self.waiting and key != self.key:
            self.launch()
        self.key = key
        self.together = max(1, min(_IMAGES_PER_GRAPH // len(rows), _MOST_STEPS))
        self.one, self.many = self._captured(len(rows), self.together)
        self.waiting.append((rows, self.update.record(self.rng.integers(2**32))))

    def _refresh_moments(self) -> None:
        """Get or make the optimizer's moments; if they were replaced, drop the graphs."""
        now = [moment for layer, name, _ in self.grads for moment in self.update.moments(layer, name)]
        if len(now) != len(self.moments) or not all(map(is_, now, self.moments)):
            self.launch()
            self._drop_graphs()
            self.moments = now

    def finish(self) -> StepTotals | None:
        """Wait for all steps, and return the new results, if any."""
        self.launch()
        if not self.unseen:
            return None
        with self.stream:
            totals = np.frombuffer(self.device.xp.asnumpy(self.totals), _TOTALS)[0]
            self.totals.fill(0)
        self.slot = 0
        batches, self.unseen = self.unseen, []
        if totals["broken"]:
            with np.errstate(over="ignore", invalid="ignore"):  # reported with its cause
                raise self._error(batches)
        return StepTotals(sum(map(len, batches)), float(totals["loss"]), int(totals["correct"]))

    def unload(self) -> None:
        """Launch the pending steps, and release the data set in main memory."""
        self._drop_results()
        self.images = None

    def _error(self, batches: list[np.ndarray]) -> NonFiniteError:
        """Return the error for the first batch with a non-finite loss."""
        reason, ago = f"caused by the rounding of {self.model.precision}; lower the learning rate", 0
        for number, rows in enumerate(batches):
            x = self.model.preprocess(self.images[rows])
            logits = copy.deepcopy(self.model).forward(x, training=True)
            if not bool(self.device.xp.isfinite(logits).all()):
                reason, ago = blame(self.model, x), len(batches) - 1 - number
                break
        self.optimizer.steps -= ago + 1  # these steps updated nothing
        error = NonFiniteError(f"the loss is not finite: {reason}")
        error.steps_ago = ago
        return error

    def _fit(self, N: int) -> None:
        """Check the model's arrays, and make a network for N images if needed."""
        network = self.network
        if network is not None and network.model is self.model and network.capacity >= N and network.fits():
            network.audit.check(training=True)
        else:
            self.launch()
            self._drop_graphs()
            self.network = None  # frees its memory before more is allocated
            self.network = Network(self.model, N, training=True)
            # Only once: compared with a step, making a view of a device array is slow.
            self.grads = [(g.layer, g.name, g.first) for g in self.network.parameters(N)]
        for layer, name, gradient in self.grads:
            layer.grads[name] = gradient

    def launch(self) -> None:
        """Launch the pending steps, one by one."""
        for step in list(self.waiting):
            self._replay(self.one, [step])

    def _replay(self, graph: _Graph, steps: list[tuple[np.ndarray, np.void]]) -> None:
        """Send the steps' rows and records to the device, and launch them."""
        rows, records = zip(*steps, strict=True)
        if self.slot == LOOK_EVERY:
            self.stream.synchronize()
            self.slot = 0
        numbers, head = graph.copies[self.slot], len(records) * STEP.itemsize
        numbers[:head] = np.array(list(records), STEP).view(np.uint8)
        numbers[head:] = np.concatenate(rows).view(np.uint8)
        with self.stream:
            graph.control.set(numbers)
            graph.graph.launch(self.stream)
        self.slot += 1
        self.waiting = self.waiting[len(steps) :]
        self.unseen += rows

    def _key(self, N: int) -> tuple[Any, ...]:
        """Return everything that is fixed in a graph, apart from array addresses."""
        smoothing, preprocessing = self.loss.label_smoothing, self.model.preprocessing
        return N, smoothing, preprocessing, *self.update.settings(), *self.network.numbers()

    def _captured(self, N: int, steps: int) -> tuple[_Graph, _Graph]:
        """Return graphs of one step on N images and of ``steps``, with the current settings."""
        if self.key not in self.graphs:
            if len(self.graphs) == _MOST_GRAPHS:
                self._drop_graphs()
            one = self._capture(N, 1)
            self.graphs[self.key] = one, one if steps == 1 else self._capture(N, steps)
        return self.graphs[self.key]

    def _capture(self, N: int, steps: int) -> _Graph:
        network, head = self.network, steps * STEP.itemsize
        size = head + steps * N * 4
        control = self.device.zeros(size, dtype=np.uint8)
        rows = control[head:].view(np.int32)
        memory = self.device.xp.cuda.alloc_pinned_memory(LOOK_EVERY * size)
        copies = np.frombuffer(memory, np.uint8, LOOK_EVERY * size).reshape(LOOK_EVERY, size)
        tables = self.update.tables(network.parameters(N))
        launches = []
        for i in range(steps):
            step = control[i * STEP.itemsize : (i + 1) * STEP.itemsize]
            launches += self._step(N, step, rows[i * N : (i + 1) * N])
            launches += self.update.launches(tables, step)
        with self.stream:
            self.stream.begin_capture()
            try:
                for launch in launches:
                    launch()
            finally:
                graph = self.stream.end_capture()
        return _Graph(graph, control, copies, launches)

    def _step(self, N: int, step: Array, rows: Array) -> list[Launch]:
        """Return the launches of a step, except the update."""
        network = self.network
        arrays = network.activations[-1], network.labels, network.gradients[-1], self.totals
        numbers = float(self.loss.label_smoothing), N, self.model.output_shape[0]
        return [
            self.data.gather(self.model.preprocessing, N, rows, step, network.activations[0], network.labels),
            *network.forward(N, step, True),
            self.device.compile("step", "loss").launch("softmax_cross_entropy", 1, *arrays, *numbers),
            *network.backward(N, step),
            *(launch for block in network.blocks for launch in block.commit(N, self.totals)),
        ]


def supports(model: Stack, loss: SoftmaxCrossEntropy, optimizer: Optimizer) -> bool:
    """Whether there are kernels for the model, the loss and the optimizer."""
    known = is_exactly(loss, SoftmaxCrossEntropy) and fused_kernel(optimizer) is not None
    return known and network.supports(model)
