"""The training loop."""

import numbers
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from minicnn import hints
from minicnn.backend import array_module, resolve_device, tensor_cores
from minicnn.checks import whole_number
from minicnn.data import Augmentation, Dataset, split
from minicnn.data.dataset import check_dataset
from minicnn.engine import make_engine
from minicnn.errors import ConfigError, DataError, NonFiniteError
from minicnn.evaluate import check_classifier, evaluate, match_classes
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.metrics import Evaluation
from minicnn.model import Sequential
from minicnn.optimizers import Optimizer
from minicnn.preparation import Preparation
from minicnn.preprocessing import Preprocessing
from minicnn.text import listed, shown
from minicnn.train.callbacks import Callback, ProgressBar
from minicnn.train.history import History
from minicnn.train.settings import settings


class Trainer(hints.Hinted):
    """Trains a model on a data set.

    Parameters
    ----------
    model : Sequential
        A classifier, with one logit for each class as output.
    optimizer : Optimizer
    loss : SoftmaxCrossEntropy, optional
        By default without label smoothing.
    device : "cpu", "cuda" or "auto"
        Where to compute; the model is moved there.
    engine : "auto", "layerwise", "fused" or "cuda_graph"
        How a step is computed: layer by layer, or for float32 models by the fused engine on the CPU or the
        captured one on a GPU, which are faster and equal up to rounding. "auto" selects the fastest.
    precision : "auto", "fp32", "tf32" or "bf16"
        How the captured engine multiplies: in float32, or on the GPU's tensor cores, which round the factors
        to a mantissa of 10 or 7 bits and add in float32. "auto" is "tf32" there, and "fp32" everywhere else.
        The model keeps the precision of its last trainer for its predictions.

    Raises
    ------
    ConfigError
        If the model is not a classifier, or an argument is invalid.
    DeviceError
        If the device cannot be used; the message says why.
    """

    def __init__(
        self,
        model: Sequential,
        optimizer: Optimizer,
        loss: SoftmaxCrossEntropy | None = None,
        device: str = "cpu",
        engine: str = "auto",
        precision: str = "auto",
    ) -> None:
        check_classifier(model)
        if not isinstance(optimizer, Optimizer):
            raise ConfigError(f"expected an optimizer such as SGD(0.05), got {optimizer!r}")
        if not isinstance(loss, SoftmaxCrossEntropy | None):
            raise ConfigError(f"expected a loss such as SoftmaxCrossEntropy(), got {loss!r}")
        self.device = resolve_device(device)
        if self.device == "cpu":
            _precision(precision, "CPU's")  # before the model is moved
        self.model = model.to(self.device)
        self.optimizer = optimizer
        self.loss = SoftmaxCrossEntropy() if loss is None else loss
        self.engine = make_engine(engine, self.model, self.loss, optimizer)
        self.model.precision = _precision(precision, self.engine.name)
        self.history = History("nothing yet")
        self.stop = False
        self.held_out: Dataset | None = None
        self.settings: dict[str, Any] = {}
        self.batch_size = 256
        self.epoch = self.epochs = self.step = self.total_steps = self.total_images = 0

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; raise ConfigError for those that the engine was made with."""
        if name in ("model", "optimizer", "loss") and name in vars(self):
            raise ConfigError(
                f"trainer.{name} cannot be replaced: make a new Trainer(model, optimizer, loss), or change "
                f"the attributes of trainer.{name}"
            )
        super().__setattr__(name, value)

    @hints.arguments
    def fit(
        self,
        train: Dataset,
        epochs: int = 5,
        batch_size: int = 128,
        validation: float | Dataset | None = None,
        callbacks: Sequence[Callback] = (),
        seed: int = 0,
        progress: bool = True,
        augmentation: Augmentation | None = None,
    ) -> History:
        """Train for ``epochs`` passes over ``train``.

        Each epoch visits every image once, in a new order. The last batch may be smaller; if it is too small
        for a layer of the model (``Layer.smallest_batch``), it is joined to the one before. The same seed on
        the same machine with the same number of threads gives the same weights, bit for bit.

        Parameters
        ----------
        train : Dataset
        epochs, batch_size : int
            At least 1. Memory grows with the batch size, which is also that of the validation.
        validation : float or Dataset, optional
            A share of ``train`` to hold out, stratified by class, or a separate set; evaluated after each
            epoch.
        callbacks : sequence of Callback
        seed : int
            Seed of the held-out share, the order of the images and the augmentation.
        progress : bool
            Show a progress bar and a line for each epoch.
        augmentation : Augmentation, optional
            Random changes to the images each time they are trained on. On a GPU they are drawn there.

        Returns
        -------
        History
            Also in ``self.history``.

        Raises
        ------
        ConfigError, DataError, ShapeError, DTypeError, NonFiniteError
            If arguments or data cannot be used; before anything is changed.
        NonFiniteError
            At the first loss that is NaN or infinite, naming the layer that produced it.
        """
        check_dataset(train)  # first: fit(images, labels) would pass the labels as the epochs
        epochs, batch_size = whole_number(epochs, "epochs"), whole_number(batch_size, "batch_size")
        rng = np.random.default_rng(whole_number(seed, "seed", 0))
        _check_callbacks(callbacks)
        if not isinstance(augmentation, Augmentation | None):
            raise ConfigError(f"expected an Augmentation such as Augmentation(shift=1), got {augmentation!r}")
        train, held_out, preprocessing = self._split(train, validation, seed)
        edges = _batch_edges(self.model, len(train), batch_size)
        self.history, self.stop = History(train.name), False
        self.held_out, self.batch_size = held_out, batch_size
        self.epoch, self.epochs, self.total_images = 0, epochs, epochs * len(train)
        self.step, self.total_steps = 0, epochs * (1 + len(edges))
        self.settings = settings(
            self.optimizer, self.loss, preprocessing, callbacks, augmentation, validation, batch_size, seed
        )
        callbacks = [ProgressBar(), *callbacks] if progress else list(callbacks)
        with ExitStack() as stack:  # calls on_fit_end however training ends, in reverse order
            for callback in callbacks:
                callback.on_fit_begin(self)
                stack.callback(callback.on_fit_end, self)
            if self.model.class_names is None:
                self.model.set_class_names(train.class_names)
            self.model.preprocessing = preprocessing
            self.model.info.setdefault("dataset", train.name)
            self.model.preparation = Preparation.of(train.images)
            self.engine.load(train.images, train.labels, augmentation, seed)
            stack.callback(self.engine.unload)
            while self.epoch < epochs and not self.stop:
                self.epoch += 1
                self._train_epoch(np.split(rng.permutation(len(train)), edges), callbacks)
        return self.history

    def _train_epoch(self, batches: list[np.ndarray], callbacks: list[Callback]) -> None:
        """Train on each batch, validate, and add a row to the history."""
        row = self._take_steps(batches, callbacks)
        for callback in callbacks:
            callback.on_epoch_trained(self)
        if self.held_out is not None:
            result = self.evaluate(self.held_out)
            row |= {"val_loss": result.loss, "val_accuracy": result.accuracy}
        self.history.append(row)
        for callback in callbacks:
            callback.on_epoch_end(self, row)

    def _take_steps(self, batches: list[np.ndarray], callbacks: list[Callback]) -> dict[str, float]:
        """Take a step on each batch of rows, and return the epoch's row of the history."""
        start, seen, loss_sum, correct = time.perf_counter(), 0, 0.0, 0
        watched = any(callback.watches_steps for callback in callbacks)
        for number, batch in enumerate(batches, start=1):
            for callback in callbacks:
                callback.on_step_begin(self)
            try:
                results = [self.engine.step(batch)]
                if number == len(batches):
                    results.append(self.engine.finish())
            except NonFiniteError as reason:
                batch_number = number - reason.steps_ago
                raise NonFiniteError(f"epoch {self.epoch}, batch {batch_number}: {reason}") from reason
            self.step += 1
            if watched:
                self.engine.launch()
            for result in filter(None, results):
                seen += result.images
                loss_sum += result.loss_sum
                correct += result.correct
            # An engine that reports results later has none at first.
            loss, accuracy = (loss_sum / seen, correct / seen) if seen else (np.nan, np.nan)
            for callback in callbacks:
                callback.on_step_end(self, len(batch), loss, accuracy)
        self._check_finite()
        seconds = time.perf_counter() - start
        return {
            "epoch": self.epoch,
            "loss": loss_sum / seen,
            "accuracy": correct / seen,
            "learning_rate": self.optimizer.learning_rate,
            "seconds": seconds,
            "images_per_second": seen / seconds,
        }

    def _check_finite(self) -> None:
        """Check the arrays after the epoch's last step: no later loss of this epoch depends on them."""
        for name, array in self.model.arrays().items():
            if not array_module(array).isfinite(array).all():
                raise NonFiniteError(
                    f"epoch {self.epoch}: after its last batch {name} holds NaN or infinity; "
                    "lower the learning rate, or start with a warm-up"
                )

    @hints.arguments
    def evaluate(self, data: Dataset, batch_size: int | None = None, flip_tta: bool = False) -> Evaluation:
        """Evaluate the model on ``data``; see ``minicnn.evaluate``.

        The batch size is by default the one that was given to ``fit``.
        """
        return evaluate(self.model, data, self.batch_size if batch_size is None else batch_size, flip_tta)

    def _split(
        self, train: Dataset, validation: float | Dataset | None, seed: int
    ) -> tuple[Dataset, Dataset | None, Preprocessing]:
        """Check the data; return the images to train on, those held out, and the fitted preprocessing."""
        train = match_classes(train, self.model)
        self.model.preprocessing.check(train.images, self.model.input_shape)
        _check_training(train)
        preprocessing = self.model.preprocessing.trained(train.images)
        if validation is None:
            return train, None, preprocessing
        if isinstance(validation, Dataset):
            validation = match_classes(validation, self.model, train.class_names)
            preprocessing.check(validation.images, self.model.input_shape)
            return train, validation, preprocessing
        if not isinstance(validation, numbers.Real):
            raise ConfigError(
                f"validation must be a share such as 0.1, or a Dataset, got {shown(validation)}"
            )
        return *split(train, validation, seed), preprocessing


def _check_training(train: Dataset) -> None:
    """Raise DataError if all images are equal or of one class; warn about classes without an image."""
    pixel = train.images.min()
    if pixel == train.images.max():
        raise DataError(
            f"every pixel of all {len(train):,} images of {train.name} is {pixel}: there is nothing to "
            "learn; check where the images come from"
        )
    counts = train.class_counts()
    present = np.flatnonzero(counts)
    if len(present) == 1:
        raise DataError(
            f"all {len(train):,} images of {train.name} are of one class, {train.class_names[present[0]]!r}: "
            "there is nothing to learn; check where the labels come from, and whether the images are the "
            "first of a sorted file"
        )
    if len(present) < len(counts):
        missing = [train.class_names[k] for k in np.flatnonzero(counts == 0)]
        warnings.warn(
            f"{train.name} has no image of {listed(missing)}: the model will never predict it",
            stacklevel=5,  # the caller of fit
        )


def _batch_edges(model: Sequential, images: int, batch_size: int) -> list[int]:
    """Return where all batches but the first begin; raise ConfigError if they are too small for a layer."""
    layer = max(model.layers, key=lambda layer: layer.smallest_batch())
    least = layer.smallest_batch()
    if min(images, batch_size) < least:
        name, given = ("batch_size", batch_size) if batch_size < least else ("the training images", images)
        raise ConfigError(
            f"{name} must be at least {least}, got {given}: layer {layer.name!r} takes averages over the "
            "batch, and a single value has no variance"
        )
    edges = list(range(batch_size, images, batch_size))
    return edges[:-1] if edges and images - edges[-1] < least else edges


def _precision(precision: str, engine: str) -> str:
    """Return the precision that ``engine`` multiplies in."""
    if precision not in ("auto", "fp32", "tf32", "bf16"):
        raise ConfigError(f"unknown precision {precision!r}: expected auto, fp32, tf32 or bf16")
    if engine == "cuda_graph" and tensor_cores():
        return "tf32" if precision == "auto" else precision
    if precision in ("tf32", "bf16"):
        raise ConfigError(
            f'precision="{precision}" needs the cuda_graph engine and a GPU of compute capability 8.0 or '
            f'later, this is the {engine} engine: use precision="fp32" or "auto"'
        )
    return "fp32"


def _check_callbacks(callbacks: Sequence[Callback]) -> None:
    if not isinstance(callbacks, Sequence) or not all(isinstance(c, Callback) for c in callbacks):
        raise ConfigError(f"callbacks must be a list such as [EarlyStopping()], got {callbacks!r}")
    if len({id(callback) for callback in callbacks}) < len(callbacks):
        raise ConfigError("a callback object appears twice: it would count every epoch twice")
