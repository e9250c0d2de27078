"""Figures: what is drawn and written on them, looked up in the figure itself."""

import os
import struct

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal

from minicnn import plots
from minicnn.data import Dataset
from minicnn.errors import OutputError
from minicnn.train import Evaluation, History

NAMES = ("cat", "dog", "horse")


def data(n=12, shape=(5, 4, 1), names=NAMES, seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)
    return Dataset(images, np.arange(n) % len(names), names, "pets")


def history(epochs=3, validation=True):
    filled = History("pets")
    for epoch in range(1, epochs + 1):
        row = {"epoch": epoch, "loss": 1 / epoch, "accuracy": 0.5 + epoch / 10}
        if validation:
            row |= {"val_loss": 2 / epoch, "val_accuracy": 0.4 + epoch / 10}
        filled.append(row)
    return filled


def evaluation(labels, predicted, confidence=None, names=NAMES):
    """Return the evaluation of a model that predicts these classes with these confidences."""
    confidence = np.full(len(labels), 0.9) if confidence is None else np.array(confidence)
    probabilities = np.repeat((1 - confidence)[:, None], len(names), axis=1) / max(len(names) - 1, 1)
    probabilities[np.arange(len(labels)), predicted] = confidence
    return Evaluation(0.5, np.array(labels), probabilities, names)


def title(figure):
    return figure.get_suptitle()


def panels(figure):
    """Return the axes that show an image."""
    return [axes for axes in figure.axes if axes.images]


class TestLearningCurves:
    def test_loss_and_accuracy_stand_side_by_side_against_the_epochs(self):
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

    def test_the_lines_are_named_and_differ_without_colour(self):
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


class TestConfusionMatrix:
    def figure(self):
        return plots.confusion_matrix(evaluation([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 2]), "pets: matrix")

    def test_true_classes_go_down_and_predicted_ones_across(self):
        axes = self.figure().axes[0]
        assert axes.get_title() == "pets: matrix"
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
        assert [label.get_text() for label in axes.get_xticklabels()] == list(NAMES)
        assert [label.get_text() for label in axes.get_yticklabels()] == list(NAMES)

    def test_each_count_stands_in_its_cell_and_zeros_are_left_out(self):
        texts = {text.get_position(): text.get_text() for text in self.figure().axes[0].texts}
        assert texts == {(0, 0): "3", (1, 0): "1", (1, 1): "1", (2, 1): "1"}  # (predicted, true)

    def test_the_shade_is_the_share_of_the_true_class(self):
        axes = self.figure().axes[0]
        shares = [[0.75, 0.25, 0], [0, 0.5, 0.5], [0, 0, 0]]  # no horse was in the set
        assert_allclose(axes.images[0].get_array(), shares)
        assert axes.images[0].get_clim() == (0, 1)

    def test_the_text_can_be_read_on_its_shade(self):
        colours = {text.get_position(): text.get_color() for text in self.figure().axes[0].texts}
        assert (colours[0, 0], colours[1, 0]) == ("white", "black")

    def test_by_default_the_title_tells_the_accuracy(self):
        figure = plots.confusion_matrix(evaluation([0, 1, 2], [0, 1, 0]))
        assert figure.axes[0].get_title() == "Confusion matrix, accuracy 66.67%"

    def test_one_class(self, tmp_path):
        figure = plots.confusion_matrix(evaluation([0, 0], [0, 0], names=("cat",)))
        assert [text.get_text() for text in figure.axes[0].texts] == ["2"]
        plots.save(figure, tmp_path / "a.png")


class TestSamples:
    def test_the_first_images_are_shown_with_their_classes(self):
        figure = plots.samples(data(), count=5)
        assert title(figure) == "pets: the first 5 images"
        shown = panels(figure)
        assert [axes.get_title() for axes in shown] == ["cat", "dog", "horse", "cat", "dog"]
        for axes, image in zip(shown, data().images, strict=False):
            assert_array_equal(axes.images[0].get_array(), image[..., 0])

    def test_there_are_nine_by_default_and_fewer_where_there_are_fewer(self):
        assert len(panels(plots.samples(data()))) == 9
        assert len(panels(plots.samples(data(2)))) == 2

    def test_the_title_may_be_given(self):
        assert title(plots.samples(data(), title="mine")) == "mine"

    @pytest.mark.parametrize(
        "shape", [(5, 4, 1), (1, 4, 1), (5, 1, 1), (1, 1, 1), (5, 4, 3), (1, 4, 3), (5, 4, 4)], ids=str
    )
    def test_every_size_of_grey_and_colour_images_is_drawn(self, shape):
        (image,) = [axes.images[0] for axes in panels(plots.samples(data(1, shape)))]
        assert image.get_array().shape == (shape[:2] if shape[2] == 1 else shape)

    @pytest.mark.parametrize("channels", [2, 5])
    def test_of_channels_that_are_no_colours_the_first_is_drawn(self, channels, tmp_path):
        images = data(2, (5, 4, channels))
        figure = plots.samples(images)
        for axes, image in zip(panels(figure), images.images, strict=True):
            assert_array_equal(axes.images[0].get_array(), image[..., 0])
        plots.save(figure, tmp_path / "a.png")

    def test_black_and_white_are_those_of_the_dtype_not_of_the_image(self):
        for images, white in ((data(1).images // 2, 255), (data(1).images / 512, 1)):
            image = panels(plots.samples(Dataset(images, np.array([0]))))[0].images[0]
            assert image.get_clim() == (0, white)

    def test_a_set_of_one_class(self):
        figure = plots.samples(data(3, names=("cat",)))
        assert [axes.get_title() for axes in panels(figure)] == ["cat"] * 3


class TestMistakes:
    def test_the_most_confident_ones_come_first_with_what_was_said(self):
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
    def test_what_is_not_certain_is_not_called_certain(self, confidence, text):
        figure = plots.mistakes(data(1), evaluation([0], [1], [confidence]))
        assert panels(figure)[0].get_title().endswith(f"for dog, {text}")

    def test_without_mistakes_the_figure_says_so(self, tmp_path):
        labels = np.arange(12) % 3
        figure = plots.mistakes(data(), evaluation(labels, labels))
        assert panels(figure) == []
        assert title(figure) == "pets: the most confident mistakes: there are none"
        plots.save(figure, tmp_path / "a.png")


class TestSave:
    def test_it_writes_a_png_of_150_dots_an_inch_and_nothing_else(self, tmp_path):
        figure = Figure(figsize=(2, 1))
        plots.save(figure, tmp_path / "a.png")
        content = (tmp_path / "a.png").read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">II", content[16:24]) == (300, 150)
        assert os.listdir(tmp_path) == ["a.png"]

    def test_it_is_a_png_whatever_the_name(self, tmp_path):
        plots.save(Figure(figsize=(1, 1)), str(tmp_path / "figure.out"))
        assert (tmp_path / "figure.out").read_bytes().startswith(b"\x89PNG")

    def test_a_failure_leaves_the_old_file(self, tmp_path):
        class Broken(Figure):
            def savefig(self, file, **_):
                file.write_bytes(b"half")
                raise RuntimeError("no more ink")

        (tmp_path / "a.png").write_bytes(b"old")
        with pytest.raises(RuntimeError, match="ink"):
            plots.save(Broken(), tmp_path / "a.png")
        assert (tmp_path / "a.png").read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["a.png"]

    def test_a_place_that_cannot_be_written_is_refused(self, tmp_path):
        with pytest.raises(OutputError, match="folder of that name"):
            plots.save(Figure(figsize=(1, 1)), tmp_path)
