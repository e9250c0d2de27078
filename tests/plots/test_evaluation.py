"""Figures of right and wrong answers: their pictures, texts and colors, as matplotlib has them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minicnn import plots
from minicnn.data import Dataset
from minicnn.errors import DataError
from tests.plots.figures import NAMES, data, evaluation, panels, title


class TestConfusionMatrix:
    def figure(self):
        return plots.confusion_matrix(evaluation([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 2]), "pets: matrix")

    def test_true_classes_go_down_and_predicted_ones_across(self):
        axes = self.figure().axes[0]
        assert axes.get_title() == "pets: matrix"
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
        assert [label.get_text() for label in axes.get_xticklabels()] == list(NAMES)
        assert [label.get_text() for label in axes.get_yticklabels()] == list(NAMES)

    def test_each_cell_has_its_count_except_zeros(self):
        texts = {text.get_position(): text.get_text() for text in self.figure().axes[0].texts}
        assert texts == {(0, 0): "3", (1, 0): "1", (1, 1): "1", (2, 1): "1"}  # (predicted, true)

    def test_the_shade_is_the_share_of_the_true_class(self):
        axes = self.figure().axes[0]
        shares = [[0.75, 0.25, 0], [0, 0.5, 0.5], [0, 0, 0]]  # no horse was in the set
        assert_allclose(axes.images[0].get_array(), shares)
        assert axes.images[0].get_clim() == (0, 1)

    def test_the_text_can_be_read_on_its_shade(self):
        colors = {text.get_position(): text.get_color() for text in self.figure().axes[0].texts}
        assert (colors[0, 0], colors[1, 0]) == ("white", "black")

    def test_by_default_the_title_tells_the_accuracy(self):
        figure = plots.confusion_matrix(evaluation([0, 1, 2], [0, 1, 0]))
        assert figure.axes[0].get_title() == "Confusion matrix, accuracy 66.67%"

    def test_one_class(self, tmp_path):
        figure = plots.confusion_matrix(evaluation([0, 0], [0, 0], names=("cat",)))
        assert [text.get_text() for text in figure.axes[0].texts] == ["2"]
        plots.save(figure, tmp_path / "a.png")

    def test_of_many_classes_the_shade_and_some_of_the_names(self):
        labels = np.arange(256)
        axes = plots.confusion_matrix(evaluation(labels, labels, names=tuple(map(str, labels)))).axes[0]
        assert not axes.texts
        named = [str(label) for label in range(0, 256, 6)]
        assert [label.get_text() for label in axes.get_xticklabels()] == named
        assert [label.get_text() for label in axes.get_yticklabels()] == named
        assert max(axes.figure.get_size_inches()) < 20


class TestMistakes:
    def test_the_most_confident_mistakes_come_first_with_both_names(self):
        labels = np.arange(12) % 3
        predicted = labels.copy()
        predicted[[2, 7, 9]] = [0, 2, 1]
        confidence = np.full(12, 0.8)
        confidence[[2, 7, 9]] = [0.6, 0.9995, 0.973]
        figure = plots.mistakes(data(), evaluation(labels, predicted, confidence), count=2)
        shown = panels(figure)
        assert [axes.get_title() for axes in shown] == [
            "is dog\ntaken for horse, >99.9%",
            "is cat\ntaken for dog, 97.3%",
        ]
        assert_array_equal(shown[0].images[0].get_array(), data().images[7, ..., 0])
        assert title(figure) == "pets: the most confident mistakes"

    @pytest.mark.parametrize(
        ("confidence", "text"),
        [(1.0, ">99.9%"), (0.9991, ">99.9%"), (0.999, "99.9%"), (0.9949, "99.5%"), (0.4, "40.0%")],
    )
    def test_only_certainty_is_100_percent(self, confidence, text):
        figure = plots.mistakes(data(1), evaluation([0], [1], [confidence]))
        assert panels(figure)[0].get_title().endswith(f"for dog, {text}")

    def test_an_evaluation_of_other_images_is_rejected(self):
        data = Dataset(np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 1]), NAMES)
        for labels in ([0, 1, 2], [1, 0]):
            with pytest.raises(DataError, match="expected the evaluation of these 2 images"):
                plots.mistakes(data, evaluation(labels, labels))

    def test_without_mistakes_the_figure_says_so(self, tmp_path):
        labels = np.arange(12) % 3
        figure = plots.mistakes(data(), evaluation(labels, labels))
        assert panels(figure) == []
        assert title(figure) == "pets: the most confident mistakes: there are none"
        plots.save(figure, tmp_path / "a.png")


class TestCalibration:
    def discs(self, figure):
        (found,) = figure.axes[0].collections
        return found

    def figure(self, **options):
        # Two of three answers with 65 % are right, the one with 25 % is wrong, the one with 100 % right.
        answers = evaluation([0, 1, 2, 0, 1], [0, 1, 0, 1, 1], [0.65, 0.65, 0.65, 0.25, 1.0], names=NAMES)
        return plots.calibration(answers, **options)

    def test_accuracy_is_drawn_against_confidence_where_there_are_images(self):
        discs = self.discs(self.figure()).get_offsets()
        found = evaluation([0, 1, 2, 0, 1], [0, 1, 0, 1, 1], [0.65, 0.65, 0.65, 0.25, 1.0]).calibration()
        used = found.count > 0
        assert used.sum() == len(discs) == 3
        assert_allclose(discs, np.column_stack([found.confidence[used], found.accuracy[used]]))
        assert_allclose(discs[1:], [[0.65, 2 / 3], [1, 1]])

    def test_the_area_of_a_disc_is_the_number_of_images(self):
        areas = self.discs(self.figure()).get_sizes()
        assert_allclose(areas / areas.sum(), [1 / 5, 3 / 5, 1 / 5])

    def test_the_diagonal_is_perfect_and_there_is_no_other_line(self):
        (diagonal,) = self.figure().axes[0].lines
        assert_array_equal(diagonal.get_xdata(), [0, 1])
        assert_array_equal(diagonal.get_ydata(), [0, 1])
        assert diagonal.get_label().startswith("perfect")

    def test_the_lower_panel_counts_images_by_confidence(self):
        above, below = self.figure().axes
        assert_allclose([bar.get_x() for bar in below.patches], np.arange(10) / 10, atol=1e-12)
        assert_allclose([bar.get_width() for bar in below.patches], 0.1)
        heights = [bar.get_height() for bar in below.patches]
        assert sum(heights) == 5
        assert (heights[6], heights[9]) == (3, 1)
        assert below.get_ylabel() == "images"
        assert below.get_xlabel() == "confidence: the highest probability"
        assert above.get_xlim() == below.get_xlim() == (0, 1)

    def test_the_expected_calibration_error_is_shown(self):
        texts = [text.get_text() for text in self.figure().axes[0].get_legend().get_texts()]
        answers = evaluation([0, 1, 2, 0, 1], [0, 1, 0, 1, 1], [0.65, 0.65, 0.65, 0.25, 1.0])
        error = f"expected calibration error {answers.calibration().error:.1%}"
        assert texts[1] == f"this model, the area by the number of images;\n{error}"

    def test_the_title_may_be_given(self):
        assert title(self.figure()) == "Calibration"
        assert title(self.figure(title="mine")) == "mine"

    @pytest.mark.parametrize("confidence", [0.34, 0.5, 1.0])
    def test_answers_that_are_all_as_confident_are_drawn(self, confidence, tmp_path):
        figure = plots.calibration(evaluation([0] * 5, [0] * 5, [confidence] * 5))
        assert len(self.discs(figure).get_offsets()) == 1
        plots.save(figure, tmp_path / "a.png")
