"""The numbers that judge a classifier, against values computed by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from minicnn.errors import ConfigError
from minicnn.train.metrics import Evaluation, class_scores, confusion_matrix

# True class down, predicted across. Class c is never met and never called, d never met but called.
CONFUSION = np.array([[3, 1, 0, 0], [2, 4, 0, 2], [0, 0, 0, 0], [0, 0, 0, 0]])


def evaluation(labels, probabilities, names=("cat", "dog", "horse")):
    return Evaluation(0.5, np.array(labels), np.array(probabilities), names)


SIX = evaluation(
    labels=[0, 1, 2, 0, 1, 2],
    probabilities=[
        [0.8, 0.1, 0.1],  # right
        [0.6, 0.4, 0.0],  # dog taken for cat, 60 %
        [0.0, 0.9, 0.1],  # horse taken for dog, 90 %
        [0.3, 0.3, 0.4],  # cat taken for horse, 40 %
        [0.1, 0.7, 0.2],  # right
        [0.6, 0.1, 0.3],  # horse taken for cat, 60 %
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
        assert_array_equal(scores.support, [4, 8, 0, 0])

    def test_a_ratio_without_any_image_is_0(self):
        scores = class_scores(CONFUSION)
        for values in (scores.precision, scores.recall, scores.f1):
            assert_array_equal(values[2:], [0, 0])

    def test_all_right_is_1(self):
        scores = class_scores(np.diag([3, 1, 7]))
        for values in (scores.precision, scores.recall, scores.f1):
            assert_array_equal(values, [1, 1, 1])


class TestEvaluation:
    def test_predicted_accuracy_and_confusion(self):
        assert_array_equal(SIX.predicted, [0, 0, 1, 2, 1, 0])
        assert SIX.accuracy == 2 / 6
        assert isinstance(SIX.accuracy, float)
        assert_array_equal(SIX.confusion, [[1, 0, 1], [1, 1, 0], [1, 1, 0]])

    def test_mistakes_come_most_confident_first_and_equal_ones_in_order(self):
        assert_array_equal(SIX.mistakes(), [2, 1, 5, 3])

    def test_a_hundred_equal_mistakes_stay_in_order(self):
        many = evaluation([0] * 100, [[0.2, 0.8 - k % 2 / 10, k % 2 / 10] for k in range(100)])
        assert_array_equal(many.mistakes(), [*range(0, 100, 2), *range(1, 100, 2)])

    def test_without_mistakes_there_are_none(self):
        assert len(evaluation([0, 1], [[0.9, 0.1], [0.2, 0.8]], ("a", "b")).mistakes()) == 0

    def test_a_class_without_images_still_has_its_row_and_column(self):
        assert evaluation([0, 0], [[1, 0, 0], [1, 0, 0]]).confusion.shape == (3, 3)

    def test_printed_it_says_loss_and_accuracy(self):
        assert str(SIX) == "loss 0.5000, accuracy 33.33%"

    def test_as_the_value_of_a_cell_it_is_one_line_too(self):
        assert repr(SIX) == "Evaluation(6 images of 3 classes: loss 0.5000, accuracy 33.33%)"

    def test_the_table(self):
        assert SIX.table() == (
            "class  precision   recall       F1  images\n"
            "cat       33.33%   50.00%   40.00%       2\n"
            "dog       50.00%   50.00%   50.00%       2\n"
            "horse      0.00%    0.00%    0.00%       2"
        )

    def test_a_score_without_an_image_to_count_is_a_dash(self):
        # Every cat is taken for a horse; nothing is called cat, and there are no horses.
        shown = evaluation([0, 0, 1], [[0.1, 0.1, 0.8], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1]])
        assert shown.class_rows(decimals=1) == [
            ("cat", "–", "0.0%", "0.0%", "2"),
            ("dog", "100.0%", "100.0%", "100.0%", "1"),
            ("horse", "0.0%", "–", "–", "0"),
        ]
        assert shown.table().splitlines()[1::2] == [
            "cat            –    0.00%    0.00%       2",
            "horse      0.00%        –        –       0",
        ]

    def test_the_table_lines_up_for_long_names_and_for_100_per_cent(self):
        lines = evaluation([0], [[0.9, 0.1]], ("a very long name", "b")).table().splitlines()
        assert len({len(line) for line in lines}) == 1

    def test_it_cannot_be_changed(self):
        with pytest.raises(AttributeError):
            SIX.loss = 0.0


class TestCalibration:
    def test_by_hand(self):
        # The confidences of SIX, with what is right: 0.8 ✓  0.6 ✗  0.9 ✗  0.4 ✗  0.7 ✓  0.6 ✗
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

    def test_there_are_ten_bins_unless_told(self):
        found = SIX.calibration()
        assert_allclose(found.edges, np.arange(11) / 10)
        assert_array_equal(found.count, [0, 0, 0, 0, 1, 0, 2, 1, 1, 1])

    def test_certainty_is_in_the_last_bin(self):
        found = evaluation([0, 1, 1], [[1, 0, 0], [1, 0, 0], [0, 1, 0]]).calibration()
        assert_array_equal(found.count, [0] * 9 + [3])
        assert (found.confidence[-1], found.accuracy[-1]) == (1, 2 / 3)
        assert_allclose(found.error, 1 / 3)

    def test_empty_bins_hold_0_and_cost_nothing(self):
        found = evaluation([0], [[1.0, 0.0, 0.0]]).calibration()
        for values in (found.confidence, found.accuracy, found.count):
            assert_array_equal(values[:-1], np.zeros(9))
        assert found.error == 0

    def test_too_modest_and_too_sure_count_alike_and_do_not_cancel_between_bins(self):
        # All of two answers right at 75 %, and all of two wrong at 95 %.
        sure, modest = [0.95, 0.05], [0.75, 0.25]
        found = evaluation([0, 0, 1, 1], [modest, modest, sure, sure], ("a", "b")).calibration()
        assert_allclose(found.error, (2 * 0.25 + 2 * 0.95) / 4)

    def test_within_a_bin_they_do(self):
        found = evaluation([0, 1], [[0.5, 0.5], [0.5, 0.5]], ("a", "b")).calibration()
        assert_allclose(found.error, 0)

    def test_one_bin_is_the_difference_of_the_means(self):
        found = SIX.calibration(1)
        assert_allclose(found.error, abs(SIX.accuracy - SIX.probabilities.max(axis=1).mean()))
