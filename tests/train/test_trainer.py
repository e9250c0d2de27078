"""`Trainer`: what an epoch visits, how means are computed, validation, and errors before training."""

import copy
import math
import os
import pickle
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import minicnn as mc
from minicnn import layers as L
from minicnn.engine.layerwise import StepResult
from minicnn.errors import ConfigError, DataError, DTypeError, MiniCNNError, NonFiniteError, ShapeError
from tests.train.toys import SHAPE, Spy, assert_same_arrays, copies, data, keys, model, trainer


def fit(runner, train, **arguments):
    return runner.fit(train, **{"epochs": 1, "batch_size": 8, "progress": False, **arguments})


class TestEpochs:
    @settings(max_examples=15)
    @given(n=st.integers(3, 20), batch_size=st.integers(1, 25), seed=st.integers(0, 5))
    def test_each_epoch_visits_each_image_once_with_its_label(self, n, batch_size, seed):
        train, runner = data(n), trainer()
        spy = Spy(runner, answers=[StepResult(1.0, 0)] * 100)
        fit(runner, train, epochs=2, batch_size=batch_size, seed=seed)
        label_of = dict(zip(keys(train.images), train.labels, strict=True))
        steps = math.ceil(n / batch_size)
        assert len(spy.batches) == 2 * steps == runner.total_steps
        for epoch in (spy.batches[:steps], spy.batches[steps:]):
            seen = [key for images, _ in epoch for key in keys(images)]
            assert sorted(seen) == sorted(label_of)
            assert [label_of[key] for key in seen] == [k for _, labels in epoch for k in labels]

    def test_each_epoch_has_a_new_order(self):
        train, runner = data(), trainer()
        spy = Spy(runner)
        fit(runner, train, epochs=2, batch_size=24)
        first, second = (keys(images) for images, _ in spy.batches)
        assert first != keys(train.images)
        assert first != second

    def test_the_last_batch_is_smaller_and_means_are_weighted(self):
        runner = trainer()
        spy = Spy(runner, answers=[StepResult(1.0, 2), StepResult(2.0, 1), StepResult(6.0, 0)])
        history = fit(runner, data(5), batch_size=2)
        assert spy.sizes == [2, 2, 1]
        assert history["loss"] == [(2 * 1.0 + 2 * 2.0 + 1 * 6.0) / 5]
        assert history["accuracy"] == [3 / 5]

    def test_the_numbers_of_an_epoch_belong_to_that_epoch(self):
        runner = trainer()
        Spy(runner, answers=[StepResult(4.0, 0), StepResult(2.0, 3), StepResult(1.0, 3), StepResult(1.0, 3)])
        history = fit(runner, data(6), epochs=2, batch_size=3)
        assert history["epoch"] == [1, 2]
        assert history["loss"] == [3.0, 1.0]
        assert history["accuracy"] == [0.5, 1.0]
        assert len(history) == 2

    def test_the_history_holds_the_columns_and_the_data_sets_name(self):
        runner = trainer(learning_rate=0.25)
        history = fit(runner, data(name="shirts"), epochs=2)
        assert history is runner.history
        assert history.dataset == "shirts"
        assert history.columns() == [
            "epoch",
            "loss",
            "accuracy",
            "learning_rate",
            "seconds",
            "images_per_second",
        ]
        assert history["learning_rate"] == [0.25, 0.25]
        assert_allclose(np.multiply(history["seconds"], history["images_per_second"]), 24, rtol=1e-9)

    def test_a_second_fit_starts_a_new_history_and_continues_training(self):
        runner = trainer()
        first = fit(runner, data(), epochs=3)
        second = fit(runner, data(), epochs=2)
        assert (len(first), len(second)) == (3, 2)
        assert second["epoch"] == [1, 2]
        assert second["loss"][-1] < first["loss"][0]

    def test_training_learns(self):
        runner = trainer()
        history = fit(runner, data(90), epochs=15, batch_size=10)
        assert history["loss"][-1] < 0.5 * history["loss"][0]
        assert runner.evaluate(data(60, seed=1)).accuracy >= 0.95

    def test_training_learns_the_synthetic_garments(self):
        train, test = mc.data.load("synthetic", sizes=(6000, 1000))
        layers = [L.Conv2D(8, 3, padding="same"), L.ReLU(), L.MaxPool2D(2)]
        layers += [L.Conv2D(16, 3, padding="same"), L.ReLU(), L.MaxPool2D(2)]
        layers += [L.Flatten(), L.Dense(64), L.ReLU(), L.Dense(10)]
        runner = mc.Trainer(mc.Sequential(layers, (28, 28, 1)), mc.optimizers.Adam())
        schedule = mc.train.LearningRateSchedule(mc.schedules.OneCycle(0.01))
        fit(runner, train, epochs=3, batch_size=50, callbacks=[schedule])
        assert runner.evaluate(test).accuracy >= 0.95

    def test_the_model_records_the_first_data_set(self):
        runner = trainer()
        for name in ("first", "second"):
            images = data()
            runner.fit(mc.data.Dataset(images.images, images.labels, images.class_names, name), epochs=1)
        assert runner.model.info == {"dataset": "first"}

    def test_the_model_takes_the_class_names_of_the_data_unless_it_has_some(self):
        runner = trainer()
        fit(runner, data())
        assert runner.model.class_names == ("a", "b", "c")
        named = trainer()
        named.model.set_class_names(["x", "y", "z"])
        fit(named, mc.data.Dataset(data().images, data().labels))
        assert named.model.class_names == ("x", "y", "z")


class TestReproducibility:
    def arrays(self, seed=0, fit_seed=0):
        runner = trainer(seed, extra=[L.BatchNorm(), L.Dropout(0.3)])
        history = fit(runner, data(), epochs=2, batch_size=7, seed=fit_seed, validation=0.25)
        return copies(runner.model), history["val_loss"]

    def test_the_same_seeds_give_the_same_weights_bit_for_bit(self):
        (first, losses), (again, again_losses) = self.arrays(), self.arrays()
        assert {name: array.tobytes() for name, array in first.items()} == {
            name: array.tobytes() for name, array in again.items()
        }
        assert losses == again_losses

    @pytest.mark.parametrize("seeds", [(1, 0), (0, 1)], ids=["model", "order"])
    def test_another_seed_gives_other_weights(self, seeds):
        first, other = self.arrays()[0], self.arrays(*seeds)[0]
        assert not np.array_equal(first["dense_1.W"], other["dense_1.W"])

    def test_two_processes_end_with_the_same_weights_bit_for_bit(self):
        code = (
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            "import hashlib, toys\n"
            "from minicnn import layers as L\n"
            "runner = toys.trainer(extra=[L.BatchNorm(), L.Dropout(0.3)])\n"
            "runner.fit(toys.data(), epochs=2, batch_size=7, validation=0.25, progress=False)\n"
            "for name, array in runner.model.arrays().items():\n"
            "    print(name, hashlib.sha256(array.tobytes()).hexdigest())"
        )
        first, second = (
            subprocess.run(
                [sys.executable, "-c", code],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "PYTHONHASHSEED": hash_seed},
            ).stdout
            for hash_seed in ("1", "2")
        )
        assert "dense_1.W" in first
        assert first == second

    def test_the_global_random_state_is_not_used(self):
        np.random.seed(0)  # noqa: NPY002
        expected = np.random.random()  # noqa: NPY002
        np.random.seed(0)  # noqa: NPY002
        self.arrays()
        assert np.random.random() == expected  # noqa: NPY002


class TestReplacing:
    NEW = pytest.mark.parametrize(
        ("name", "new"),
        [
            ("model", lambda: model()),
            ("optimizer", lambda: mc.optimizers.Adam()),
            ("loss", lambda: mc.SoftmaxCrossEntropy(0.1)),
        ],
    )

    @NEW
    def test_model_optimizer_and_loss_cannot_be_replaced(self, name, new):
        runner = trainer()
        own = getattr(runner, name)
        with pytest.raises(ConfigError, match=rf"trainer\.{name} cannot be replaced: make a new Trainer"):
            setattr(runner, name, new())
        assert getattr(runner, name) is own

    def test_a_copy_trains_its_own_model(self):
        runner = trainer()
        for twin in copy.deepcopy(runner), pickle.loads(pickle.dumps(runner)):
            fit(twin, data())
            assert twin.optimizer.steps > 0
        assert runner.optimizer.steps == 0


class TestValidation:
    def test_a_share_is_held_out_stratified_and_never_trained_on(self, monkeypatch):
        train, runner, validated = data(40, classes=2), trainer(classes=2), []
        evaluate = runner.evaluate
        monkeypatch.setattr(runner, "evaluate", lambda d: validated.append(d) or evaluate(d))
        spy = Spy(runner)
        history = fit(runner, train, epochs=3, validation=0.2)

        held_out, *others = (keys(d.images) for d in validated)
        assert others == [held_out, held_out]
        assert_array_equal(validated[0].class_counts(), [4, 4])
        trained = {key for images, _ in spy.batches for key in keys(images)}
        assert trained.isdisjoint(held_out)
        assert trained | set(held_out) == set(keys(train.images))
        assert "val_loss" in history
        assert "val_accuracy" in history

    def test_the_seed_chooses_the_share(self):
        chosen = []
        for seed in (0, 0, 1):
            runner = trainer()
            spy = Spy(runner)
            fit(runner, data(), validation=0.25, seed=seed, batch_size=24)
            chosen.append(set(keys(spy.batches[0][0])))
        assert chosen[0] == chosen[1] != chosen[2]

    def test_a_validation_set_is_evaluated_after_each_epoch(self):
        runner, other = trainer(), data(9, seed=5)
        spy = Spy(runner)
        history = fit(runner, data(), epochs=2, validation=other)
        assert sum(spy.sizes) == 48
        result = runner.evaluate(other)
        assert (history["val_loss"][-1], history["val_accuracy"][-1]) == (result.loss, result.accuracy)
        assert history["val_loss"][0] != history["val_loss"][1]

    @pytest.mark.parametrize(
        ("engine", "dtype"), [("fused", "float32"), ("layerwise", "float32"), ("layerwise", "float64")]
    )
    @pytest.mark.parametrize("judge", ["validation", "evaluate", "flip_tta"])
    def test_its_memory_is_bounded_by_the_batch_size(self, engine, dtype, judge):
        def peak(judged):
            layers = [
                L.Conv2D(8, 3, padding="same"),
                L.BatchNorm(),
                L.ReLU(),
                L.GlobalAvgPool2D(),
                L.Dense(2),
            ]
            net = mc.Sequential(layers, (48, 48, 3), dtype=dtype)
            runner = mc.Trainer(net, mc.optimizers.SGD(0.01), engine=engine)
            tracemalloc.start()
            try:
                fit(runner, train, batch_size=2, validation=held_out if judged == "validation" else None)
                if judged in ("evaluate", "flip_tta"):
                    runner.evaluate(held_out, flip_tta=judged == "flip_tta")
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        mc.set_num_threads(2)
        train, held_out = (
            mc.data.Dataset(np.zeros((n, 48, 48, 3), np.uint8), np.arange(n) % 2) for n in (4, 60)
        )
        train.images[0] = 9  # training images need some contrast
        peak(judge)  # compiles the kernels
        try:
            assert peak(judge) < 2 * peak("nothing")  # the fused engine keeps arrays for either
        finally:
            mc.set_num_threads(None)

    def test_validation_changes_no_weight(self):
        with_it, without = trainer(extra=[L.BatchNorm()]), trainer(extra=[L.BatchNorm()])
        fit(with_it, data(), epochs=2, validation=data(9, seed=5))
        fit(without, data(), epochs=2)
        assert_same_arrays(with_it.model, without.model.arrays())

    def test_without_validation_its_columns_are_absent(self):
        history = fit(trainer(), data())
        assert "val_loss" not in history
        assert not any(name.startswith("val_") for row in history for name in row)


class TestConstructing:
    def test_a_model_that_is_not_a_classifier_is_rejected(self):
        with pytest.raises(ConfigError, match=r"let it end in Dense\(classes\)"):
            mc.Trainer(mc.Sequential([L.ReLU()], SHAPE), mc.optimizers.SGD(0.1))

    @pytest.mark.parametrize("optimizer", [mc.optimizers.SGD, None, 0.1, "sgd"])
    def test_other_than_an_optimizer_is_rejected(self, optimizer):
        with pytest.raises(ConfigError, match="expected an optimizer"):
            mc.Trainer(model(), optimizer)

    @pytest.mark.parametrize("wrong", [mc.Sequential, None, [L.Dense(3)], "cnn"])
    def test_other_than_a_model_is_rejected(self, wrong):
        with pytest.raises(ConfigError, match="expected a Sequential model"):
            mc.Trainer(wrong, mc.optimizers.SGD(0.1))

    @pytest.mark.parametrize("loss", [mc.SoftmaxCrossEntropy, "cross-entropy", 0.1, False])
    def test_other_than_a_loss_is_rejected(self, loss):
        with pytest.raises(ConfigError, match="expected a loss"):
            mc.Trainer(model(), mc.optimizers.SGD(0.1), loss)

    def test_an_unknown_device_is_rejected(self):
        with pytest.raises(ConfigError, match="unknown device"):
            mc.Trainer(model(), mc.optimizers.SGD(0.1), device="tpu")


def floats_with(value):
    """Return a Dataset one value of which was changed after it was checked."""
    images = (data().images / 255).astype(np.float32)
    broken = mc.data.Dataset(images, data().labels, data().class_names)
    images[3, 0, 0, 0] = value
    return broken


BAD_DATA = {
    "not a Dataset": (lambda: (data().images, data().labels), DataError, "wrap arrays as minicnn.data"),
    "an array": (lambda: data().images, DataError, "expected a minicnn.data.Dataset, got ndarray"),
    "another size": (
        lambda: mc.data.Dataset(np.zeros((6, 3, 4, 1), np.uint8), np.arange(6) % 3),
        ShapeError,
        r"expected images of shape \(N, 4, 3, 1\)",
    ),
    "more classes": (lambda: data(classes=4), DataError, r"4 classes, the model has 3 outputs.*Dense\(4\)"),
    "fewer classes": (lambda: data(classes=2), DataError, r"2 classes, the model has 3 outputs"),
    "raw pixels as floats": (
        lambda: mc.data.Dataset(data().images.astype(np.float32), data().labels),
        DataError,
        "like raw pixels: write images = images.astype",
    ),
    "a NaN": (lambda: floats_with(np.nan), NonFiniteError, "image 3 holds NaN"),
}
BAD_ARGUMENTS = {
    "epochs=0": ({"epochs": 0}, ConfigError, "epochs must be"),
    "epochs=1.5": ({"epochs": 1.5}, ConfigError, "epochs must be"),
    "batch_size=-1": ({"batch_size": -1}, ConfigError, "batch_size must be"),
    "batch_size=0": ({"batch_size": 0}, ConfigError, "batch_size must be"),
    "batch_size='8'": ({"batch_size": "8"}, ConfigError, "batch_size must be"),
    "validation=0": ({"validation": 0}, ConfigError, "fraction"),
    "validation=1": ({"validation": 1.0}, ConfigError, "fraction"),
    "validation=1.5": ({"validation": 1.5}, ConfigError, "fraction"),
    "validation=-0.1": ({"validation": -0.1}, ConfigError, "fraction"),
    "validation=NaN": ({"validation": math.nan}, ConfigError, "fraction"),
    "validation too small": ({"validation": 0.001}, ConfigError, "both results must hold an image"),
    "validation text": ({"validation": "0.1"}, ConfigError, "validation must be a share"),
    "validation arrays": ({"validation": (1, 2)}, ConfigError, "validation must be a share"),
    "validation of another size": (
        {"validation": mc.data.Dataset(np.zeros((3, 9, 9, 1), np.uint8), np.arange(3))},
        ShapeError,
        "expected images",
    ),
    "seed=-1": ({"seed": -1}, ConfigError, "seed must be"),
    "seed text": ({"seed": "lucky"}, ConfigError, "seed must be"),
    "a callback outside a list": (
        {"callbacks": mc.train.EarlyStopping("loss")},
        ConfigError,
        "must be a list",
    ),
    "a callback's class": ({"callbacks": [mc.train.EarlyStopping]}, ConfigError, "must be a list"),
    "a callback twice": ({"callbacks": [mc.train.EarlyStopping("loss")] * 2}, ConfigError, "appears twice"),
}


def reordered(original, names):
    """Return the same images and classes, numbered by the order of ``names``."""
    places = np.array([names.index(name) for name in original.class_names])
    return mc.data.Dataset(original.images, places[original.labels], names, "reordered")


class TestClasses:
    """Classes are matched by name, not by number."""

    def test_classes_in_another_order_give_the_same_scores(self):
        runner = trainer()
        fit(runner, data(90), epochs=5)
        test = data(30, seed=1)
        expected = runner.evaluate(test)
        for names in (("c", "a", "b"), ["b", "c", "a"]):
            result = runner.evaluate(reordered(test, tuple(names)))
            assert (result.accuracy, result.loss) == (expected.accuracy, expected.loss)
            assert result.class_names == ("a", "b", "c")
            assert_array_equal(result.labels, test.labels)
        assert expected.accuracy > 0.8

    def test_a_subset_of_the_classes_is_matched_by_name(self):
        runner = trainer()
        fit(runner, data(90), epochs=1)
        test = data(30, seed=1)
        some = test.subset(test.labels > 0)
        named = mc.data.Dataset(some.images, 2 - some.labels, ("c", "b"))
        assert_array_equal(runner.evaluate(named).labels, some.labels)

    def test_validation_and_a_second_fit_are_mapped_too(self):
        train = data(24)
        plain, mapped = trainer(), trainer()
        first, second = reordered(train, ("b", "a", "c")), reordered(train, ("c", "b", "a"))
        histories = [
            fit(plain, train, validation=data(9, seed=5)),
            fit(mapped, train, validation=reordered(data(9, seed=5), ("c", "b", "a"))),
        ]
        assert histories[0]["val_loss"] == histories[1]["val_loss"]
        for again in (train, train):
            fit(plain, again)
        for again in (first, second):
            fit(mapped, again)
        assert_same_arrays(mapped.model, copies(plain.model))
        assert mapped.model.class_names == ("a", "b", "c")

    @pytest.mark.parametrize("names", [("x", "y", "z"), ("a", "b", "z"), ("0", "1", "2"), ("z",)])
    def test_other_classes_are_rejected_with_advice(self, names):
        runner = trainer()
        fit(runner, data())
        other = mc.data.Dataset(data().images, data().labels % len(names), names, "other")
        for use in (runner.evaluate, lambda d: fit(runner, d)):
            with pytest.raises(
                DataError, match=f"other has the classes {', '.join(names)}; expected a, b, c"
            ):
                use(other)
        with pytest.raises(DataError, match="expected a, b, c"):
            fit(trainer(), data(), validation=other)

    def test_the_advice_works(self):
        runner = trainer()
        fit(runner, data())
        renamed = mc.data.Dataset(data().images, data().labels, ("x", "y", "z"))
        with pytest.raises(DataError, match=r"Dataset\(images, labels, model\.class_names\)"):
            runner.evaluate(renamed)
        expected = runner.evaluate(data())
        again = mc.data.Dataset(renamed.images, renamed.labels, runner.model.class_names)
        assert runner.evaluate(again).loss == expected.loss
        runner.model.set_class_names(renamed.class_names)
        assert runner.evaluate(renamed).loss == expected.loss

    def test_labels_without_names_are_the_models_outputs(self):
        runner = trainer()
        fit(runner, data())
        result = runner.evaluate(mc.data.Dataset(data().images, data().labels))
        assert result.loss == runner.evaluate(data()).loss
        assert result.class_names == ("a", "b", "c")
        unnamed = trainer()
        fit(unnamed, mc.data.Dataset(data().images, data().labels), validation=data())
        assert unnamed.model.class_names == ("0", "1", "2")

    def test_unnamed_classes_may_lack_the_last_ones_once_the_model_has_names(self):
        some = data().subset(data().labels != 2)
        unnamed = mc.data.Dataset(some.images, some.labels)
        with pytest.raises(DataError, match="dataset has 2 classes, the model has 3 outputs"):
            fit(trainer(), unnamed)
        for names in (), data().class_names:
            runner = trainer()
            fit(runner, mc.data.Dataset(data().images, data().labels, names), validation=unnamed)
            result = runner.evaluate(unnamed)
            assert result.confusion.shape == (3, 3)
            named = mc.data.Dataset(some.images, some.labels, runner.model.class_names)
            assert result.loss == runner.evaluate(named).loss
            with pytest.warns(UserWarning, match="no image of"):
                fit(runner, unnamed)

    def test_with_one_class_the_message_does_not_advise_one_output(self):
        one = mc.data.Dataset(data().images[:1], np.zeros(1, int))
        with pytest.raises(DataError, match="dataset has 1 class, the model has 3 outputs: if some classes"):
            fit(trainer(), one)


class TestOneClass:
    def test_there_is_nothing_to_learn_from_one(self):
        runner = trainer()
        one = data(24).subset(np.arange(0, 24, 3))
        with pytest.raises(DataError, match="all 8 images of toy are of one class, 'a': there is nothing to"):
            fit(runner, one)
        assert runner.model.class_names is None
        assert runner.evaluate(one).accuracy >= 0

    @pytest.mark.parametrize("pixel", [0, 255, 0.5])
    def test_there_is_nothing_to_learn_from_images_without_contrast(self, pixel):
        images = np.full_like(data().images, pixel, dtype=type(pixel) if pixel == 0.5 else np.uint8)
        blank = mc.data.Dataset(images, data().labels)
        with pytest.raises(
            DataError, match=f"every pixel of all 24 images of dataset is {pixel}: there is noth"
        ):
            fit(trainer(), blank)
        assert trainer().evaluate(blank).accuracy >= 0

    def test_a_class_without_an_image_gives_a_warning(self):
        two = data(24).subset(data(24).labels > 0)
        with pytest.warns(
            UserWarning, match="toy has no image of a: the model will never predict it"
        ) as told:
            fit(trainer(), two)
        assert [warning.filename for warning in told] == [__file__]

    def test_with_all_classes_there_is_no_warning(self, recwarn):
        fit(trainer(), data(3), validation=data(24).subset([0]))
        assert not recwarn


FLOATS = ["f2", "f4", "f8", ">f2", ">f4", ">f8", "longdouble"]


class TestKinds:
    """Floating-point images of every dtype give the same weights."""

    @pytest.mark.parametrize(
        "augmentation", [None, mc.data.Augmentation(True, 1, 0.5)], ids=["plain", "augmented"]
    )
    @pytest.mark.parametrize("engine", ["layerwise", "fused"])
    def test_the_weights_are_those_of_float32(self, engine, augmentation):
        exact = data(30)
        images = (exact.images / 256).astype("f2")  # exact in every dtype
        found = []
        for kind in FLOATS:
            runner = mc.Trainer(model(), mc.optimizers.SGD(0.1), engine=engine)
            train = mc.data.Dataset(images.astype(kind), exact.labels, exact.class_names)
            fit(runner, train, augmentation=augmentation, validation=0.2)
            runner.model.predict(train.images)
            found.append(copies(runner.model))
        for arrays in found[1:]:
            for name, array in arrays.items():
                assert_allclose(array, found[0][name], rtol=1e-5, atol=1e-6, err_msg=name)

    @pytest.mark.parametrize("kind", ["u1", *FLOATS])
    def test_strict_floating_point_errors_of_numpy_change_nothing(self, kind):
        images = data(30).images if kind == "u1" else (data(30).images / 255).astype(kind)
        if kind in ("f8", ">f8", "longdouble"):
            images[0, 0, 0, 0] = 1e-300  # which is 0 in float32
        train = mc.data.Dataset(images, data(30).labels)
        with np.errstate(all="raise"):
            runner = trainer()
            fit(runner, train, augmentation=mc.data.Augmentation(True, 1, 0.5), validation=0.2)
            standardize = mc.Standardize.fit(images)
            assert np.isfinite(standardize(images, np.float32)).all()


class TestRefusing:
    """Bad input raises an error before any step, and leaves the model unchanged."""

    def assert_rejected(self, error, match, train, **arguments):
        runner = trainer()
        spy, before = Spy(runner), copies(runner.model)
        with pytest.raises(error, match=match) as caught:
            fit(runner, train, **arguments)
        assert isinstance(caught.value, MiniCNNError)
        assert spy.batches == []
        assert_same_arrays(runner.model, before)
        assert runner.model.class_names is None

    @pytest.mark.parametrize(("make", "error", "match"), BAD_DATA.values(), ids=BAD_DATA)
    def test_data_that_does_not_fit(self, make, error, match):
        self.assert_rejected(error, match, make())

    @pytest.mark.parametrize(("make", "error", "match"), BAD_DATA.values(), ids=BAD_DATA)
    def test_evaluate_rejects_the_same_data(self, make, error, match):
        with pytest.raises(error, match=match):
            trainer().evaluate(make())

    @pytest.mark.parametrize(("arguments", "error", "match"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
    def test_arguments_out_of_range(self, arguments, error, match):
        self.assert_rejected(error, match, data(), **arguments)

    def test_labels_out_of_range_and_wrong_dtypes_are_rejected_by_the_data_set(self):
        images = data().images
        with pytest.raises(DataError, match="labels"):
            mc.data.Dataset(images, np.full(len(images), 3), ("a", "b", "c"))
        with pytest.raises(DTypeError, match="labels"):
            mc.data.Dataset(images, np.zeros(len(images)))
        with pytest.raises(DTypeError, match="images"):
            mc.data.Dataset(images.astype(int), data().labels)


class TestNonFinite:
    def test_the_epoch_the_batch_and_the_layer_are_named(self):
        runner = trainer()
        step = runner.engine._step

        def spoil(images, labels):
            if runner.step == 4:  # the second batch of the second epoch
                runner.model.layers[-1].params["W"][...] = np.inf
            return step(images, labels)

        runner.engine._step = spoil
        with pytest.raises(NonFiniteError, match=r"epoch 2, batch 2: the loss is nan: layer 'dense_1'"):
            fit(runner, data(), epochs=3)
        assert len(runner.history) == 1

    def test_a_learning_rate_far_too_high_raises_an_error(self):
        runner = trainer(learning_rate=1e30)
        with pytest.raises(NonFiniteError, match="lower the learning rate"):
            fit(runner, data(), epochs=5)

    def test_the_step_that_failed_changed_nothing(self):
        runner = trainer(extra=[L.BatchNorm()])
        runner.model.layers[0].params["b"][...] = np.nan
        before = copies(runner.model)
        with pytest.raises(NonFiniteError, match=r"epoch 1, batch 1: .*layer 'conv2d_1' produced it, its b"):
            fit(runner, data())
        assert_same_arrays(runner.model, before)

    def test_weights_broken_by_the_last_step_are_reported(self):
        runner = trainer(learning_rate=1e39)  # more than float32 holds
        with pytest.raises(NonFiniteError, match=r"epoch 1: after its last batch .* holds NaN or infinity"):
            fit(runner, data(), batch_size=24)

    def test_running_averages_that_overflow_are_reported(self):
        runner = trainer(extra=[L.BatchNorm()])
        runner.model.layers[0].params["W"][...] = 1e30
        with pytest.raises(NonFiniteError, match=r"batchnorm_1.running_var"):
            fit(runner, data(), batch_size=24)


def test_copies_of_a_model_and_its_optimizer_train_in_the_same_way():
    data = mc.data.load("synthetic", sizes=(40, 1))[0]
    model = mc.Sequential([L.Flatten(), L.Dense(10)], (28, 28, 1))
    optimizer = mc.optimizers.SGD(0.01, momentum=0.9)
    trainer = mc.Trainer(model, optimizer)
    trainer.fit(data, epochs=1, progress=False)
    together = mc.Trainer(*copy.deepcopy((model, optimizer)))
    others = [together, copy.deepcopy(trainer), pickle.loads(pickle.dumps(trainer))]
    for each in (trainer, *others):
        each.fit(data, epochs=1, progress=False)
    for other in others:
        assert np.array_equal(other.model.layers[1].params["W"], model.layers[1].params["W"])


def test_without_the_last_class_the_message_says_how_to_name_all():
    images = mc.data.load("synthetic", sizes=(4, 1))[0].images
    trainer = mc.Trainer(mc.Sequential([L.Flatten(), L.Dense(10)], (28, 28, 1)), mc.optimizers.SGD(0.1))
    with pytest.raises(DataError, match="name all classes"):
        trainer.evaluate(mc.data.Dataset(images, np.arange(4)))


class TestBatchesOfOne:
    """BatchNorm after Dense: one image has no variance, and the layer would pass on nothing."""

    def normalized(self, engine="auto"):
        layers = [L.Flatten(), L.Dense(4), L.BatchNorm(), L.ReLU(), L.Dense(3)]
        return mc.Trainer(mc.Sequential(layers, (4, 3, 1)), mc.optimizers.SGD(0.1), engine=engine)

    @pytest.mark.parametrize(
        ("images", "options", "what"),
        [(24, {"batch_size": 1}, "batch_size"), (2, {"validation": 0.5}, "the training images")],
    )
    @pytest.mark.filterwarnings("ignore:toy has no image")
    def test_they_are_rejected_before_any_step(self, images, options, what):
        runner = self.normalized()
        spy = Spy(runner)
        with pytest.raises(ConfigError, match=f"^{what} must be at least 2, got 1: layer 'batchnorm_1'"):
            fit(runner, data(images), **options)
        assert spy.batches == []

    @pytest.mark.parametrize("engine", ["layerwise", "fused"])
    def test_a_single_remaining_image_joins_the_batch_before(self, engine):
        runner, train = self.normalized(engine), data(25)
        spy = Spy(runner)
        fit(runner, train, batch_size=8, epochs=2)
        assert spy.sizes == [8, 8, 9, 8, 8, 9]
        assert runner.total_steps == runner.step == 6
        seen = [key for images, _ in spy.batches[:3] for key in keys(images)]
        assert sorted(seen) == sorted(keys(train.images))

    def test_two_remaining_images_are_a_batch(self):
        runner = self.normalized()
        spy = Spy(runner)
        fit(runner, data(26), batch_size=8)
        assert spy.sizes == [8, 8, 8, 2]

    def test_other_models_can_train_on_one_image_at_a_time(self):
        layers = [L.Conv2D(2, 2), L.BatchNorm(), L.ReLU(), L.Flatten(), L.Dense(3)]
        runner = mc.Trainer(mc.Sequential(layers, (4, 3, 1)), mc.optimizers.SGD(0.1))
        spy = Spy(runner)
        fit(runner, data(9), batch_size=8)
        fit(runner, data(3), batch_size=1)
        assert spy.sizes == [8, 1, 1, 1, 1]
