"""The fast engine for the GPU: a whole training step as one graph of kernels over arrays that never move.

The data set lies on the device as it is stored. A step gathers its batch from it, normalizes, and goes
forward, backward and to the updated parameters by the kernels of ``engine/cuda/kernels``. It is captured once
for each batch size and then replayed: the host says which rows and which learning rate, in one small
copy, and looks at the loss only every so many steps. What is computed is what the layers say, to the
rounding of the model's ``precision``; ``engine/layerwise.py`` is the reference.
"""

import copy
from operator import is_
from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import Array
from minicnn.data import Augmentation
from minicnn.engine.audit import fused_kernel, is_known
from minicnn.engine.base import Engine, Seen, StepResult, check_data
from minicnn.engine.cuda import network
from minicnn.engine.cuda.blocks import Gradient
from minicnn.engine.cuda.device import Launch
from minicnn.engine.cuda.network import STEP, Images, Network, device_of
from minicnn.engine.layerwise import blame
from minicnn.errors import ConfigError, NonFiniteError, ShapeError
from minicnn.layers import Layer
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optimizers import Optimizer
from minicnn.stack import Stack

# Steps between two looks at the loss: until then the device need not wait for the host.
LOOK_EVERY = 64
# A small batch is over before the host can launch the next: several steps go into one graph then.
_IMAGES_A_GRAPH, _MOST_STEPS = 1024, 8
_MOST_GRAPHS = 16  # that are kept: one for each batch size and each change of settings

# The numbers of an optimizer that change from step to step; the others are fixed in a graph.
_CHANGING = frozenset(STEP.names)
# What ``step.cu`` and ``update.cu`` call Totals, Parameter and Piece.
_TOTALS = np.dtype([("loss", "f8"), ("correct", "i8"), ("broken", "i8")])
_PARAMETER = np.dtype(
    [("w", "u8"), ("parts", "u8"), ("first_moment", "u8"), ("second_moment", "u8"), ("size", "i8"),
     ("stride", "i8"), ("count", "i8"), ("decay", "f4"), ("unused", "i4")]
)  # fmt: skip
_PIECE = np.dtype([("parameter", "i4"), ("first", "i4")])
_PIECE_SIZE = 4 * 256  # numbers of a parameter that one block of threads updates


class _Graph(NamedTuple):
    """Some steps, captured, and what the host writes before each replay."""

    graph: Any
    control: Array  # on the device: the records of the steps, then their rows
    copies: np.ndarray  # (LOOK_EVERY, size of that), in memory that the device can read by itself
    kept: list[Launch]  # hold the arrays that the kernels were told of


class CudaGraphEngine(Engine):
    """Takes the same steps as ``LayerwiseEngine``, faster; for float32 models on a GPU.

    Raises
    ------
    ConfigError
        If there are no kernels for the model, the loss or the optimizer: a class of your own, say.
    """

    name = "cuda_graph"

    def __init__(self, model: Stack, loss: SoftmaxCrossEntropy, optimizer: Optimizer) -> None:
        if not supports(model, loss, optimizer):
            raise ConfigError(
                "the cuda_graph engine computes in float32 on a GPU and knows the library's own layers, loss "
                f"and optimizers; this model is {model.dtype} on {model.device}: use "
                'engine="auto", which takes the layerwise engine where it must'
            )
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.device = device_of(model)
        self.stream = self.device.xp.cuda.Stream()
        self.totals = self.device.zeros(_TOTALS.itemsize, dtype=np.uint8)
        self.network: Network | None = None
        self.moments: list[Array] = []  # those that the graphs know
        self.data: Images | None = None
        self.graphs: dict[Any, tuple[_Graph, _Graph]] = {}
        self.slot = 0  # of ``_Graph.copies``, for the next launch
        self.rng = np.random.default_rng(0)
        self.waiting: list[tuple[np.ndarray, np.void]] = []  # rows and record of steps not launched yet
        self.unseen: list[np.ndarray] = []  # rows of launched steps whose loss the host has not looked at

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy takes over: it makes its own arrays, at its first step."""
        return {"model": self.model, "loss": self.loss, "optimizer": self.optimizer}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)

    def train_step(self, images: np.ndarray, labels: np.ndarray) -> StepResult:
        """Take one step on a batch, images (N, H, W, C) as stored and labels (N,). See ``load``."""
        self._bring(images, labels, None)
        self.step(np.arange(len(images)))
        seen = self.finish()
        return StepResult(seen.loss_sum / seen.images, seen.correct)

    def load(
        self, images: np.ndarray, labels: np.ndarray, augmentation: Augmentation | None = None, seed: int = 0
    ) -> None:
        """Bring a data set to the device: ``step`` takes its batches from it, and changes them there.

        Raises
        ------
        ShapeError, DTypeError, DataError
            If these are other shapes, or labels are not whole numbers from 0 to K − 1.
        DeviceError
            If the GPU has too little memory for it.
        """
        self._bring(images, labels, augmentation)
        self.rng = np.random.default_rng(seed)  # for augmentation and dropout

    def _check_known(self) -> None:
        if not supports(self.model, self.loss, self.optimizer):
            raise ConfigError(
                f"this engine trains on a GPU, the model is {self.model.dtype} on {self.model.device} by "
                "now, or has a layer, a loss or an optimizer that there are no kernels for: make a new "
                "Trainer for it"
            )

    def _bring(self, images: np.ndarray, labels: np.ndarray, augmentation: Augmentation | None) -> None:
        self._check_known()
        check_data(self.model, images, labels)
        self._settle()
        if self.data is None or not self.data.replace(images, labels, augmentation):
            self._drop_graphs()  # they know where the old data are
            self.data = None  # gives its memory back before more is taken
            self.data = Images(self.model, images, labels, augmentation)
        self.images = images

    def _settle(self) -> None:
        """Take the steps that wait, and forget what those nobody has asked about have seen."""
        self.launch()
        with self.stream:
            self.totals.fill(0)
        self.unseen = []

    def _drop_graphs(self) -> None:
        self.stream.synchronize()  # the device may still read what they hold
        self.graphs, self.slot = {}, 0
        self.one = self.many = None

    def step(self, rows: np.ndarray) -> Seen | None:
        """Take one step on these rows of the data set, now or together with the next ones.

        Returns
        -------
        Seen or None
            What the steps since the last answer have seen, every so many steps.

        Raises
        ------
        NonFiniteError
            If the loss of one of these steps was NaN or infinite, naming the layer where that began; from
            that step on nothing was updated.
        """
        rows = np.array(rows, np.int32)  # a copy: it may wait for a while
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
        """Have graphs for the step that has begun, and let it wait."""
        self._hold_moments()
        key = self._key(len(rows))
        if self.waiting and key != self.key:
            self.launch()
        self.key = key
        self.together = max(1, min(_IMAGES_A_GRAPH // len(rows), _MOST_STEPS))
        self.one, self.many = self._captured(len(rows), self.together)
        self.waiting.append((rows, self._record()))

    def _hold_moments(self) -> None:
        """Keep the optimizer's moments, made if they are not there; graphs that know others are dropped."""
        now = [moment for layer, name, _ in self.grads for moment in self._moments(layer, name)]
        if len(now) != len(self.moments) or not all(map(is_, now, self.moments)):
            self.launch()
            self._drop_graphs()
            self.moments = now

    def finish(self) -> Seen | None:
        """Wait for all steps, and return what those since the last answer have seen, if there are any."""
        self.launch()
        if not self.unseen:
            return None
        with self.stream:
            totals = np.frombuffer(self.device.xp.asnumpy(self.totals), _TOTALS)[0]
            self.totals.fill(0)
        self.slot = 0
        batches, self.unseen = self.unseen, []
        if totals["broken"]:
            with np.errstate(over="ignore", invalid="ignore"):  # known, and told with its cause
                raise self._error(batches)
        return Seen(sum(map(len, batches)), float(totals["loss"]), int(totals["correct"]))

    def unload(self) -> None:
        """Take the steps that wait, and let go of the data set in main memory."""
        self._settle()
        self.images = None

    def _error(self, batches: list[np.ndarray]) -> NonFiniteError:
        """Find the first batch whose loss is not finite, and say which layer produced that."""
        reason, ago = f"the rounding of {self.model.precision} did it; lower the learning rate", 0
        for number, rows in enumerate(batches):
            x = self.model.preprocess(self.images[rows])
            logits = copy.deepcopy(self.model).forward(x, training=True)
            if not bool(self.device.xp.isfinite(logits).all()):
                reason, ago = blame(self.model, x), len(batches) - 1 - number
                break
        self.optimizer.steps -= ago + 1  # they have updated nothing
        error = NonFiniteError(f"the loss is not finite: {reason}")
        error.steps_ago = ago
        return error

    def _record(self) -> np.void:
        """Return what ``update.cu`` needs to know of the optimizer's step that has begun."""
        numbers, record = self.optimizer.numbers(), np.zeros((), STEP)
        record["draw"] = self.rng.integers(2**32)
        for field in _CHANGING.intersection(numbers._fields):
            record[field] = getattr(numbers, field)
        return record[()]

    def _fit(self, N: int) -> None:
        """Check the model's arrays, and make those for N images if they are not there."""
        network = self.network
        if network is not None and network.model is self.model and network.capacity >= N and network.fits():
            network.audit.check(training=True)
        else:
            self.launch()
            self._drop_graphs()
            self.network = None  # gives its memory back before more is taken
            self.network = Network(self.model, N, training=True)
            # Once: to make a view of a device's array takes long, compared with a step.
            self.grads = [(g.layer, g.name, g.first) for g in self.network.parameters(N)]
        for layer, name, gradient in self.grads:
            layer.grads[name] = gradient

    def launch(self) -> None:
        """Launch the steps that wait for others: each with a graph of its own."""
        for step in list(self.waiting):
            self._replay(self.one, [step])

    def _replay(self, graph: _Graph, steps: list[tuple[np.ndarray, np.void]]) -> None:
        """Tell the device which rows and numbers the steps take, and launch them."""
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
        """Return all that is fixed in a graph but for the addresses of arrays."""
        smoothing, preprocessing = self.loss.label_smoothing, self.model.preprocessing
        return N, smoothing, preprocessing, *self._settings(), *self.network.numbers()

    def _captured(self, N: int, steps: int) -> tuple[_Graph, _Graph]:
        """Return one step on N images as a graph, and ``steps`` of them, with the settings of now."""
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
        parameters, pieces = self._parameters(network.parameters(N))
        launches = []
        for i in range(steps):
            step = control[i * STEP.itemsize : (i + 1) * STEP.itemsize]
            launches += self._step(N, step, rows[i * N : (i + 1) * N])
            launches += self._update(parameters, pieces, step)
        with self.stream:
            self.stream.begin_capture()
            try:
                for launch in launches:
                    launch()
            finally:
                graph = self.stream.end_capture()
        return _Graph(graph, control, copies, launches)

    def _step(self, N: int, step: Array, rows: Array) -> list[Launch]:
        """Return the launches from the rows of a batch to the parts of all gradients."""
        network = self.network
        K = np.int32(self.model.output_shape[0])
        logits, dlogits = network.activations[-1], network.gradients[-1]
        smoothing = np.float32(self.loss.label_smoothing)
        kernel = self.device.compile("step", "loss").get_function("softmax_cross_entropy")
        numbers = smoothing, np.int32(N), K
        return [
            self.data.gather(self.model.preprocessing, N, rows, step, network.activations[0], network.labels),
            *network.forward(N, step, True),
            Launch(kernel, (1,), 256, (logits, network.labels, dlogits, self.totals, *numbers)),
            *network.backward(N, step),
            *(launch for block in network.blocks for launch in block.commit(N, self.totals)),
        ]

    def _settings(self) -> tuple[Any, ...]:
        """Return the optimizer's numbers that are fixed in a graph."""
        o = self.optimizer
        return *self._fixed_numbers(), o.weight_decay, o.decay_all, o.global_clipnorm

    def _fixed_numbers(self) -> list[Any]:
        """Return the arguments of the optimizer's kernel that are fixed in a graph."""
        numbers = self.optimizer.numbers()._asdict()
        fixed = [value for name, value in numbers.items() if name not in _CHANGING]
        return [np.int32(value) if isinstance(value, bool) else np.float32(value) for value in fixed]

    def _parameters(self, gradients: list[Gradient]) -> tuple[Array, Array]:
        """Return the tables of ``update.cu``: the parameters, and the pieces that its blocks update."""
        table, pieces = np.zeros(len(gradients), _PARAMETER), []
        for row, (layer, name, first, stride, count) in enumerate(gradients):
            w, entry, moments = layer.params[name], table[row], self._moments(layer, name)
            fields = "w", "parts", "first_moment", "second_moment"
            for field, array in zip(fields, (w, first, *moments), strict=False):
                entry[field] = array.data.ptr
            entry["size"], entry["stride"], entry["count"] = w.size, stride, count
            entry["decay"] = self.optimizer.decay_of(layer, name)
            pieces += [(row, i) for i in range(0, w.size, _PIECE_SIZE)]
        asarray = self.device.xp.asarray
        return asarray(table.view(np.uint8)), asarray(np.array(pieces, _PIECE).view(np.uint8))

    def _moments(self, layer: Layer, name: str) -> list[Array]:
        """Return the moments of a parameter, laid out as kernels read them."""
        if not self.optimizer.moment_count:
            return []
        key = f"{layer.name}.{name}"
        moments = self.optimizer.moments(key, layer.params[name], self.optimizer.moment_count)
        moments[:] = map(self.device.laid_out, moments)
        return moments

    def _update(self, parameters: Array, pieces: Array, step: Array) -> list[Launch]:
        """Return the launches that update all parameters."""
        most, blocks = self.optimizer.global_clipnorm, pieces.size // _PIECE.itemsize
        update = self.device.compile("step", "update", CLIP=int(most is not None))
        clip = self.device.zeros(1)
        kernel = update.get_function(fused_kernel(self.optimizer))
        arguments = parameters, pieces, step, self.totals, clip, *self._fixed_numbers()
        launches = [Launch(kernel, (blocks,), 256, arguments)]
        if most is not None:
            squares = self.device.zeros(blocks, dtype=np.float64)
            find = squares, clip, np.float64(most), np.int32(blocks)
            launches = [
                Launch(update.get_function("square_sums"), (blocks,), 256, (parameters, pieces, squares)),
                Launch(update.get_function("clip_scale"), (1,), 256, find),
                *launches,
            ]
        return launches


def supports(model: Stack, loss: SoftmaxCrossEntropy, optimizer: Optimizer) -> bool:
    """Whether there are kernels for everything that a step needs."""
    known = is_known(loss, SoftmaxCrossEntropy) and fused_kernel(optimizer) is not None
    return known and network.supports(model)
