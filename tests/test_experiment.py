"""`train_recipe`: from a recipe to a folder; the test set is used once, and an interrupt loses nothing."""

import os
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import minicnn as mc
from minicnn import experiment, report
from minicnn import layers as L
from minicnn.data import Augmentation, Dataset, DatasetSpec
from minicnn.errors import ConfigError, DataError, OutputError, ShapeError
from minicnn.runtime.threads import num_threads
from minicnn.train import Callback
from minicnn.zoo import Recipe

SPEC = DatasetSpec("synthetic", images=40)
COMMAND = "minicnn train tiny"


def network(classes):
    return [L.Conv2D(2, 3), L.ReLU(), L.MaxPool2D(2), L.Flatten(), L.Dense(classes)]


TINY = Recipe(
    "tiny", "a small one for tests", "synthetic", network, epochs=2, learning_rate=0.1, batch_size=8
)
FLIPPED = replace(TINY, augmentation=Augmentation(flip=True))


def data(n, seed, name):
    images = np.random.default_rng(seed).integers(0, 256, (n, 8, 7, 1), np.uint8)
    return Dataset(images, np.arange(n) % 3, ("ant", "bee", "cat"), name)


TRAIN, TEST = data(40, 0, "trainset"), data(9, 1, "testset")


def run(recipe, out, test=TEST, **options):
    return experiment.train_recipe(recipe, TRAIN, test, SPEC, COMMAND, out, **options)


@pytest.fixture
def plain(monkeypatch):
    """Leave out the figures, which take most of the time."""
    monkeypatch.setattr(report, "page_of", lambda run, train, test: report.Page("plain"))


@pytest.fixture
def tests(monkeypatch):
    """Return a list to which each evaluation on the test set adds its flip_tta."""
    evaluate, found = mc.Trainer.evaluate, []

    def noted(trainer, data, *args, flip_tta=False, **options):
        if np.isin(TEST.images, data.images).all() and len(data) == len(TEST):
            found.append(flip_tta)
        return evaluate(trainer, data, *args, flip_tta=flip_tta, **options)

    monkeypatch.setattr(mc.Trainer, "evaluate", noted)
    return found


class Breaker(Callback):
    """Interrupts training in an epoch, as Ctrl-C does; records the model's predictions after each one.

    ``accuracies`` replace those measured, so that the best epoch is known.
    """

    def __init__(self, epoch, accuracies):
        self.epoch, self.accuracies = epoch, accuracies
        self.models = []

    def on_step_begin(self, trainer):
        if trainer.epoch == self.epoch:
            raise KeyboardInterrupt

    def on_epoch_end(self, trainer, row):
        row["val_accuracy"] = self.accuracies[trainer.epoch - 1]
        self.models.append(trainer.model.predict_proba(TEST.images))


@pytest.fixture
def interrupted(monkeypatch, tmp_path, capsys):
    """Return a function that interrupts a run, and returns the breaker and the messages on stderr."""

    def interrupt(epoch, accuracies=(0.5, 0.9, 0.7)):
        breaker = Breaker(epoch, accuracies)
        monkeypatch.setattr(Recipe, "callbacks", lambda recipe: [breaker])
        with pytest.raises(KeyboardInterrupt):
            run(replace(TINY, epochs=5), tmp_path)
        return breaker, capsys.readouterr().err

    return interrupt


class TestWhole:
    def test_a_run_writes_everything_and_reports_what_it_does(self, tmp_path, capsys, tests):
        done = run(FLIPPED, tmp_path / "new" / "run", seed=3)
        folder = tmp_path / "new" / "run"
        assert tests == [False, True]
        assert done.folder == folder

        names = set(os.listdir(folder))
        assert names >= {"model.safetensors", "metrics.json", "history.csv", "predictions.npz", "report.html"}
        assert names >= {"network.png", "learning_curves.png", "confusion_matrix.png", "grad_cam.png"}
        assert not any("checkpoint" in name for name in names)

        read = report.read_run(folder)
        settings = {"recipe": "tiny", "learning_rate": 0.1, "seed": 3, "command": COMMAND}
        assert {name: read.metrics[name] for name in settings} == settings
        assert DatasetSpec(**read.metrics["data"]) == SPEC
        assert read.history["epoch"] == [1, 2]
        assert_array_equal(read.model.predict(TEST.images), done.evaluation.predicted)
        assert read.model.info["recipe"] == "tiny"

        output = capsys.readouterr()
        assert output.out == ""
        for text in ("tiny: a small one for tests", "trainset: 40 training and 9 test images", "conv2d_1"):
            assert text in output.err
        assert f"device cpu, fused engine, {num_threads()} threads, fp32, seed 3\n" in output.err

    def test_the_mirrored_accuracy_is_that_with_flip_tta(self, plain, tmp_path):
        metrics = run(FLIPPED, tmp_path).metrics
        model = mc.load(tmp_path / "model.safetensors")
        logits = [model.logits(images).astype(float) for images in (TEST.images, TEST.images[:, :, ::-1])]
        assert metrics["mirrored_accuracy"] == (sum(logits).argmax(axis=1) == TEST.labels).mean()


@pytest.mark.usefixtures("plain")
class TestTestSet:
    @pytest.mark.parametrize("augmentation", [None, Augmentation(shift=1)], ids=("plain", "shifted"))
    def test_it_is_used_once_if_the_recipe_does_not_flip(self, tmp_path, tests, augmentation):
        done = run(replace(TINY, augmentation=augmentation), tmp_path)
        assert tests == [False]
        assert "mirrored_accuracy" not in done.metrics


@pytest.mark.usefixtures("plain")
class TestTraining:
    def test_a_share_is_held_out(self, tmp_path):
        done = run(TINY, tmp_path)
        images = [row["seconds"] * row["images_per_second"] for row in done.history]
        np.testing.assert_allclose(images, 38)
        assert "val_accuracy" in done.history
        assert done.metrics["images"] == {"training": 38, "validation": 2, "test": 9}
        assert done.metrics["held_out"] == 0.05

    def test_the_held_out_images_are_those_of_the_trainer(self, tmp_path):
        trainer = FLIPPED.trainer(TRAIN, seed=4)
        trainer.fit(TRAIN, validation=0.05, seed=4, progress=False, **FLIPPED.fit_options())
        done = run(FLIPPED, tmp_path, seed=4)
        for name, array in trainer.model.arrays().items():
            assert_array_equal(done.model.arrays()[name], array)
        assert done.history["val_loss"] == trainer.history["val_loss"]
        assert done.model.preprocessing == trainer.model.preprocessing

    def test_the_seed_determines_the_result(self, tmp_path):
        first, again, other = (
            run(TINY, tmp_path / str(i), seed=seed).evaluation.probabilities
            for i, seed in enumerate((1, 1, 2))
        )
        assert_array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_the_recipe_is_followed(self, tmp_path, monkeypatch):
        fit, seen = mc.Trainer.fit, {}

        def noted(trainer, train, **options):
            seen.update(options, untrained=trainer.model.logits(TEST.images))
            seen.update(optimizer=trainer.optimizer, kinds=[*map(type, options["callbacks"])])
            return fit(trainer, train, **options)

        monkeypatch.setattr(mc.Trainer, "fit", noted)
        recipe = replace(FLIPPED, epochs=1, ema_decay=0.9, schedule=mc.schedules.Cosine, momentum=0.5)
        run(recipe, tmp_path, seed=4)
        assert (seen["epochs"], seen["batch_size"], seen["seed"]) == (1, 8, 4)
        assert_array_equal(seen["untrained"], recipe.model(TRAIN, seed=4).logits(TEST.images))
        assert seen["augmentation"] == recipe.augmentation
        assert seen["optimizer"].momentum == 0.5
        names = [kind.__name__ for kind in seen["kinds"]]
        assert names == ["LearningRateSchedule", "WeightEMA", "Checkpoint"]


class TestInterrupted:
    def test_the_best_model_so_far_is_saved_and_reported(self, interrupted, tmp_path):
        breaker, messages = interrupted(epoch=4)
        checkpoint = tmp_path / "checkpoint.safetensors"
        assert f"the best model so far, of epoch 2, is in {checkpoint}\n" in messages
        assert os.listdir(tmp_path) == ["checkpoint.safetensors"]
        assert len(breaker.models) == 3
        assert_array_equal(mc.load(checkpoint).predict_proba(TEST.images), breaker.models[1])

    def test_of_equally_good_epochs_the_first_is_saved(self, interrupted, tmp_path):
        breaker, messages = interrupted(epoch=4, accuracies=(0.5, 0.7, 0.7))
        assert "of epoch 2," in messages
        found = mc.load(tmp_path / "checkpoint.safetensors").predict_proba(TEST.images)
        assert_array_equal(found, breaker.models[1])

    def test_in_the_second_epoch_there_is_the_first(self, interrupted, tmp_path):
        _, messages = interrupted(epoch=2)
        assert "of epoch 1," in messages
        assert mc.load(tmp_path / "checkpoint.safetensors").class_names == TRAIN.class_names

    def test_in_the_first_epoch_there_is_nothing_to_save(self, interrupted, tmp_path):
        _, messages = interrupted(epoch=1)
        assert "best model" not in messages
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("epochs", [1, 3])
    def test_a_model_that_could_not_be_saved_is_not_reported(self, monkeypatch, tmp_path, capsys, epochs):
        def save(model, path):
            raise OutputError("no space left")

        (tmp_path / "checkpoint.safetensors").write_text("of an earlier run")
        report.check_run(tmp_path, force=True)
        monkeypatch.setattr(mc.Sequential, "save", save)
        with pytest.raises(OutputError, match="no space left"):
            run(replace(TINY, epochs=epochs), tmp_path)
        messages = capsys.readouterr().err
        assert "best model" not in messages
        assert "finished model" not in messages

    def test_interrupted_while_drawing_it_reports_the_finished_model(self, monkeypatch, tmp_path, capsys):
        def page_of(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(report, "page_of", page_of)
        with pytest.raises(KeyboardInterrupt):
            run(TINY, tmp_path)
        messages = capsys.readouterr().err
        assert f"the finished model is in {tmp_path / 'model.safetensors'}\n" in messages
        assert "best model" not in messages
        assert mc.load(tmp_path / "model.safetensors").class_names == TRAIN.class_names

    def test_an_earlier_run_in_the_folder_stays(self, interrupted, tmp_path):
        (tmp_path / "metrics.json").write_text("old")
        (tmp_path / "report.html").write_text("old")
        report.check_run(tmp_path, force=True)
        interrupted(epoch=3)
        assert (tmp_path / "metrics.json").read_text() == "old"
        assert (tmp_path / "report.html").read_text() == "old"


@pytest.mark.usefixtures("plain")
def test_the_checkpoint_of_a_replaced_run_is_removed(tmp_path):
    (tmp_path / "checkpoint.safetensors").write_text("old")
    report.check_run(tmp_path, force=True)
    run(TINY, tmp_path)
    assert set(os.listdir(tmp_path)) == {
        *("model.safetensors", "metrics.json", "history.csv", "predictions.npz", "report.html"),
    }


class TestRejected:
    @pytest.fixture(autouse=True)
    def _no_work(self, monkeypatch):
        def work(*_, **__):
            raise AssertionError("it trains")

        monkeypatch.setattr(mc.Trainer, "_take_steps", work)

    @pytest.mark.parametrize("name", ["metrics.json", "checkpoint.safetensors"])
    def test_a_folder_that_holds_a_run(self, tmp_path, name):
        (tmp_path / name).write_text("old")
        with pytest.raises(OutputError, match=f"holds a run already, with {name}: name another folder"):
            run(TINY, tmp_path)
        assert os.listdir(tmp_path) == [name]

    def test_an_error_leaves_no_folder(self, tmp_path):
        with pytest.raises(ShapeError):
            run(TINY, tmp_path / "new", replace(TEST, images=TEST.images[:, 1:]))
        assert os.listdir(tmp_path) == []

    def test_a_folder_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="cannot write"):
            run(TINY, tmp_path / "file")

    @pytest.mark.parametrize("name", ["report.html", "model.safetensors", "checkpoint.safetensors"])
    def test_a_folder_in_the_place_of_a_file(self, tmp_path, name):
        (tmp_path / name).mkdir()
        with pytest.raises(OutputError, match=f"{name}: there is a folder of that name"):
            run(TINY, tmp_path)

    def test_a_test_set_of_another_size_or_with_other_classes(self, tmp_path):
        smaller = Dataset(TEST.images[:, 1:], TEST.labels, TEST.class_names, "smaller")
        fewer = Dataset(TEST.images, TEST.labels * 0, ("one",), "fewer")
        with pytest.raises(ShapeError, match="the test set, smaller: expected images of shape"):
            run(TINY, tmp_path, test=smaller)
        with pytest.raises(
            DataError, match="the test set, fewer: fewer has the classes one; expected ant, bee, cat"
        ):
            run(TINY, tmp_path, test=fewer)

    def test_an_invalid_seed(self, tmp_path):
        with pytest.raises(ConfigError, match="seed"):
            run(TINY, tmp_path, seed=-1)
        assert os.listdir(tmp_path) == []
