"""Learning curves: their pictures, texts and colors, as matplotlib has them."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal

from minicnn import plots
from minicnn.train import History
from tests.plots.figures import title


def history(epochs=3, validation=True):
    filled = History("pets")
    for epoch in range(1, epochs + 1):
        row = {"epoch": epoch, "loss": 1 / epoch, "accuracy": 0.5 + epoch / 10}
        if validation:
            row |= {"val_loss": 2 / epoch, "val_accuracy": 0.4 + epoch / 10}
        filled.append(row)
    return filled


class TestLearningCurves:
    def test_loss_and_accuracy_are_side_by_side_against_the_epochs(self):
        figure = plots.learning_curves(history(), "pets: curves")
        assert isinstance(figure, Figure)
        assert title(figure) == "pets: curves"
        loss, accuracy = figure.axes
        assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss (cross-entropy)", "accuracy (%)")
        assert (loss.get_xlabel(), accuracy.get_xlabel()) == ("epoch", "epoch")

    def test_training_and_validation_are_drawn_in_per_cent_for_accuracy(self):
        loss, accuracy = plots.learning_curves(history()).axes
        training, validation = loss.lines
        assert_array_equal(training.get_xdata(), [1, 2, 3])
        assert_allclose(training.get_ydata(), [1, 1 / 2, 1 / 3])
        assert_allclose(validation.get_ydata(), [2, 1, 2 / 3])
        assert_allclose(accuracy.lines[0].get_ydata(), [60, 70, 80])
        assert_allclose(accuracy.lines[1].get_ydata(), [50, 60, 70])

    def test_the_lines_are_named_and_differ_without_color(self):
        axes = plots.learning_curves(history()).axes[0]
        texts = [text.get_text() for text in axes.get_legend().get_texts()]
        assert [text.split()[0] for text in texts] == ["training", "validation"]
        training, validation = axes.lines
        assert training.get_linestyle() != validation.get_linestyle()
        assert training.get_marker() != validation.get_marker()

    @pytest.mark.parametrize("epochs", [1, 2, 30])
    def test_the_ticks_are_whole_epochs(self, epochs):
        for axes in plots.learning_curves(history(epochs)).axes:
            assert axes.get_xlim() == (0.5, epochs + 0.5)
            ticks = [tick for tick in axes.get_xticks() if 0.5 <= tick <= epochs + 0.5]
            assert ticks
            assert_array_equal(ticks, np.round(ticks))

    @pytest.mark.parametrize("epochs", [1, 4])
    def test_without_validation_there_is_one_line(self, epochs, tmp_path):
        figure = plots.learning_curves(history(epochs, validation=False))
        assert [len(axes.lines) for axes in figure.axes] == [1, 1]
        assert title(figure) == "Learning curves"
        plots.save(figure, tmp_path / "a.png")
