"""Callbacks: when they are called, what each one does, and which errors it raises before training."""

import contextlib
import csv
import dataclasses
import io
import itertools
import pathlib
import re
import sys

import numpy as np
import pytest
from numba import njit
from numba.core import event
from numpy.testing import assert_allclose, assert_array_equal

import minicnn as mc
from minicnn import layers as L
from minicnn.errors import ConfigError, NonFiniteError, OutputError
from minicnn.train import (
    Callback,
    Checkpoint,
    CSVLog,
    EarlyStopping,
    LearningRateSchedule,
    WeightEMA,
)
from minicnn.train.callbacks import ProgressBar
from tests.train.toys import Spy, assert_same_arrays, copies, data, trainer


def fit(runner, train=None, **arguments):
    defaults = {"epochs": 1, "batch_size": 8, "progress": False}
    return runner.fit(train or data(), **{**defaults, **arguments})


def trainer_of(path):
    """Return a trainer of the model in a file."""
    return mc.Trainer(mc.load(path), mc.optimizers.SGD(0.5))


class Recorder(Callback):
    """Records every call in a list, which several may share."""

    def __init__(self, calls, name=""):
        self.calls, self.name = calls, name

    def on_fit_begin(self, trainer):
        self.calls.append(f"{self.name}begin")

    def on_step_begin(self, trainer):
        self.calls.append(f"{self.name}step {trainer.step}")

    def on_step_end(self, trainer, images, loss, accuracy):
        self.calls.append(f"{self.name}did {images}")

    def on_epoch_trained(self, trainer):
        self.calls.append(f"{self.name}trained {trainer.epoch}")

    def on_epoch_end(self, trainer, row):
        self.calls.append(f"{self.name}epoch {row['epoch']}")

    def on_fit_end(self, trainer):
        self.calls.append(f"{self.name}end")


class Scripted:
    """Sets columns of the history to given numbers, one for each epoch."""

    def __init__(self, runner, **columns):
        self.columns = columns
        self.take_steps = runner._take_steps
        runner._take_steps = self
        self.runner, self.weights = runner, []

    def __call__(self, *arguments):
        row = self.take_steps(*arguments)
        self.weights.append(copies(self.runner.model))
        return row | {name: values[row["epoch"] - 1] for name, values in self.columns.items()}


class TestOrder:
    def test_all_methods_are_called_in_order(self):
        calls = []
        fit(trainer(), data(10), epochs=2, batch_size=6, callbacks=[Recorder(calls)])
        first = ["step 0", "did 6", "step 1", "did 4", "trained 1", "epoch 1"]
        second = ["step 2", "did 6", "step 3", "did 4", "trained 2", "epoch 2"]
        assert calls == ["begin", *first, *second, "end"]

    def test_callbacks_are_called_in_order_and_ended_in_reverse_order(self):
        calls = []
        fit(trainer(), data(4), callbacks=[Recorder(calls, "a "), Recorder(calls, "b ")])
        moments = ("begin", "step 0", "did 4", "trained 1", "epoch 1")
        assert calls == [*(f"{name} {moment}" for moment in moments for name in "ab"), "b end", "a end"]

    def test_all_are_ended_even_if_one_raises(self):
        class Fail(Callback):
            def on_fit_end(self, trainer):
                raise RuntimeError("stop")

        calls = []
        with pytest.raises(RuntimeError, match="stop"):
            fit(trainer(), callbacks=[Recorder(calls, "a "), Fail(), Recorder(calls, "b ")])
        assert calls[-2:] == ["b end", "a end"]

    def test_class_names_are_set_after_on_fit_begin(self):
        class Refuse(Callback):
            def on_fit_begin(self, trainer):
                raise ConfigError("no")

        runner = trainer()
        with pytest.raises(ConfigError, match="no"):
            fit(runner, callbacks=[Refuse()])
        assert runner.model.class_names is None

    def test_a_step_gets_the_means_of_the_epoch_so_far(self):
        told = []

        class Means(Callback):
            def on_step_end(self, trainer, images, loss, accuracy):
                told.append((loss, accuracy))

        runner = trainer()
        Spy(runner, answers=[mc.engine.layerwise.StepResult(1.0, 2), mc.engine.layerwise.StepResult(4.0, 0)])
        fit(runner, data(3), batch_size=2, callbacks=[Means()])
        assert told == [(1.0, 1.0), (2.0, 2 / 3)]

    def test_the_history_has_the_row_and_the_validation_when_the_epoch_ends(self):
        class Check(Callback):
            def on_epoch_end(self, trainer, row):
                assert trainer.history.rows[-1] is row
                assert row["val_loss"] > 0

        fit(trainer(), validation=0.25, callbacks=[Check()])

    def test_stop_ends_training_after_the_epoch(self):
        class Stop(Callback):
            def on_step_end(self, trainer, images, loss, accuracy):
                trainer.stop = True

        runner = trainer()
        spy = Spy(runner)
        assert len(fit(runner, epochs=5, callbacks=[Stop()])) == 1
        assert len(spy.batches) == 3
        assert len(fit(runner, epochs=2)) == 2  # the next fit starts again

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_fit_end_is_called_after_an_error_too(self, error):
        class Fail(Callback):
            def on_step_end(self, trainer, images, loss, accuracy):
                raise error("stop")

        calls = []
        with pytest.raises(error, match="stop"):
            fit(trainer(), callbacks=[Recorder(calls), Fail()])
        assert calls == ["begin", "step 0", "did 8", "end"]

    def test_fit_end_is_called_after_a_loss_of_nan(self):
        calls, runner = [], trainer()
        runner.model.layers[0].params["W"][...] = np.nan
        with pytest.raises(NonFiniteError):
            fit(runner, callbacks=[Recorder(calls)])
        assert calls[-1] == "end"

    def test_only_those_that_began_are_ended(self):
        class Refuse(Callback):
            def on_fit_begin(self, trainer):
                raise ConfigError("no")

        calls = []
        with pytest.raises(ConfigError, match="no"):
            fit(trainer(), callbacks=[Recorder(calls, "a "), Refuse(), Recorder(calls, "b ")])
        assert calls == ["a begin", "a end"]


class TestLearningRateSchedule:
    def test_the_rate_is_set_before_each_step_from_step_and_total(self):
        rates, asked = [], []

        def schedule(step, total):
            asked.append((step, total))
            return 0.1 / (step + 1)

        class Rates(Callback):
            def on_step_end(self, trainer, images, loss, accuracy):
                rates.append(trainer.optimizer.learning_rate)

        history = fit(trainer(), data(20), epochs=2, callbacks=[LearningRateSchedule(schedule), Rates()])
        assert asked == [(step, 6) for step in range(6)]
        assert rates == [0.1 / (step + 1) for step in range(6)]
        assert history["learning_rate"] == [rates[2], rates[5]]

    def test_the_step_uses_the_rate(self):
        scheduled, fixed = trainer(learning_rate=0.7), trainer(learning_rate=0.1)
        fit(scheduled, callbacks=[LearningRateSchedule(mc.schedules.Constant(0.1))])
        fit(fixed)
        assert_same_arrays(scheduled.model, copies(fixed.model))

    @pytest.mark.parametrize("error", [None, RuntimeError])
    def test_afterwards_the_learning_rate_is_restored(self, error):
        class Fail(Callback):
            def on_step_end(self, trainer, images, loss, accuracy):
                if error:
                    raise error("stop")

        runner, schedule = trainer(learning_rate=0.7), LearningRateSchedule(mc.schedules.Cosine(0.1))
        for before in (0.7, 0.3):
            runner.optimizer.learning_rate = before
            with pytest.raises(error) if error else contextlib.nullcontext():
                fit(runner, callbacks=[schedule, Fail()])
            assert runner.optimizer.learning_rate == before

    @pytest.mark.parametrize("schedule", [0.1, None, "cosine"])
    def test_other_than_a_schedule_is_rejected(self, schedule):
        with pytest.raises(ConfigError, match="expected a schedule"):
            LearningRateSchedule(schedule)


class TestEarlyStopping:
    def stopped(self, values, column="loss", **arguments):
        """Return the number of epochs, and the trainer's script."""
        runner = trainer()
        script = Scripted(runner, **{column: values})
        history = fit(runner, epochs=len(values), callbacks=[EarlyStopping(column, **arguments)])
        return len(history), script

    @pytest.mark.parametrize(
        ("values", "patience", "epochs"),
        [
            ([5, 4, 3, 2], 1, 4),
            ([5, 5, 4, 3], 1, 2),
            ([5, 6, 4, 7, 3], 2, 5),
            ([5, 6, 7, 1], 2, 3),
            ([5, 4, 6, 6, 6, 1], 3, 5),
        ],
    )
    def test_patience_counts_the_epochs_since_the_best(self, values, patience, epochs):
        assert self.stopped(values, patience=patience)[0] == epochs

    def test_accuracy_is_better_when_higher(self):
        assert self.stopped([0.1, 0.2, 0.3, 0.2], "accuracy", patience=1)[0] == 4
        assert self.stopped([0.3, 0.2, 0.4, 0.5], "accuracy", patience=1)[0] == 2

    def test_min_delta_is_the_least_improvement(self):
        values = [5.0, 4.5, 4.0, 3.5]
        assert self.stopped(values, patience=1, min_delta=0.4)[0] == 4
        assert self.stopped(values, patience=1, min_delta=0.5)[0] == 2
        # Small gains add up: 4.0 is better than the last best, 5.0, by 1.0.
        assert self.stopped(values, patience=2, min_delta=0.9)[0] == 4

    @pytest.mark.parametrize("epochs", [[5, 3, 4, 6], [5, 3, 4]])
    def test_the_best_weights_are_restored(self, epochs):
        ended, script = self.stopped(epochs, patience=2)
        assert ended >= 3
        assert_same_arrays(script.runner.model, script.weights[1])

    def test_without_restore_best_the_last_weights_stay(self):
        _, script = self.stopped([5, 3, 4, 6], patience=2, restore_best=False)
        assert_same_arrays(script.runner.model, script.weights[-1])

    def test_the_best_weights_are_restored_after_an_error(self):
        class Fail(Callback):
            def on_epoch_end(self, trainer, row):
                if row["epoch"] == 3:
                    raise RuntimeError("stop")

        runner = trainer()
        script = Scripted(runner, loss=[5, 3, 4])
        with pytest.raises(RuntimeError, match="stop"):
            fit(runner, epochs=3, callbacks=[EarlyStopping("loss"), Fail()])
        assert_same_arrays(runner.model, script.weights[1])

    def test_it_can_be_used_again(self):
        callback, runner = EarlyStopping("loss", patience=1), trainer()
        Scripted(runner, loss=[1, 2])
        fit(runner, epochs=2, callbacks=[callback])
        other = trainer(seed=1)
        script = Scripted(other, loss=[9, 8, 7])
        assert len(fit(other, epochs=3, callbacks=[callback])) == 3
        assert_same_arrays(other.model, script.weights[-1])

    def test_after_an_error_no_weights_of_an_earlier_fit_are_restored(self):
        callback, runner = EarlyStopping("loss"), trainer()
        fit(runner, callbacks=[callback])
        other = trainer(seed=1)
        other.model.layers[0].params["b"][...] = np.nan
        before = copies(other.model)
        with pytest.raises(NonFiniteError):
            fit(other, callbacks=[callback])
        assert_same_arrays(other.model, before)

    @pytest.mark.parametrize("arguments", [{"patience": 0}, {"patience": 1.5}, {"min_delta": -1}])
    def test_arguments_out_of_range_are_rejected(self, arguments):
        with pytest.raises(ConfigError, match=next(iter(arguments))):
            EarlyStopping(**arguments)


class TestCheckpoint:
    def test_each_new_best_is_saved_and_nothing_else(self, tmp_path):
        path, saved = tmp_path / "best.safetensors", []

        class Look(Callback):
            def on_epoch_end(self, trainer, row):
                saved.append(path.stat().st_ino)  # a replaced file is another file

        runner = trainer()
        script = Scripted(runner, accuracy=[0.5, 0.4, 0.7, 0.7])
        checkpoint = Checkpoint(path, "accuracy")
        assert checkpoint.epoch is None
        fit(runner, epochs=4, callbacks=[checkpoint, Look()])
        assert checkpoint.epoch == 3
        assert [a == b for a, b in itertools.pairwise(saved)] == [True, False, True]
        assert_same_arrays(mc.load(path), script.weights[2])
        assert mc.load(path).class_names == ("a", "b", "c")

    @pytest.mark.parametrize("same", [True, False], ids=("the same callback", "one of another process"))
    @pytest.mark.parametrize("monitor", ["val_accuracy", "val_loss"])
    def test_a_better_file_is_never_replaced_by_a_worse_one(self, tmp_path, monitor, same):
        path, test = tmp_path / "best.safetensors", data(60, seed=1)
        checkpoint = Checkpoint(path, monitor)
        fit(trainer(), data(60), epochs=4, validation=test, callbacks=[checkpoint])
        reached, saved = trainer_of(path).evaluate(test), path.read_bytes()
        wrong = data(60)
        wrong = dataclasses.replace(wrong, labels=np.roll(wrong.labels, 1))
        again = checkpoint if same else Checkpoint(path, monitor)
        fit(trainer_of(path), wrong, epochs=1, validation=test, callbacks=[again])
        assert path.read_bytes() == saved
        assert again.epoch is None
        assert again.best == (reached.loss if monitor == "val_loss" else reached.accuracy)

    def test_a_worse_file_is_replaced_by_a_better_one(self, tmp_path):
        path, test = tmp_path / "best.safetensors", data(60, seed=1)
        trainer(seed=3).model.save(path)
        before = trainer_of(path).evaluate(test).loss
        checkpoint = Checkpoint(path, "val_loss")
        fit(trainer(), data(60), epochs=4, validation=test, callbacks=[checkpoint])
        assert checkpoint.epoch is not None
        assert trainer_of(path).evaluate(test).loss == checkpoint.best < before

    def test_the_file_is_evaluated_on_the_current_validation_set(self, tmp_path):
        """The file was perfect on the first set; on the second, with shifted labels, nothing is right."""
        path, other = tmp_path / "best.safetensors", data(60, seed=1)
        other = dataclasses.replace(other, labels=np.roll(other.labels, 1))
        fit(trainer(), data(60), epochs=6, validation=data(60, seed=1), callbacks=[Checkpoint(path)])
        checkpoint = Checkpoint(path)
        fit(trainer(), other, epochs=6, validation=other, callbacks=[checkpoint])
        assert checkpoint.epoch is not None
        assert trainer_of(path).evaluate(other).accuracy == checkpoint.best

    @pytest.mark.parametrize("written", [True, False], ids=("after the rename", "before it"))
    def test_interrupted_while_saving_it_knows_whose_model_was_saved(self, tmp_path, monkeypatch, written):
        path, before = tmp_path / "best.safetensors", trainer()
        before.model.save(path)
        rename = pathlib.Path.replace

        def interrupted(file, target):
            if written:
                rename(file, target)
            raise KeyboardInterrupt

        monkeypatch.setattr(pathlib.Path, "replace", interrupted)
        checkpoint = Checkpoint(path, "loss", overwrite=True)
        runner = trainer(seed=5)
        with pytest.raises(KeyboardInterrupt):
            fit(runner, epochs=3, callbacks=[checkpoint])
        assert checkpoint.epoch == (1 if written else None)
        assert_same_arrays(mc.load(path), copies((runner if written else before).model))

    def test_with_overwrite_the_file_is_replaced(self, tmp_path):
        path, test = tmp_path / "best.safetensors", data(60, seed=1)
        fit(trainer(), data(60), epochs=4, validation=test, callbacks=[Checkpoint(path, overwrite=True)])
        last = trainer(seed=5, learning_rate=1e-9)
        fit(last, data(60), validation=test, callbacks=[Checkpoint(path, overwrite=True)])
        assert_same_arrays(mc.load(path), copies(last.model))
        with pytest.raises(ConfigError, match="overwrite must be True or False"):
            Checkpoint(path, overwrite="yes")

    @pytest.mark.parametrize(
        ("write", "monitor", "message"),
        [
            (
                lambda path: trainer().model.save(path),
                "loss",
                "measured during training: watch val_loss",
            ),
            (lambda path: path.write_text("my notes"), "val_loss", "cannot be compared"),
            (lambda path: trainer(classes=4).model.save(path), "val_loss", "cannot be compared .* 4 outputs"),
        ],
        ids=("of the training", "no model", "of other classes"),
    )
    def test_a_file_that_cannot_be_compared_is_an_error_and_stays(self, tmp_path, write, monitor, message):
        path, runner = tmp_path / "best.safetensors", trainer()
        write(path)
        saved, spy = path.read_bytes(), Spy(runner)
        with pytest.raises(ConfigError, match=f"{message}.*choose another path, or pass overwrite=True"):
            fit(runner, validation=0.25, callbacks=[Checkpoint(path, monitor)])
        assert spy.batches == []
        assert path.read_bytes() == saved
        fit(runner, validation=0.25, callbacks=[Checkpoint(path, monitor, overwrite=True)])
        assert mc.load(path).class_names == ("a", "b", "c")

    def test_a_folder_that_cannot_be_written_is_rejected_before_any_step(self, tmp_path):
        (tmp_path / "file").write_text("")
        for callback in (
            Checkpoint(tmp_path / "file" / "model.safetensors", "loss"),
            CSVLog(tmp_path / "file" / "log.csv"),
        ):
            runner = trainer()
            spy = Spy(runner)
            with pytest.raises(OutputError, match="cannot write"):
                fit(runner, callbacks=[callback])
            assert spy.batches == []

    @pytest.mark.parametrize("make", [lambda path: Checkpoint(path, "loss"), CSVLog])
    def test_a_path_that_is_a_folder_is_rejected_before_any_step(self, make, tmp_path):
        runner = trainer()
        spy = Spy(runner)
        with pytest.raises(OutputError, match="there is a folder of that name"):
            fit(runner, callbacks=[make(tmp_path)])
        assert spy.batches == []

    def test_a_model_that_cannot_be_saved_is_rejected_before_any_step(self, tmp_path):
        class Mine(L.ReLU):
            pass

        runner = trainer(extra=[Mine()])
        spy = Spy(runner)
        with pytest.raises(ConfigError, match="could not be loaded again"):
            fit(runner, callbacks=[Checkpoint(tmp_path / "best.safetensors", "loss")])
        assert spy.batches == []


class Weights(Callback):
    """Record the model's arrays after each step and each epoch."""

    def __init__(self):
        self.steps, self.validated = [], []

    def on_step_end(self, trainer, images, loss, accuracy):
        self.steps.append(copies(trainer.model))

    def on_epoch_end(self, trainer, row):
        self.validated.append(copies(trainer.model))


class TestWeightEMA:
    def fit(self, decay=0.6, **arguments):
        trainer_, seen = trainer(extra=(L.BatchNorm(),)), Weights()
        start = copies(trainer_.model)
        average = WeightEMA(decay)
        trainer_.fit(data(), epochs=3, batch_size=8, callbacks=[average, seen], progress=False, **arguments)
        return trainer_, seen, start

    def test_it_is_the_running_average_by_the_formula(self):
        trained, seen, average = self.fit()
        for t, arrays in enumerate(seen.steps, start=1):
            d = min(0.6, (1 + t) / (10 + t))
            average = {name: d * average[name] + (1 - d) * arrays[name] for name in average}
        for name, array in trained.model.arrays().items():
            assert_allclose(array, average[name], rtol=1e-5, atol=1e-6)
        assert "batchnorm_1.running_mean" in average

    def test_training_continues_from_the_weights_themselves(self):
        plain, without = trainer(extra=(L.BatchNorm(),)), Weights()
        plain.fit(data(), epochs=3, batch_size=8, callbacks=[without], progress=False)
        _, seen, _ = self.fit()
        for ours, theirs in zip(seen.steps, without.steps, strict=True):
            for name in ours:
                assert_array_equal(ours[name], theirs[name])

    def test_the_average_is_validated(self):
        trained, seen, _ = self.fit(validation=data(seed=1))
        assert trained.evaluate(data(seed=1)).loss == trained.history["val_loss"][-1]
        assert_same_arrays(trained.model, seen.validated[-1])
        assert any((seen.validated[0][name] != seen.steps[2][name]).any() for name in seen.steps[2])

    def test_interrupted_training_leaves_the_average(self):
        class Stop(Callback):
            def on_step_end(self, trainer, images, loss, accuracy):
                if trainer.step == 2:
                    raise KeyboardInterrupt

        seen, stopped = Weights(), trainer()
        average = WeightEMA(0.6)
        with pytest.raises(KeyboardInterrupt):
            stopped.fit(data(), epochs=3, batch_size=8, callbacks=[average, seen, Stop()], progress=False)
        arrays = copies(stopped.model)
        assert any((arrays[name] != seen.steps[-1][name]).any() for name in arrays)

    @pytest.mark.parametrize("moment", ["on_step_begin", "on_epoch_trained"])
    def test_interrupted_while_the_weights_are_exchanged_it_leaves_the_average(self, moment, monkeypatch):
        stopped, average = trainer(), WeightEMA(0.6)
        exchange, set_arrays = getattr(average, moment), stopped.model.set_arrays

        def interrupt(arrays):
            set_arrays({name: array * 0 for name, array in arrays.items()})  # as if half of them were copied
            raise KeyboardInterrupt

        def interrupted(trainer):
            with monkeypatch.context() as patch:
                patch.setattr(stopped.model, "set_arrays", interrupt)
                exchange(trainer)

        monkeypatch.setattr(average, moment, interrupted)
        with pytest.raises(KeyboardInterrupt):
            stopped.fit(data(), epochs=3, batch_size=8, callbacks=[average], progress=False)
        assert_same_arrays(stopped.model, average._average)

    def test_a_decay_of_one_is_rejected(self):
        with pytest.raises(ConfigError, match="decay"):
            WeightEMA(1)


class TestMonitors:
    @pytest.mark.parametrize(
        "make", [EarlyStopping, lambda monitor: Checkpoint("model.safetensors", monitor)]
    )
    @pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
    def test_without_validation_there_is_nothing_to_watch(self, make, monitor):
        runner = trainer()
        spy = Spy(runner)
        with pytest.raises(ConfigError, match=rf"watches {monitor}, but fit has no validation"):
            fit(runner, callbacks=[make(monitor)])
        assert spy.batches == []

    @pytest.mark.parametrize("monitor", ["val_acc", "", None, "epoch"])
    def test_an_unknown_monitor_is_rejected_with_the_known_ones(self, monitor):
        for make in (EarlyStopping, lambda monitor: Checkpoint("model.safetensors", monitor)):
            with pytest.raises(ConfigError, match="expected one of accuracy, loss, val_accuracy, val_loss"):
                make(monitor)

    def test_validation_is_watched_by_default(self, tmp_path):
        path = tmp_path / "model.safetensors"
        fit(trainer(), epochs=2, validation=0.25, callbacks=[EarlyStopping(), Checkpoint(path)])
        assert path.exists()


def test_csv_log_has_all_rows_after_each_epoch(tmp_path):
    lines = []

    class Look(Callback):
        def on_epoch_end(self, trainer, row):
            lines.append(len((tmp_path / "log.csv").read_text().splitlines()))

    runner = trainer()
    fit(runner, epochs=3, callbacks=[CSVLog(tmp_path / "log.csv"), Look()])
    assert lines == [2, 3, 4]
    runner.history.to_csv(tmp_path / "history.csv")
    assert (tmp_path / "log.csv").read_text() == (tmp_path / "history.csv").read_text()


def test_a_column_added_by_a_callback_is_logged(tmp_path):
    class Mine(Callback):
        def on_epoch_end(self, trainer, row):
            row["mine"] = row["epoch"] * 1.5

    history = fit(trainer(), epochs=2, callbacks=[Mine(), CSVLog(tmp_path / "log.csv")])
    assert history["mine"] == [1.5, 3.0]
    with (tmp_path / "log.csv").open(newline="", encoding="utf-8") as file:
        assert [row["mine"] for row in csv.DictReader(file)] == ["1.5", "3.0"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TestProgress:
    def test_on_a_terminal_the_bar_goes_to_stderr(self, monkeypatch, capsys):
        screen = Terminal()
        monkeypatch.setattr(sys, "stderr", screen)
        fit(trainer(), epochs=2, progress=True)
        bar = screen.getvalue()
        assert "epoch 2/2" in bar
        last = bar.rstrip().rpartition("\r")[2]
        assert re.search(r"100%\|.*\| 48\.0/48\.0 \[\d\d:\d\d<00:00, [\d.]+k? images/s, ", last)
        assert re.search(r", loss \d\.\d{4}, accuracy \d+\.\d\d%\]$", last)
        assert "%|" not in capsys.readouterr().out

    def test_the_bar_shows_when_a_kernel_is_compiled(self, monkeypatch):
        def screens(compiles):
            class Compile(Callback):
                def on_epoch_trained(self, trainer):
                    if compiles:
                        shown.append(screen.getvalue())
                        njit(lambda x: x + 1)(1)  # not cached

            screen, shown = Terminal(), []
            monkeypatch.setattr(sys, "stderr", screen)
            fit(runner, epochs=1, progress=True, callbacks=[Compile()])
            return [*shown, screen.getvalue()]

        runner = trainer()
        fit(runner)  # compiles the kernels
        assert all("compiling" not in text for text in screens(False))
        before, after = screens(True)
        assert "compiling" not in before
        assert "\rcompiling kernels: 100%" in after
        assert after.rindex("epoch 1/1: 100%") > after.rindex("compiling kernels")
        assert not event._registered["numba:compile"]  # no listener is left

    def test_without_a_terminal_there_is_a_line_for_each_epoch(self, capsys):
        history = fit(trainer(), epochs=2, progress=True, validation=0.25)
        captured = capsys.readouterr()
        assert captured.out == ""
        lines = captured.err.splitlines()
        assert [line.partition(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
        row = history.rows[1]
        assert f"loss {row['loss']:.4f}, accuracy {row['accuracy']:.2%}" in lines[1]
        assert f"validation loss {row['val_loss']:.4f}, accuracy {row['val_accuracy']:.2%}" in lines[1]
        assert "images/s" in lines[1]

    def test_progress_false_is_silent(self, monkeypatch, capsys):
        screen = Terminal()
        monkeypatch.setattr(sys, "stderr", screen)
        fit(trainer(), epochs=2, progress=False, validation=0.25)
        assert screen.getvalue() == ""
        assert capsys.readouterr().out == ""

    def test_the_bar_is_closed_after_an_error(self, monkeypatch):
        screen, bar = Terminal(), ProgressBar()
        monkeypatch.setattr(sys, "stderr", screen)
        runner = trainer()
        runner.model.layers[0].params["W"][...] = np.nan
        with pytest.raises(NonFiniteError):
            fit(runner, callbacks=[bar])
        assert screen.getvalue().endswith("\n")
