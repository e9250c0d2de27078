"""The scores of a classifier, against values computed by hand."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from minicnn.errors import ConfigError
from minicnn.losses import SoftmaxCrossEntropy, softmax
from minicnn.metrics import Evaluation, class_scores, confusion_matrix, wilson_interval
from tests.strategies import normal, seeds

# True class down, predicted across. Class c is never met and never called, d never met but called.
CONFUSION = np.array([[3, 1, 0, 0], [2, 4, 0, 2], [0, 0, 0, 0], [0, 0, 0, 0]])


def evaluation(labels, probabilities, names=("cat", "dog", "horse")):
    return Evaluation(0.5, np.array(labels), np.array(probabilities), names)


SIX = evaluation(
    labels=[0, 1, 2, 0, 1, 2],
    probabilities=[
        [0.8, 0.1, 0.1],  # right
        [0.6, 0.4, 0.0],  # dog predicted as cat, 60 %
        [0.0, 0.9, 0.1],  # horse predicted as dog, 90 %
        [0.3, 0.3, 0.4],  # cat predicted as horse, 40 %
        [0.1, 0.7, 0.2],  # right
        [0.6, 0.1, 0.3],  # horse predicted as cat, 60 %
    ],
)


@given(pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_the_confusion_matrix_counts_each_pair(pairs):
    labels, predicted = np.array(pairs).T
    counts = confusion_matrix(labels, predicted, 4)
    expected = [[pairs.count((true, called)) for called in range(4)] for true in range(4)]
    assert_array_equal(counts, expected)
    assert counts.dtype == np.int64


class TestClassScores:
    def test_by_hand(self):
        scores = class_scores(CONFUSION)
        assert_allclose(scores.precision[:2], [3 / 5, 4 / 5])
        assert_allclose(scores.recall[:2], [3 / 4, 4 / 8])
        assert_allclose(scores.f1[:2], [2 / 3, 8 / 13])  # 2·0.6·0.75 / 1.35 and 2·0.8·0.5 / 1.3

    def test_a_ratio_without_any_image_is_0(self):
        scores = class_scores(CONFUSION)
        for values in scores:
            assert_array_equal(values[2:], [0, 0])

    def test_all_correct_is_1(self):
        scores = class_scores(np.diag([3, 1, 7]))
        for values in scores:
            assert_array_equal(values, [1, 1, 1])


class TestEvaluation:
    def test_predicted_accuracy_and_confusion(self):
        assert_array_equal(SIX.predicted, [0, 0, 1, 2, 1, 0])
        assert SIX.accuracy == 2 / 6
        assert isinstance(SIX.accuracy, float)
        assert_array_equal(SIX.confusion, [[1, 0, 1], [1, 1, 0], [1, 1, 0]])

    @pytest.mark.parametrize(
        ("right", "wrong", "learned"),
        [(100, 900, False), (118, 882, False), (119, 881, True), (990, 10, True), (0, 1000, False)],
    )
    def test_learned_is_better_than_the_most_frequent_class_by_more_than_chance(self, right, wrong, learned):
        """Ten classes of 100 images. Wilson: above 10 % where p − 0.1 > 1.96·√(0.1·0.9 / 1000) = 0.0186."""
        labels = np.arange(1000) % 10
        predicted = np.where(np.arange(1000) < right, labels, (labels + 1) % 10)
        found = Evaluation(0.5, labels, np.eye(10)[predicted], tuple("abcdefghij"))
        assert found.accuracy == right / 1000
        assert found.most_frequent == ("a", 0.1)
        assert (found.accuracy_interval[0] > 0.1) is learned
        assert found.learned is learned
        assert bool(found.failure()) is not learned

    def test_always_answering_the_most_frequent_class_is_nothing_learned(self):
        labels = np.repeat([0, 1], [100, 900])
        always = Evaluation(0.5, labels, np.eye(2)[np.ones(1000, int)], ("ant", "bee"))
        assert always.most_frequent == ("bee", 0.9)
        assert always.failure() == (
            "nothing was learned: of 1,000 images 90.00% are right, and always answering bee, the "
            "most frequent class, gets 90.00% right"
        )
        assert always.scores()["learned"] is False
        assert always.scores()["most_frequent_share"] == 0.9

    def test_all_correct_counts_as_learned_even_for_one_class(self):
        assert evaluation([0], [[1.0, 0.0, 0.0]]).learned

    def test_mistakes_come_most_confident_first_and_equal_ones_in_order(self):
        assert_array_equal(SIX.mistakes(), [2, 1, 5, 3])

    def test_a_hundred_equal_mistakes_stay_in_order(self):
        many = evaluation([0] * 100, [[0.2, 0.8 - k % 2 / 10, k % 2 / 10] for k in range(100)])
        assert_array_equal(many.mistakes(), [*range(0, 100, 2), *range(1, 100, 2)])

    def test_without_mistakes_there_are_none(self):
        assert len(evaluation([0, 1], [[0.9, 0.1], [0.2, 0.8]], ("a", "b")).mistakes()) == 0

    def test_a_class_without_images_has_a_row_and_a_column(self):
        assert evaluation([0, 0], [[1, 0, 0], [1, 0, 0]]).confusion.shape == (3, 3)

    def test_str_is_loss_and_accuracy(self):
        assert str(SIX) == "loss 0.5000, accuracy 33.33% (95% interval 9.68% to 70.00%)"

    def test_the_repr_is_one_line(self):
        assert repr(SIX) == f"Evaluation(6 images of 3 classes: {SIX})"

    def test_the_table(self):
        assert SIX.table() == (
            "class             precision   recall       F1  images\n"
            "cat                  33.33%   50.00%   40.00%       2\n"
            "dog                  50.00%   50.00%   50.00%       2\n"
            "horse                 0.00%    0.00%    0.00%       2\n"
            "macro average        27.78%   33.33%   30.00%       6\n"
            "weighted average     27.78%   33.33%   30.00%       6"
        )

    def test_a_score_without_an_image_to_count_is_a_dash(self):
        # Every cat is predicted as a horse, nothing as a cat, and there are no horses.
        shown = evaluation([0, 0, 1], [[0.1, 0.1, 0.8], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1]])
        assert shown.class_rows(decimals=1) == [
            ("cat", "–", "0.0%", "0.0%", "2"),
            ("dog", "100.0%", "100.0%", "100.0%", "1"),
            ("horse", "0.0%", "–", "–", "0"),
        ]
        assert shown.table().splitlines()[1:4:2] == [
            "cat                       –    0.00%    0.00%       2",
            "horse                 0.00%        –        –       0",
        ]

    def test_the_table_is_aligned_for_long_names_and_100_percent(self):
        lines = evaluation([0], [[0.9, 0.1]], ("a very long name", "b")).table().splitlines()
        assert len({len(line) for line in lines}) == 1

    def test_it_cannot_be_changed(self):
        with pytest.raises(AttributeError):
            SIX.loss = 0.0


# The first two classes have 4 and 8 images, of which 3 and 4 are found; two dogs are taken for an elk, which
# there is none of; nothing is a horse.
names = ("cat", "dog", "horse", "elk")
TWELVE = evaluation(
    labels=[0] * 4 + [1] * 8,
    probabilities=np.eye(4)[[0, 0, 0, 1, 0, 0, 1, 1, 1, 1, 3, 3]] * 0.7 + 0.075,
    names=names,
)


class TestAverages:
    def test_the_macro_average_counts_each_class_that_has_images(self):
        # Precision 3/5 and 4/5, recall 3/4 and 4/8, F1 2/3 and 8/13; elks have no images and are left out.
        assert_array_equal(TWELVE.confusion, CONFUSION)
        assert TWELVE.macro.precision == pytest.approx((3 / 5 + 4 / 5) / 2)
        assert TWELVE.macro.recall == pytest.approx((3 / 4 + 4 / 8) / 2)
        assert TWELVE.macro.f1 == pytest.approx((2 / 3 + 8 / 13) / 2)
        assert TWELVE.balanced_accuracy == TWELVE.macro.recall

    def test_the_weighted_average_counts_each_image(self):
        assert TWELVE.weighted.precision == pytest.approx((4 * 3 / 5 + 8 * 4 / 5) / 12)
        assert TWELVE.weighted.recall == pytest.approx(7 / 12) == pytest.approx(TWELVE.accuracy)
        assert TWELVE.weighted.f1 == pytest.approx((4 * 2 / 3 + 8 * 8 / 13) / 12)

    def test_a_class_never_predicted_has_precision_0(self):
        # Both cats are predicted as dogs: precision 0 and 1/3, recall 0 and 1, F1 0 and 1/2.
        shown = evaluation([0, 0, 1], [[0, 1, 0]] * 3)
        assert (shown.macro.precision, shown.macro.recall) == (pytest.approx(1 / 6), 1 / 2)
        assert shown.macro.f1 == pytest.approx(1 / 4)
        assert shown.weighted.precision == pytest.approx(1 / 9)

    def test_always_answering_the_majority_has_a_balanced_accuracy_of_half(self):
        always = evaluation([0] * 90 + [1] * 10, [[0.9, 0.1]] * 100, ("a", "b"))
        assert (always.accuracy, always.balanced_accuracy) == (0.9, 0.5)

    def test_with_one_class_all_averages_are_its_scores(self):
        shown = evaluation([1, 1, 1], [[0, 1, 0], [0, 1, 0], [1, 0, 0]])
        for mean in (shown.macro, shown.weighted):
            assert (mean.precision, mean.recall, mean.f1) == pytest.approx((1, 2 / 3, 4 / 5))

    def test_the_rows_of_the_averages(self):
        assert TWELVE.average_rows(decimals=1) == [
            ("macro average", "70.0%", "62.5%", "64.1%", "12"),
            ("weighted average", "73.3%", "58.3%", "63.2%", "12"),
        ]


class TestTopK:
    def test_by_hand(self):
        # The ranks of these labels among the classes: 3 (after a tie), 1, 3, 2 (after a tie), 2, 1.
        shown = evaluation([2, 0, 0, 1, 2, 0], SIX.probabilities)
        assert [shown.top_k_accuracy(k) for k in (1, 2, 3)] == [2 / 6, 3 / 6, 1]

    @given(
        rows=st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=8),
        k=st.integers(1, 4),
        label=st.integers(0, 3),
    )
    def test_ties_go_to_the_lower_class(self, rows, k, label):
        found = evaluation([label] * len(rows), np.array(rows) / 10, names)
        before = [
            sum(p > row[label] or (p == row[label] and c < label) for c, p in enumerate(row)) for row in rows
        ]
        assert found.top_k_accuracy(k) == pytest.approx(np.mean([count < k for count in before]))
        assert found.top_k_accuracy(1) == found.accuracy
        assert found.top_k_accuracy(4) == 1

    @pytest.mark.parametrize("k", [0, 4, 1.5, "2"])
    def test_an_invalid_k_is_rejected(self, k):
        with pytest.raises(ConfigError, match=r"k must be"):
            SIX.top_k_accuracy(k)


class TestLogLoss:
    def test_by_hand(self):
        shown = evaluation([0, 1], [[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]])
        assert shown.log_loss == pytest.approx((math.log(2) + math.log(4)) / 2, rel=1e-15)

    def test_a_probability_of_1_costs_nothing_and_one_of_0_a_finite_loss(self):
        assert evaluation([0], [[1.0, 0.0, 0.0]]).log_loss == 0
        for dtype in ("float32", "float64"):
            shown = Evaluation(0.5, np.array([1]), np.array([[1, 0]], dtype), ("a", "b"))
            assert shown.log_loss == pytest.approx(52 * math.log(2))

    @given(seeds)
    def test_it_is_the_cross_entropy_of_the_logits(self, seed):
        logits, labels = normal(seed, (5, 3)), np.random.default_rng(seed).integers(0, 3, 5)
        shown = evaluation(labels, softmax(logits))
        assert shown.log_loss == pytest.approx(SoftmaxCrossEntropy()(logits, labels), rel=1e-12)


class TestInterval:
    def test_by_hand(self):
        # p = 0.8, N = 10, z² = 3.841459: (0.8 + 0.192073 ± 1.959964·√(0.016 + 0.009604)) / 1.384146
        reach = 1.959964 * math.sqrt(0.016 + 0.0096036)
        expected = [(0.8 + 0.1920729 - reach) / 1.3841459, (0.8 + 0.1920729 + reach) / 1.3841459]
        assert_allclose(wilson_interval(8, 10), expected, atol=1e-6)

    @given(N=st.integers(1, 10**6), share=st.floats(0, 1))
    def test_the_share_is_196_deviations_from_each_end(self, N, share):
        right = round(share * N)
        z = 1.959963984540054
        ends = low, high = wilson_interval(right, N)
        assert 0 <= low <= right / N <= high <= 1
        assert high > low
        for end in ends:
            if 0 < end < 1:  # otherwise there is no deviation
                deviation = math.sqrt(end * (1 - end) / N)
                assert abs(right / N - end) / deviation == pytest.approx(z, rel=1e-6)

    def test_for_none_and_all_an_end_is_exact(self):
        assert all(wilson_interval(0, N)[0] == 0 and wilson_interval(N, N)[1] == 1 for N in range(1, 300))
        assert wilson_interval(0, 10) == (0, pytest.approx(3.841459 / 13.841459))
        assert wilson_interval(10, 10) == (pytest.approx(10 / 13.841459), 1)

    def test_it_is_the_interval_of_the_accuracy(self):
        assert SIX.accuracy_interval == wilson_interval(2, 6)
        assert SIX.interval_text() == "9.68% to 70.00%"

    def test_it_contains_the_true_share_in_about_95_percent_of_samples(self):
        rng = np.random.default_rng(0)
        held = [
            low <= 0.92 <= high
            for low, high in (wilson_interval(k, 500) for k in rng.binomial(500, 0.92, 2000))
        ]
        assert 0.93 < np.mean(held) < 0.97


class TestScores:
    def test_all_numbers_are_plain_and_named(self):
        found = TWELVE.scores()
        assert json.loads(json.dumps(found)) == found
        assert found == {
            "accuracy_interval": list(TWELVE.accuracy_interval),
            "most_frequent_share": 8 / 12,
            "learned": False,
            "balanced_accuracy": TWELVE.macro.recall,
            "macro": {
                "precision": TWELVE.macro.precision,
                "recall": TWELVE.macro.recall,
                "f1": TWELVE.macro.f1,
            },
            "weighted": {
                "precision": TWELVE.weighted.precision,
                "recall": TWELVE.weighted.recall,
                "f1": TWELVE.weighted.f1,
            },
            "top_2_accuracy": TWELVE.top_k_accuracy(2),
            "log_loss": TWELVE.log_loss,
            "calibration_error": TWELVE.calibration().error,
        }

    def test_top_k_accuracy_needs_more_than_k_classes(self):
        ten = evaluation([3], np.eye(10)[[3]], tuple("abcdefghij"))
        assert [name for name in ten.scores() if name.startswith("top")] == [
            "top_2_accuracy",
            "top_5_accuracy",
        ]
        two = evaluation([0], [[0.6, 0.4]], ("a", "b"))
        assert not [name for name in two.scores() if name.startswith("top")]


class TestCalibration:
    def test_by_hand(self):
        # The confidences of SIX, and whether they are right: 0.8 ✓  0.6 ✗  0.9 ✗  0.4 ✗  0.7 ✓  0.6 ✗
        for bins in (0, 2.5):
            with pytest.raises(ConfigError, match="bins"):
                SIX.calibration(bins)
        found = SIX.calibration(5)
        assert_allclose(found.edges, [0, 0.2, 0.4, 0.6, 0.8, 1])
        assert_array_equal(found.count, [0, 0, 1, 3, 2])
        assert_allclose(found.confidence, [0, 0, 0.4, (0.6 + 0.7 + 0.6) / 3, (0.8 + 0.9) / 2])
        assert_allclose(found.accuracy, [0, 0, 0, 1 / 3, 1 / 2])
        assert_allclose(found.error, (0.4 + (1.9 - 1) + (1.7 - 1)) / 6)
        assert isinstance(found.error, float)

    def test_there_are_ten_bins_by_default(self):
        found = SIX.calibration()
        assert_allclose(found.edges, np.arange(11) / 10)
        assert_array_equal(found.count, [0, 0, 0, 0, 1, 0, 2, 1, 1, 1])

    def test_certainty_is_in_the_last_bin(self):
        found = evaluation([0, 1, 1], [[1, 0, 0], [1, 0, 0], [0, 1, 0]]).calibration()
        assert_array_equal(found.count, [0] * 9 + [3])
        assert (found.confidence[-1], found.accuracy[-1]) == (1, 2 / 3)
        assert_allclose(found.error, 1 / 3)

    def test_empty_bins_are_0_and_add_no_error(self):
        found = evaluation([0], [[1.0, 0.0, 0.0]]).calibration()
        for values in (found.confidence, found.accuracy, found.count):
            assert_array_equal(values[:-1], np.zeros(9))
        assert found.error == 0

    def test_under_and_overconfidence_do_not_cancel_between_bins(self):
        # Two correct predictions at 75 %, and two wrong ones at 95 %.
        sure, modest = [0.95, 0.05], [0.75, 0.25]
        found = evaluation([0, 0, 1, 1], [modest, modest, sure, sure], ("a", "b")).calibration()
        assert_allclose(found.error, (2 * 0.25 + 2 * 0.95) / 4)

    def test_within_a_bin_they_cancel(self):
        found = evaluation([0, 1], [[0.5, 0.5], [0.5, 0.5]], ("a", "b")).calibration()
        assert_allclose(found.error, 0)

    def test_one_bin_is_the_difference_of_the_means(self):
        found = SIX.calibration(1)
        assert_allclose(found.error, abs(SIX.accuracy - SIX.probabilities.max(axis=1).mean()))
