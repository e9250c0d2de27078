"""Cross-validation: what is trained and evaluated on which images; comparison: numbers by hand."""

import math
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minicnn as mc
from minicnn.data import k_folds
from minicnn.errors import ConfigError, DataError
from minicnn.metrics import Evaluation
from minicnn.train import Callback, History
from minicnn.train.crossval import Comparison, CrossValidation, compare, compare_with, cross_validate
from tests.train.toys import data, keys, trainer

FIT = {"epochs": 2, "batch_size": 8, "progress": False}


def fresh(rest, seed):
    """Return a new trainer for a fold."""
    return trainer(seed)


class Notes(Callback):
    """Records the trainer of each training."""

    def __init__(self):
        self.trainers = []

    def on_fit_begin(self, trainer):
        self.trainers.append(trainer)


def judged(right, name="model", size=1000, labels=None):
    """Return a cross-validation with this number of correct predictions in each fold."""
    labels = np.zeros(size, np.int64) if labels is None else labels
    evaluations = []
    for count in right:
        said = np.where(np.arange(len(labels)) < count, labels, 1 - labels)
        evaluations.append(Evaluation(0.5, labels, np.eye(2)[said], ("a", "b")))
    return CrossValidation(name, tuple(History("toy") for _ in right), tuple(evaluations))


class TestCrossValidate:
    def test_each_fold_is_evaluated_by_a_trainer_that_has_not_seen_it(self):
        train, trainers, seen = data(25), [], []

        class Watched(mc.Trainer):
            def fit(self, train, validation, **arguments):
                seen.append((keys(train.images), keys(validation.images)))
                return super().fit(train, validation=validation, **arguments)

        def make_trainer(rest, seed):
            plain = trainer(seed)
            trainers.append(Watched(plain.model, plain.optimizer))
            return trainers[-1]

        result = cross_validate(make_trainer, train, k=3, seed=7, name="toy net", **FIT)
        assert len(trainers) == 3
        for rest, fold in seen:
            assert sorted(rest + fold) == sorted(keys(train.images))
        assert sorted(chain.from_iterable(fold for _, fold in seen)) == sorted(keys(train.images))
        assert result.name == "toy net"
        assert [len(history) for history in result.histories] == [2, 2, 2]
        assert [len(evaluation.labels) for evaluation in result.evaluations] == [9, 8, 8]

    def test_the_evaluation_is_that_of_the_fold_after_training(self):
        result = cross_validate(fresh, data(), k=2, **FIT)
        for history, evaluation in zip(result.histories, result.evaluations, strict=True):
            assert_allclose(evaluation.loss, history["val_loss"][-1])
            assert evaluation.accuracy == history["val_accuracy"][-1]
            assert history.dataset == "toy"

    def test_make_trainer_is_given_the_images_to_train_on(self):
        given = []

        def make_trainer(rest, seed):
            given.append(keys(rest.images))
            return trainer(seed)

        cross_validate(make_trainer, data(), k=3, seed=4, **FIT)
        assert given == [keys(rest.images) for rest, _ in k_folds(data(), 3, 4)]

    def test_the_same_seed_gives_the_same_numbers_and_another_other_folds(self):
        first, again, other = (cross_validate(fresh, data(), k=2, seed=seed, **FIT) for seed in (1, 1, 2))
        assert [h["loss"] for h in first.histories] == [h["loss"] for h in again.histories]
        with pytest.raises(ConfigError, match="not evaluated on the same folds"):
            compare(first, other)
        assert_array_equal(first.accuracies, again.accuracies)

    def test_each_fold_has_its_own_seed_for_weights_and_order(self):
        made, fitted = [], []

        class Watched(mc.Trainer):
            def fit(self, train, seed, **arguments):
                fitted.append(seed)
                return super().fit(train, seed=seed, **arguments)

        def make_trainer(rest, seed):
            made.append(seed)
            return Watched(trainer(seed).model, mc.optimizers.SGD(0.1))

        for seed in (7, 8):
            cross_validate(make_trainer, data(), k=3, seed=seed, **FIT)
        assert made == fitted
        assert len(set(made)) == 6
        assert made[:3] == np.random.SeedSequence(7).generate_state(3).tolist()

    def test_each_fold_gets_new_callbacks(self):
        made = []

        def make_callbacks():
            made.append(Notes())
            return [made[-1]]

        cross_validate(fresh, data(), k=3, make_callbacks=make_callbacks, **FIT)
        assert [len(notes.trainers) for notes in made] == [1, 1, 1]
        assert len({id(notes.trainers[0]) for notes in made}) == 3

    def test_there_are_5_folds_by_default(self):
        result = cross_validate(fresh, data(), epochs=1, progress=False)
        assert result.accuracies.shape == (5,)

    @pytest.mark.parametrize(
        "arguments", [{"validation": 0.1}, {"callbacks": []}, {"validation": None, "callbacks": ()}]
    )
    def test_rejects_validation_and_callbacks(self, arguments):
        with pytest.raises(ConfigError, match="pass make_callbacks"):
            cross_validate(trainer, data(), **arguments)

    def test_rejects_a_model_that_has_seen_the_other_folds(self):
        used = trainer()
        with pytest.raises(ConfigError, match="new model each time, got the model of an earlier fold"):
            cross_validate(lambda rest, seed: used, data(), k=2, **FIT)
        with pytest.raises(ConfigError, match="the model of an earlier fold"):
            cross_validate(
                lambda rest, seed: mc.Trainer(used.model, mc.optimizers.SGD(0.1)), data(), k=2, **FIT
            )

    def test_rejects_other_than_a_trainer(self):
        with pytest.raises(ConfigError, match="must return a Trainer with a new model each time, got None"):
            cross_validate(lambda rest, seed: None, data(), k=2)

    def test_rejects_other_than_a_data_set(self):
        with pytest.raises(DataError, match=r"expected a minicnn\.data\.Dataset, got tuple"):
            cross_validate(trainer, (data().images, data().labels))

    def test_rejects_an_invalid_number_of_folds(self):
        with pytest.raises(ConfigError, match="k must be a whole number of at least 2, got 1"):
            cross_validate(trainer, data(), k=1)


class TestCrossValidation:
    def test_accuracies_mean_and_sample_standard_deviation_by_hand(self):
        result = judged([900, 910, 920])
        assert_array_equal(result.accuracies, [0.9, 0.91, 0.92])
        assert result.mean == pytest.approx(0.91)
        assert result.std == pytest.approx(0.01)  # √((0.01² + 0.01²) / 2)

    def test_str_is_in_percent(self):
        assert str(judged([900, 910, 920])) == "91.00 ± 1.00 % (3 folds)"

    def test_the_repr_is_one_line_with_the_name(self):
        result = judged([900, 910, 920], name="two\nlines")
        assert repr(result) == r"CrossValidation(two\nlines: 91.00 ± 1.00 % (3 folds))"


class TestCompare:
    def test_the_statistic_by_hand(self):
        # Differences 1, 2, 3, 4, 5 points: mean 3, s² = 2.5; factor 1/5 + 1/4 = 0.45, so the error is
        # √(0.45 · 2.5) = 1.06066 and t = 2.82843 with 4 degrees of freedom; tables give t(0.975) = 2.77645.
        result = compare(judged([910, 920, 930, 940, 950], "new"), judged([900] * 5, "old"))
        assert (result.first, result.second) == ("new", "old")
        assert result.difference == pytest.approx(0.03)
        assert result.t == pytest.approx(0.03 / math.sqrt(0.45 * 2.5e-4)) == pytest.approx(2 * math.sqrt(2))
        reach = 2.776445 * 0.0106066
        assert_allclose(result.interval, [0.03 - reach, 0.03 + reach], atol=1e-7)
        # P(|T| > t) with 4 degrees: 1 − x(3 − x²)/2 of x = t/√(4 + t²) = √(2/3).
        x = math.sqrt(2 / 3)
        assert result.p == pytest.approx(1 - x * (3 - x**2) / 2)
        assert result.significant

    def test_another_level_changes_the_verdict_and_the_interval_but_not_p(self):
        new, old = judged([910, 920, 930, 940, 950], "new"), judged([900] * 5, "old")
        usual, strict = compare(new, old), compare(new, old, 0.025)
        assert strict.p == usual.p  # 0.047
        assert not strict.significant
        reach = 3.495406 * 0.0106066  # tables: t(0.9875) with 4 degrees of freedom
        assert_allclose(strict.interval, [0.03 - reach, 0.03 + reach], atol=1e-7)
        assert str(strict).endswith("p = 0.047): cannot be told from chance at the 2.5 % level")
        assert "(97.5 % interval" in str(strict)

    @pytest.mark.parametrize("level", [0, 1, math.nan, "0.05"])
    def test_rejects_a_level_that_is_not_a_probability(self, level):
        with pytest.raises(ConfigError, match="level"):
            compare(judged([900] * 2), judged([910] * 2), level)

    def test_several_comparisons_share_the_level(self):
        baseline, a, b = judged([900, 910], "base"), judged([910, 930], "a"), judged([900, 900], "b")
        assert compare_with(baseline, [a, b]) == [compare(a, baseline, 0.025), compare(b, baseline, 0.025)]
        assert compare_with(baseline, [a]) == [compare(a, baseline)]
        assert compare_with(baseline, []) == []

    def test_two_folds_by_hand(self):
        # Differences 1 and 3 points: mean 2, s² = 2, factor 1/2 + 1; t = 2/√3, and with one degree of
        # freedom p = 1 − 2·arctan(t)/π.
        result = compare(judged([910, 930]), judged([900, 900]))
        assert result.t == pytest.approx(2 / math.sqrt(3))
        assert result.p == pytest.approx(1 - 2 * math.atan(2 / math.sqrt(3)) / math.pi)
        assert not result.significant

    def test_swapping_the_models_changes_all_signs(self):
        a, b = judged([910, 905, 930]), judged([900, 910, 905])
        there, back = compare(a, b), compare(b, a)
        assert there.difference == pytest.approx(-back.difference)
        assert there.t == pytest.approx(-back.t)
        assert there.p == pytest.approx(back.p)
        assert_allclose(there.interval, [-back.interval[1], -back.interval[0]])

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ([625] * 4, [500] * 4),
            ([375] * 4, [500] * 4),
            ([900, 800, 700], [800, 700, 600]),  # whose floats differ in the last digit
            ([900, 910, 920], [900, 910, 920]),
        ],
    )
    def test_equal_differences_in_all_folds_give_no_p(self, first, second):
        result = compare(judged(first), judged(second))
        assert result.difference == pytest.approx((first[0] - second[0]) / 1000)
        assert (result.t, result.p, result.interval) == (None, None, None)
        assert not result.significant
        assert "the variance cannot be estimated" in str(result)

    def test_the_smallest_difference_between_folds_counts(self):
        # One more of 10,000 and of 10,001 images is right: the differences differ by 1e-8.
        few, more = np.zeros(10_000, np.int64), np.zeros(10_001, np.int64)
        first, second = (
            CrossValidation(
                "model",
                (),
                tuple(
                    Evaluation(0.5, labels, np.eye(2)[(np.arange(len(labels)) >= right).astype(int)], "ab")
                    for labels in (few, more)
                ),
            )
            for right in (9000, 8999)
        )
        assert compare(first, second).p == pytest.approx(0, abs=1e-3)
        assert compare(first, second).p > 0

    def test_rejects_another_number_of_folds(self):
        with pytest.raises(
            ConfigError,
            match=r"a and b were not .* same folds \(2, seed 0, and 3, seed 0\): cross-validate both",
        ):
            compare(judged([900] * 2, "a"), judged([900] * 3, "b"))

    def test_rejects_another_seed_though_the_labels_of_sorted_data_are_the_same(self):
        one, other = judged([900, 910]), replace(judged([900, 910]), seed=1)
        with pytest.raises(ConfigError, match="2, seed 0, and 2, seed 1"):
            compare(one, other)

    def test_rejects_folds_of_other_images(self):
        labels = np.zeros(1000, np.int64)
        labels[7] = 1
        with pytest.raises(ConfigError, match="same data, k and seed"):
            compare(judged([900] * 2), judged([900] * 2, labels=labels))
        with pytest.raises(ConfigError, match="same data, k and seed"):
            compare(judged([900] * 2), judged([900] * 2, size=999))


class TestComparison:
    @pytest.mark.parametrize(
        ("numbers", "sentence"),
        [
            (
                (0.0042, (0.001, 0.0074), 3.1, 0.021),
                "A is 0.42 points better than B (95 % interval 0.10 to 0.74, p = 0.021): "
                "more than chance at the 5 % level",
            ),
            (
                (-0.0042, (-0.0074, -0.001), -30.1, 0.0002),
                "A is 0.42 points worse than B (95 % interval 0.10 to 0.74, p < 0.001): "
                "more than chance at the 5 % level",
            ),
            (
                (-0.001, (-0.004, 0.002), -0.5, 0.6),
                "A is 0.10 points worse than B (95 % interval -0.20 to 0.40, p = 0.600): "
                "cannot be told from chance at the 5 % level",
            ),
            (
                (0.0, (-0.01, 0.01), 0.0, 1.0),
                "A is 0.00 points better than B (95 % interval -1.00 to 1.00, p = 1.000): "
                "cannot be told from chance at the 5 % level",
            ),
            (
                (-0.1, None, None, None),
                "A is 10.00 points worse than B in every fold: without scatter the variance "
                "cannot be estimated, so this may be chance",
            ),
            (
                (0.0, None, None, None),
                "A and B are equally good in every fold: without scatter the variance cannot be "
                "estimated, so this may be chance",
            ),
        ],
    )
    def test_the_verdict_is_one_sentence(self, numbers, sentence):
        assert str(Comparison("A", "B", *numbers)) == sentence
