"""Shared by all figures: saving, probabilities, grids of images."""

import os
import struct

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_array_equal

from minicnn import plots
from minicnn.errors import OutputError
from minicnn.plots import style
from minicnn.plots.style import image_grid, percent
from tests.plots.figures import data, panels, title


class TestSave:
    def test_it_writes_a_png_of_150_dots_an_inch_and_nothing_else(self, tmp_path):
        figure = Figure(figsize=(2, 1))
        plots.save(figure, tmp_path / "a.png")
        content = (tmp_path / "a.png").read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">II", content[16:24]) == (300, 150)
        assert os.listdir(tmp_path) == ["a.png"]

    def test_it_is_a_png_under_any_name(self, tmp_path):
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

    def test_a_place_that_cannot_be_written_is_rejected(self, tmp_path):
        with pytest.raises(OutputError, match="folder of that name"):
            plots.save(Figure(figsize=(1, 1)), tmp_path)


@pytest.mark.parametrize(
    ("probability", "text"),
    [(1.0, ">99.9%"), (0.9991, ">99.9%"), (0.999, "99.9%"), (0.9949, "99.5%"), (0.4, "40.0%"), (0.0, "0.0%")],
)
def test_high_probabilities_are_not_rounded_up(probability, text):
    assert percent(probability) == text


def test_training_and_validation_differ_without_color():
    for name in ("color", "linestyle", "marker"):
        assert style.TRAINING[name] != style.VALIDATION[name]


class TestImageGrid:
    def places(self, figure):
        """Return row and column of each image."""
        spots = [axes.get_subplotspec() for axes in panels(figure)]
        return [(spot.rowspan.start, spot.colspan.start) for spot in spots]

    @pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (4, 2), (5, 3), (9, 3), (10, 4)])
    def test_it_is_square_by_default(self, count, columns):
        figure = image_grid(data(count).images, ["a"] * count, "t")
        assert self.places(figure) == [divmod(i, columns) for i in range(count)]

    def test_the_columns_may_be_given(self):
        figure = image_grid(data(7).images, ["a"] * 7, "t", columns=3)
        assert self.places(figure) == [divmod(i, 3) for i in range(7)]

    def test_each_image_is_below_its_caption(self):
        figure = image_grid(data(3).images, ["one", "two", "three"], "the title")
        assert title(figure) == "the title"
        assert [axes.get_title() for axes in panels(figure)] == ["one", "two", "three"]
        for axes, image in zip(panels(figure), data(3).images, strict=True):
            assert_array_equal(axes.images[0].get_array(), image[..., 0])
            assert not axes.axison

    @pytest.mark.parametrize("columns", [None, 5])
    def test_without_images_there_is_only_the_title(self, columns, tmp_path):
        figure = image_grid(np.empty((0, 5, 4, 1), np.uint8), [], "nothing", columns)
        assert panels(figure) == []
        plots.save(figure, tmp_path / "a.png")


class TestShow:
    def shown(self, image):
        axes = Figure().subplots()
        style.show(axes, image)
        return axes.images[0]

    @pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
    def test_three_and_four_channels_are_colors_else_the_first_is_gray(self, channels):
        (image,) = data(1, (5, 4, channels)).images
        picture = self.shown(image).get_array()
        assert_array_equal(picture, image if channels in (3, 4) else image[..., 0])

    @pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.float32, 1)])
    def test_black_and_white_are_those_of_the_dtype(self, dtype, white):
        assert self.shown(np.zeros((5, 4, 1), dtype)).get_clim() == (0, white)


@pytest.mark.parametrize("epochs", [1, 2, 30])
def test_epochs_are_counted_in_whole_numbers(epochs):
    axes = Figure().subplots()
    style.epoch_axis(axes, epochs)
    assert axes.get_xlabel() == "epoch"
    assert axes.get_xlim() == (0.5, epochs + 0.5)
    ticks = [tick for tick in axes.get_xticks() if 0.5 <= tick <= epochs + 0.5]
    assert ticks
    assert_array_equal(ticks, np.round(ticks))


def test_a_dollar_is_a_dollar_and_not_mathematics(tmp_path):
    figure = Figure()
    axes = figure.subplots()
    axes.set_title("cost $a_{$ x")
    axes.set_xticks([0, 1], ["$^", "b$_"])
    style.save(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_long_name_is_cut():
    assert style.short("x" * 22) == "x" * 22
    assert style.short("x" * 23) == "x" * 21 + "…"
