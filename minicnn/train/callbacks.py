"""Callbacks: code that runs around the training loop, one class for each purpose."""

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.checks import flag, number, whole_number
from minicnn.errors import ConfigError, MiniCNNError
from minicnn.evaluate import evaluate
from minicnn.files import check_file, check_path
from minicnn.hints import Hinted
from minicnn.model import load
from minicnn.runtime import loading
from minicnn.schedules import Schedule

if TYPE_CHECKING:
    from minicnn.train.trainer import Trainer

HIGHER_IS_BETTER = {"accuracy": True, "loss": False, "val_accuracy": True, "val_loss": False}


class Callback(Hinted):
    """Base class: override the methods you need.

    Useful attributes of the trainer that is passed in: ``model``, ``optimizer``, ``history``, ``epoch`` and
    ``epochs``, ``step`` and ``total_steps`` (batches, from 0), ``held_out`` (the validation set, or None),
    ``stop`` (set it to end training after this epoch).

    Attributes
    ----------
    watches_steps : bool
        Set it to True in a callback whose ``on_step_begin`` or ``on_step_end`` reads or changes the model's
        arrays. A GPU then launches each step before callbacks are called, instead of several together.
    """

    watches_steps: bool = False

    def on_fit_begin(self, trainer: "Trainer") -> None:
        """Before the first epoch. Raise an error here if the callback cannot work."""

    def on_step_begin(self, trainer: "Trainer") -> None:
        """Before each batch."""

    def on_step_end(self, trainer: "Trainer", images: int, loss: float, accuracy: float) -> None:
        """After each batch of ``images``; loss and accuracy are the epoch's means so far.

        On a GPU they are read back every 64 steps, and NaN before that.
        """

    def on_epoch_trained(self, trainer: "Trainer") -> None:
        """After an epoch's last batch, before the validation."""

    def on_epoch_end(self, trainer: "Trainer", row: dict[str, float]) -> None:
        """After each epoch and its validation, with the new row of the history."""

    def on_fit_end(self, trainer: "Trainer") -> None:
        """After training, also after an error or Ctrl-C; called in reverse order of the callbacks."""


class LearningRateSchedule(Callback):
    """Set the optimizer's learning rate before each batch to ``schedule(step, total_steps)``.

    ``schedule`` is one of ``minicnn.schedules``, or a function of the step and the number of steps.
    """

    def __init__(self, schedule: Schedule) -> None:
        if not callable(schedule):
            raise ConfigError(f"expected a schedule such as schedules.Cosine(0.1), got {schedule!r}")
        self.schedule = schedule

    def on_fit_begin(self, trainer: "Trainer") -> None:
        """Remember the learning rate."""
        self._before = trainer.optimizer.learning_rate

    def on_step_begin(self, trainer: "Trainer") -> None:
        """Set the learning rate of this step."""
        trainer.optimizer.learning_rate = self.schedule(trainer.step, trainer.total_steps)

    def on_fit_end(self, trainer: "Trainer") -> None:
        """Restore the learning rate."""
        trainer.optimizer.learning_rate = self._before


class WeightEMA(Callback):
    """Evaluate and save an exponential moving average of the weights instead of the weights themselves.

    After step t = 1, 2, … ā ← d·ā + (1 − d)·w, for all parameters and BatchNorm's running averages, with
    d = min(decay, (1 + t) / (10 + t)), so that the first, poor weights are soon forgotten. Between the epochs
    (validation, checkpoints) and after the last one the model holds ā; its own weights return for the next
    epoch's steps. List it after EarlyStopping: ``on_fit_end`` is called in reverse order, so the weights that
    EarlyStopping restores remain.

    Parameters
    ----------
    decay : float
        Between 0 and 1: the average is over about 1 / (1 − decay) steps.

    Notes
    -----
    Sources: Polyak & Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging"; the exponential
    form and d as in TensorFlow's ``ExponentialMovingAverage``.
    """

    watches_steps = True

    def __init__(self, decay: float = 0.999) -> None:
        self.decay = number(decay, "decay", "(0, 1)")

    def on_fit_begin(self, trainer: "Trainer") -> None:
        """Start from the current weights."""
        self._average = _copies(trainer)
        self._own: dict[str, Any] | None = None  # the model's weights, while it holds the average

    def on_step_begin(self, trainer: "Trainer") -> None:
        """Restore the model's own weights at the first step of an epoch."""
        if self._own is not None:
            trainer.model.set_arrays(self._own)
            self._own = None

    def on_step_end(self, trainer: "Trainer", images: int, loss: float, accuracy: float) -> None:
        """Move the average toward the weights."""
        decay = min(self.decay, (1 + trainer.step) / (10 + trainer.step))
        for name, array in trainer.model.arrays().items():
            self._average[name] += (1 - decay) * (array - self._average[name])

    def on_epoch_trained(self, trainer: "Trainer") -> None:
        """Give the model the average."""
        self._own = _copies(trainer)
        trainer.model.set_arrays(self._average)

    def on_fit_end(self, trainer: "Trainer") -> None:
        """Leave the average in the model, also if training was interrupted."""
        trainer.model.set_arrays(self._average)


class _Monitor(Callback):
    """Base class: watch one column of the history for its best value."""

    def __init__(self, monitor: str, min_delta: float = 0.0) -> None:
        if not isinstance(monitor, str) or monitor not in HIGHER_IS_BETTER:
            raise ConfigError(f"unknown monitor {monitor!r}: expected one of {', '.join(HIGHER_IS_BETTER)}")
        self.monitor = monitor
        self.min_delta = number(min_delta, "min_delta", "[0, ∞)")
        self.best = math.nan

    def on_fit_begin(self, trainer: "Trainer") -> None:
        """Reset the best value; raise ConfigError if there is no validation to watch."""
        if self.monitor.startswith("val_") and trainer.held_out is None:
            raise ConfigError(
                f"{type(self).__name__} watches {self.monitor}, but fit has no validation: "
                "pass validation=0.1, or monitor the training loss"
            )
        self.best = -math.inf if HIGHER_IS_BETTER[self.monitor] else math.inf

    def _improved(self, row: dict[str, float]) -> bool:
        value = row[self.monitor]
        gain = value - self.best if HIGHER_IS_BETTER[self.monitor] else self.best - value
        if gain > self.min_delta:
            self.best = value
            return True
        return False


class EarlyStopping(_Monitor):
    """Stop when ``monitor`` has not improved by more than ``min_delta`` for ``patience`` epochs.

    Parameters
    ----------
    monitor : "val_loss", "val_accuracy", "loss" or "accuracy"
        The first two need a validation.
    patience : int
        At least 1.
    min_delta : float
        At least 0.
    restore_best : bool
        Restore the weights of the best epoch of this ``fit`` when training ends.
    """

    def __init__(
        self, monitor: str = "val_loss", patience: int = 3, min_delta: float = 0.0, restore_best: bool = True
    ) -> None:
        super().__init__(monitor, min_delta)
        self.patience = whole_number(patience, "patience")
        self.restore_best = flag(restore_best, "restore_best")

    def on_fit_begin(self, trainer: "Trainer") -> None:
        """Start counting."""
        super().on_fit_begin(trainer)
        self._waited, self._best_arrays = 0, None

    def on_epoch_end(self, trainer: "Trainer", row: dict[str, float]) -> None:
        """Count the epochs since the best one."""
        if self._improved(row):
            self._waited = 0
            if self.restore_best:
                self._best_arrays = _copies(trainer)
            return
        self._waited += 1
        if self._waited >= self.patience:
            trainer.stop = True

    def on_fit_end(self, trainer: "Trainer") -> None:
        """Restore the best weights."""
        if self._best_arrays is not None:
            trainer.model.set_arrays(self._best_arrays)


class Checkpoint(_Monitor):
    """Save the model to ``path`` after each epoch in which ``monitor`` reached a new best.

    If there is a model at ``path`` when ``fit`` begins, it is evaluated on the validation set, and replaced
    only by a better one, so the best remains when ``fit`` is called again. If it was trained on some of these
    images, as after a split with another seed, its score is too good. "loss" and "accuracy" are known only
    during training, so with these an existing file is an error.

    Parameters
    ----------
    path : str or Path
        The model file.
    monitor : "val_accuracy", "val_loss", "accuracy" or "loss"
    overwrite : bool
        Replace an existing file after the first epoch, without comparing.

    Attributes
    ----------
    epoch : int or None
        The epoch whose model was saved last in this ``fit``.

    Raises
    ------
    ConfigError
        If an argument is invalid; in ``fit``, if there is no validation to watch, the model cannot be saved
        or the file at ``path`` cannot be compared.
    OutputError
        In ``fit``, if the file cannot be written.
    """

    def __init__(self, path: str | Path, monitor: str = "val_accuracy", overwrite: bool = False) -> None:
        super().__init__(monitor)
        self.path = check_path(path)
        self.overwrite = flag(overwrite, "overwrite")
        self.epoch: int | None = None

    def on_fit_begin(self, trainer: "Trainer") -> None:
        """Check before training that the file can be written, and find the score to beat."""
        super().on_fit_begin(trainer)
        self.epoch = None
        check_file(self.path)
        trainer.model.check_savable()
        if self.path.exists() and not self.overwrite:
            self.best = self._score_of_file(trainer)

    def _score_of_file(self, trainer: "Trainer") -> float:
        """Return the score of the model at the path on the validation set."""
        advice = "choose another path, or pass overwrite=True to replace it"
        if not self.monitor.startswith("val_") or trainer.held_out is None:
            raise ConfigError(
                f"Checkpoint: {self.path} exists already, and its {self.monitor} is unknown, because it is "
                f"measured during training: watch val_{self.monitor}, {advice}"
            )
        try:
            found = evaluate(load(self.path).to(trainer.device), trainer.held_out, trainer.batch_size)
        except MiniCNNError as reason:
            raise ConfigError(
                f"Checkpoint: {self.path} exists already, and cannot be compared ({reason}): {advice}"
            ) from reason
        return found.loss if self.monitor == "val_loss" else found.accuracy

    def on_epoch_end(self, trainer: "Trainer", row: dict[str, float]) -> None:
        """Save the model if it is the best so far."""
        if self._improved(row):
            before = self._file()
            try:
                trainer.model.save(self.path)
            finally:  # Ctrl-C may come after the file was replaced, but before save returns
                if self._file() != before:
                    self.epoch = trainer.epoch

    def _file(self) -> int | None:
        """Return the inode of the file at the path, which changes when it is replaced, or None."""
        try:
            return self.path.stat().st_ino
        except OSError:
            return None


def _copies(trainer: "Trainer") -> dict[str, Any]:
    return {name: array.copy() for name, array in trainer.model.arrays().items()}


class CSVLog(Callback):
    """Write the history of this ``fit`` to ``path`` after each epoch, replacing the file."""

    def __init__(self, path: str | Path) -> None:
        self.path = check_path(path)

    def on_fit_begin(self, trainer: "Trainer") -> None:
        """Check before training that the file can be written."""
        check_file(self.path)

    def on_epoch_end(self, trainer: "Trainer", row: dict[str, float]) -> None:
        """Write all rows so far."""
        trainer.history.to_csv(self.path)


class ProgressBar(Callback):
    """A bar with loss, accuracy, images per second and the time left, and a line for each epoch, on stderr.

    The bar also shows when kernels are compiled. Without a terminal only the lines are printed.
    """

    def on_fit_begin(self, trainer: "Trainer") -> None:
        """Open the bar."""
        from tqdm import tqdm

        self._bar = tqdm(
            total=trainer.total_images, unit=" images", unit_scale=True, dynamic_ncols=True, disable=None
        )
        self._watch, self._text = None, f"epoch 1/{trainer.epochs}"
        if trainer.device == "cpu":
            self._bar.set_description(self._text)
            self._watch = loading.load("minicnn.runtime.compiled").Watch(self._show_compiling)
        else:
            self._bar.set_description("compiling what is not in the cache yet")

    def _show_compiling(self, compiling: bool) -> None:
        """Show that kernels are compiled. The training thread waits meanwhile, so no lock is needed."""
        self._bar.set_description("compiling kernels" if compiling else self._text, refresh=False)
        self._bar.refresh(nolock=True)

    def on_step_end(self, trainer: "Trainer", images: int, loss: float, accuracy: float) -> None:
        """Advance the bar."""
        self._text = f"epoch {trainer.epoch}/{trainer.epochs}"
        self._bar.set_description(self._text, refresh=False)
        self._bar.set_postfix_str(f"loss {loss:.4f}, accuracy {accuracy:.2%}", refresh=False)
        self._bar.update(images)

    def on_epoch_end(self, trainer: "Trainer", row: dict[str, float]) -> None:
        """Print the epoch's line above the bar."""
        text = f"epoch {trainer.epoch}/{trainer.epochs}: "
        text += f"loss {row['loss']:.4f}, accuracy {row['accuracy']:.2%}"
        if "val_loss" in row:
            text += f", validation loss {row['val_loss']:.4f}, accuracy {row['val_accuracy']:.2%}"
        text += f"  ({row['seconds']:.1f} s, {row['images_per_second']:,.0f} images/s)"
        self._bar.write(text, file=sys.stderr)

    def on_fit_end(self, trainer: "Trainer") -> None:
        """Close the bar."""
        if self._watch is not None:
            self._watch.close()
        self._bar.close()
