"""Figures of cross-validation: their pictures, texts and colors, as matplotlib has them."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minicnn import plots
from minicnn.errors import ConfigError
from minicnn.metrics import Evaluation
from minicnn.plots.folds import accuracy_boxes, fold_curves
from minicnn.plots.style import TRAINING, VALIDATION
from minicnn.train import History
from minicnn.train.crossval import CrossValidation


def history(epochs, start):
    filled = History("pets")
    for epoch in range(1, epochs + 1):
        loss, accuracy = start / epoch, start / 10 + epoch / 10
        row = {"loss": loss, "val_loss": 2 * loss, "accuracy": accuracy, "val_accuracy": accuracy / 2}
        filled.append({"epoch": epoch, **row})
    return filled


def folds(right=(5, 8, 6), name="plain", epochs=(3, 3, 3), size=10):
    """Return a cross-validation with this number of each fold's ten images classified correctly."""
    labels = np.zeros(size, np.int64)
    evaluations = [
        Evaluation(0.5, labels, np.eye(2)[(np.arange(size) >= count).astype(int)], ("cat", "dog"))
        for count in right
    ]
    histories = [history(n, start + 1) for start, n in enumerate(epochs)]
    return CrossValidation(name, tuple(histories), tuple(evaluations))


class TestFoldCurves:
    def test_each_fold_and_the_mean_are_drawn(self):
        loss, accuracy = fold_curves(folds()).axes
        for axes, one, scale in ((loss, [1, 1 / 2, 1 / 3], 1), (accuracy, [20, 30, 40], 1 / 2)):
            assert len(axes.lines) == 8
            training, validation = axes.lines[:4], axes.lines[4:]
            assert_allclose(training[0].get_ydata(), one)
            for lines in (training, validation):
                single = [line.get_ydata() for line in lines[:3]]
                assert_allclose(lines[3].get_ydata(), np.mean(single, axis=0))
                assert_array_equal(lines[3].get_xdata(), [1, 2, 3])
            factor = 2 if axes is loss else scale
            for line, other in zip(training, validation, strict=True):
                assert_allclose(other.get_ydata(), factor * line.get_ydata())

    def test_the_mean_is_thick_and_validation_dashed(self):
        for axes in fold_curves(folds()).axes:
            widths = [line.get_linewidth() for line in axes.lines]
            assert min(widths[3], widths[7]) > 2 * max(widths[:3] + widths[4:7])
            assert {line.get_linestyle() for line in axes.lines[:4]} == {"-"}
            assert {line.get_linestyle() for line in axes.lines[4:]} == {"--"}
            assert {line.get_color() for line in axes.lines[:4]} == {TRAINING["color"]}
            assert {line.get_color() for line in axes.lines[4:]} == {VALIDATION["color"]}

    def test_axes_and_title_are_labeled(self):
        figure = fold_curves(folds())
        assert figure.get_suptitle() == "plain: learning curves of 3 folds and their mean"
        loss, accuracy = figure.axes
        assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss (cross-entropy)", "accuracy (%)")
        assert (loss.get_xlabel(), accuracy.get_xlabel()) == ("epoch", "epoch")
        for axes in figure.axes:
            texts = [text.get_text() for text in axes.get_legend().get_texts()]
            assert [text.split()[0] for text in texts] == ["training", "validation"]
            ticks = [tick for tick in axes.get_xticks() if 0.5 <= tick <= 3.5]
            assert_array_equal(ticks, [1, 2, 3])
        assert fold_curves(folds(), "mine").get_suptitle() == "mine"

    def test_the_mean_ends_where_the_first_fold_stopped(self, tmp_path):
        figure = fold_curves(folds(epochs=(4, 2, 1)))
        for axes in figure.axes:
            assert [len(line.get_xdata()) for line in axes.lines] == [4, 2, 1, 1, 4, 2, 1, 1]
            assert axes.get_xlim() == (0.5, 4.5)
        plots.save(figure, tmp_path / "a.png")


class TestAccuracyBoxes:
    def test_the_folds_are_points_joined_across_the_models(self):
        axes = accuracy_boxes([folds((5, 8, 6)), folds((6, 9, 10), "wide")]).axes[0]
        points = [line for line in axes.lines if line.get_marker() == "o"]
        assert_allclose([line.get_ydata() for line in points], [[50, 60], [80, 90], [60, 100]])
        assert_array_equal([line.get_xdata() for line in points], [[0, 1]] * 3)
        assert {line.get_linestyle() for line in points} == {"-"}

    def test_median_mean_and_whole_range_by_hand(self):
        axes = accuracy_boxes([folds((1, 5, 6, 6, 7), epochs=(1,) * 5)]).axes[0]
        drawn = [tuple(np.unique(line.get_ydata())) for line in axes.lines if line.get_marker() != "o"]
        assert (60.0,) in drawn  # the median
        (mean,) = [line for line in axes.lines if line.get_marker() == "D"]
        assert_allclose(mean.get_ydata(), [50])
        assert {(10.0, 50.0), (60.0, 70.0)} <= set(drawn)  # the whiskers, from the quartiles to the ends

    def test_models_are_named_with_their_numbers(self):
        axes = accuracy_boxes([folds(), folds((6, 9, 9), "wide")]).axes[0]
        labels = [label.get_text() for label in axes.get_xticklabels()]
        assert labels == ["plain\n63.33 ± 15.28 %", "wide\n80.00 ± 17.32 %"]
        assert axes.get_ylabel() == "accuracy of a fold (%)"
        assert axes.get_title() == "Accuracy on 3 folds"
        texts = [text.get_text() for text in axes.get_legend().get_texts()]
        assert texts == ["one fold", "median", "mean"]

    def test_the_title_may_be_given(self):
        assert accuracy_boxes([folds()], "mine").axes[0].get_title() == "mine"

    def test_names_do_not_run_into_each_other(self):
        figure = accuracy_boxes([folds(name=f"a model with a rather long name, {i}") for i in range(6)])
        figure.draw_without_rendering()
        boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
        for left, right in pairwise(boxes):
            assert left.x1 < right.x0

    def test_equal_folds_are_drawn(self, tmp_path):
        plots.save(accuracy_boxes([folds((10, 10, 10))]), tmp_path / "a.png")

    def test_rejects_models_on_other_folds(self):
        with pytest.raises(ConfigError, match="plain and other were not evaluated on the same folds"):
            accuracy_boxes([folds(), folds((5, 8), "other")])

    def test_rejects_to_draw_nothing(self):
        with pytest.raises(ConfigError, match="at least one cross-validation"):
            accuracy_boxes([])
