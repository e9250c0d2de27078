"""Figures of data sets: their pictures, texts and colors, as matplotlib has them."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minicnn import plots
from minicnn.data import Dataset
from tests.plots.figures import NAMES, data, panels, title


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
    def test_every_size_of_gray_and_color_images_is_drawn(self, shape):
        (image,) = [axes.images[0] for axes in panels(plots.samples(data(1, shape)))]
        assert image.get_array().shape == (shape[:2] if shape[2] == 1 else shape)

    @pytest.mark.parametrize("channels", [2, 5])
    def test_without_colors_the_first_channel_is_drawn(self, channels, tmp_path):
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


class TestClassCounts:
    def test_training_and_test_are_side_by_side_for_each_class(self):
        figure = plots.class_counts(data(11), data(4))
        (axes,) = figure.axes
        training, test = axes.containers
        assert [bar.get_height() for bar in training] == [4, 4, 3]
        assert [bar.get_height() for bar in test] == [2, 1, 1]
        for left, right, place in zip(training, test, axes.get_xticks(), strict=True):
            assert_allclose(left.get_x() + left.get_width(), place, atol=1e-12)
            assert_allclose(right.get_x(), place, atol=1e-12)
        assert [label.get_text() for label in axes.get_xticklabels()] == list(NAMES)
        assert axes.get_ylabel() == "images"

    def test_the_bars_are_named_and_differ_without_color(self):
        figure = plots.class_counts(data(1200), data(4))
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.get_texts()] == [
            "training, 1,200 images",
            "test, 4 images",
        ]
        hatches = [bars[0].get_hatch() or "" for bars in figure.axes[0].containers]
        assert hatches == ["", "//"]

    def test_the_title_may_be_given(self):
        assert title(plots.class_counts(data(), data())) == "pets: images of each class"
        assert title(plots.class_counts(data(), data(), "mine")) == "mine"

    def test_a_class_without_images_has_no_bar(self, tmp_path):
        figure = plots.class_counts(data(2), replace(data(1), labels=np.array([2])))
        training, test = figure.axes[0].containers
        assert [bar.get_height() for bar in training] == [1, 1, 0]
        assert [bar.get_height() for bar in test] == [0, 0, 1]
        plots.save(figure, tmp_path / "a.png")

    @pytest.mark.parametrize("names", [("cat",), tuple(f"a long class name {i}" for i in range(12))])
    def test_one_class_and_many_with_long_names_are_drawn(self, names, tmp_path):
        plots.save(plots.class_counts(data(20, names=names), data(5, names=names)), tmp_path / "a.png")


class TestClassMeans:
    @pytest.mark.parametrize("shape", [(5, 4, 1), (5, 4, 3)], ids=str)
    def test_each_class_is_averaged_on_0_to_1(self, shape):
        pets = data(11, shape)
        figure = plots.class_means(pets)
        assert [axes.get_title() for axes in panels(figure)] == list(NAMES)
        for label, axes in enumerate(panels(figure)):
            mean = pets.images[label::3].astype(float).mean(axis=0) / 255
            assert_allclose(axes.images[0].get_array(), mean[..., 0] if shape[2] == 1 else mean)

    def test_of_gray_images_black_is_0_and_white_is_1(self):
        for axes in panels(plots.class_means(data())):
            assert axes.images[0].get_clim() == (0, 1)

    def test_floating_images_are_not_scaled(self):
        floating = Dataset(np.array([0.25, 0.75]).reshape(2, 1, 1, 1), np.array([0, 0]), ("cat",))
        (axes,) = panels(plots.class_means(floating))
        assert_array_equal(axes.images[0].get_array(), [[0.5]])

    def test_classes_without_images_are_left_out(self):
        some = replace(data(4), labels=np.array([2, 0, 2, 0]))
        shown = panels(plots.class_means(some))
        assert [axes.get_title() for axes in shown] == ["cat", "horse"]
        mean = some.images[[0, 2], ..., 0].mean(axis=0) / 255
        assert_allclose(shown[1].images[0].get_array(), mean)

    def test_there_are_five_in_a_row(self, tmp_path):
        figure = plots.class_means(data(24, names=tuple("abcdefgh")))
        places = [axes.get_subplotspec() for axes in panels(figure)]
        assert [(place.rowspan.start, place.colspan.start) for place in places] == [
            *((0, column) for column in range(5)),
            *((1, column) for column in range(3)),
        ]
        plots.save(figure, tmp_path / "a.png")

    def test_the_title_may_be_given(self):
        assert title(plots.class_means(data())) == "pets: the mean image of each class"
        assert title(plots.class_means(data(), "mine")) == "mine"
