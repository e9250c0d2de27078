"""Figures of networks: their pictures, texts and colors, as matplotlib has them."""

import numpy as np
import pytest
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Annotation
from numpy.testing import assert_allclose, assert_array_equal

from minicnn import layers as L
from minicnn.errors import ConfigError, ShapeError
from minicnn.model import Sequential
from minicnn.plots import network, save
from tests.plots.figures import panels


def model(channels=1, filters=3):
    layers = [L.Conv2D(filters, (2, 3), padding="same"), L.BatchNorm(), L.ReLU(), L.MaxPool2D(2)]
    layers += [L.Conv2D(5, 2, use_bias=False), L.Dropout(0.25), L.Flatten(), L.Dense(10)]
    return Sequential(layers, (8, 6, channels))


def deep(layers):
    return Sequential([*(L.Conv2D(8, 3, padding="same") for _ in range(layers))], (8, 6, 1))


def boxes(figure):
    """Return the boxes, each with the two texts inside it."""
    (axes,) = figure.axes
    patches = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    found = []
    for patch in patches:
        x, y, width, height = patch.get_x(), patch.get_y(), patch.get_width(), patch.get_height()
        inside = [
            text.get_text()
            for text in axes.texts
            if x < text.get_position()[0] < x + width and y < text.get_position()[1] < y + height
        ]
        found.append((patch, [text for text in inside if text]))
    return found


def pictures(figure):
    return [np.asarray(axes.images[0].get_array()) for axes in panels(figure)]


def captions(figure):
    return [axes.get_title() for axes in panels(figure)]


class TestModelGraph:
    def test_every_layer_has_a_box_in_order_with_arguments_shape_and_parameters(self):
        assert [texts for _, texts in boxes(network.model_graph(model()))] == [
            ["Input", "8 × 6 × 1"],
            ["Conv2D  3, 2×3, padding same", "conv2d_1   8 × 6 × 3   21 parameters"],
            ["BatchNorm", "batchnorm_1   8 × 6 × 3   6 parameters"],
            ["ReLU", "relu_1   8 × 6 × 3"],
            ["MaxPool2D", "maxpool2d_1   4 × 3 × 3"],
            ["Conv2D  5, 2×2, use_bias False", "conv2d_2   3 × 2 × 5   60 parameters"],
            ["Dropout  0.25", "dropout_1   3 × 2 × 5"],
            ["Flatten", "flatten_1   30"],
            ["Dense  10", "dense_1   10   310 parameters"],
        ]

    @pytest.mark.parametrize(
        ("layer", "heading"),
        [
            (L.Conv2D(4, 3, strides=2), "Conv2D  4, 3×3, strides 2×2"),
            (L.Conv2D(4, 3, dilation_rate=(1, 2)), "Conv2D  4, 3×3, dilation_rate 1×2"),
            (L.Conv2D(4, 3, padding=1), "Conv2D  4, 3×3, padding ((1, 1), (1, 1))"),
            (
                L.MaxPool2D(3, strides=2, padding="same"),
                "MaxPool2D  pool_size 3×3, strides 2×2, padding same",
            ),
            (L.AvgPool2D((2, 3), strides=(2, 3)), "AvgPool2D  pool_size 2×3"),
            (L.GlobalAvgPool2D(), "GlobalAvgPool2D"),
            (L.LeakyReLU(0.1), "LeakyReLU  negative_slope 0.1"),
        ],
        ids=repr,
    )
    def test_arguments_are_shown_unless_they_are_the_default(self, layer, heading):
        layer.in_model = False  # each test makes a model with it
        _, (_, texts) = boxes(network.model_graph(Sequential([layer], (8, 6, 1))))
        assert texts[0] == heading

    def test_a_custom_layer_is_drawn_from_its_attributes(self, tmp_path):
        class Mix(L.Layer):
            def __init__(self, factors, power=2.0, unstored=None):
                super().__init__()
                self.factors, self.power = np.array(factors), power

            def param_shapes(self, input_shape):
                return {"a": (3,)}

            def _build(self, input_shape, rng):
                self.params["a"] = np.ones(3, self.dtype)

            def for_inference(self):
                return None

        figure = network.model_graph(Sequential([Mix([1, 2], power=3.0)], (8, 6, 1)))
        _, (patch, texts) = boxes(figure)
        assert texts == ["Mix  [1 2], power 3", "mix_1   8 × 6 × 1   3 parameters"]
        assert patch.get_linestyle() == "--"
        save(figure, tmp_path / "a.png")

    def test_filters_of_a_custom_convolution_are_drawn(self):
        class Blur(L.Conv2D):
            pass

        figure = network.filters(Sequential([L.ReLU(), Blur(4, 3)], (8, 6, 1)))
        assert figure.get_suptitle() == "blur_1: 4 filters of 3×3×1"

    def test_kinds_differ_in_gray_and_by_their_border(self):
        drawn = {
            texts[0].split()[0]: patch
            for patch, texts in boxes(network.model_graph(model()))
            if len(texts) == 2
        }
        gray = {
            kind: np.dot(drawn[kind].get_facecolor()[:3], [0.299, 0.587, 0.114])
            for kind in ("Conv2D", "Dense", "BatchNorm", "MaxPool2D", "ReLU", "Flatten")
        }
        assert np.diff(sorted(gray.values())).min() > 0.03
        assert min(gray.values()) > 0.6  # black text can be read on it
        assert drawn["Dense"].get_linewidth() > drawn["Flatten"].get_linewidth()
        assert drawn["Dropout"].get_linestyle() != drawn["Flatten"].get_linestyle()

    def test_the_title_may_be_given_and_else_counts(self):
        assert network.model_graph(model(), "mine").get_suptitle() == "mine"
        assert network.model_graph(model()).get_suptitle() == "8 layers, 397 parameters"

    @pytest.mark.parametrize(("layers", "columns"), [(1, 1), (11, 1), (12, 2), (23, 2), (24, 3), (40, 3)])
    def test_a_long_model_is_folded_into_columns_that_fit_a_page(self, layers, columns, tmp_path):
        figure = network.model_graph(deep(layers))
        drawn = [patch for patch, _ in boxes(figure)]
        assert len(drawn) == layers + 1
        left = [patch.get_x() for patch in drawn]
        assert left == sorted(left)
        assert len(set(left)) == columns
        assert figure.get_figwidth() < 9.5
        save(figure, tmp_path / "a.png")

    @pytest.mark.parametrize("layers", [1, 12, 30])
    def test_boxes_are_inside_the_figure_and_do_not_overlap(self, layers):
        figure = network.model_graph(deep(layers))
        (axes,) = figure.axes
        figure.draw_without_rendering()
        width, height = figure.bbox.size
        for artist in (*axes.patches, *axes.lines, *axes.texts):
            box = artist.get_window_extent()
            assert box.x0 >= 0
            assert box.y0 >= 0
            assert box.x1 <= width
            assert box.y1 <= height
        extents = [patch.get_window_extent() for patch, _ in boxes(figure)]
        for i, box in enumerate(extents):
            assert not any(box.overlaps(other) for other in extents[:i])

    def test_arrows_lead_from_each_box_to_the_next(self):
        figure = network.model_graph(deep(14))  # the eighth box is the last of its column
        (axes,) = figure.axes
        drawn = [patch for patch, _ in boxes(figure)]
        arrows = [text for text in axes.texts if isinstance(text, Annotation)]
        assert len(arrows) == 14
        for arrow, box in zip(arrows, drawn[1:], strict=True):
            top = box.get_x() + box.get_width() / 2, box.get_y() + box.get_height()
            assert_allclose(arrow.xy, top)
        (corner,) = axes.lines
        assert_allclose(corner.get_ydata()[0], drawn[7].get_y())

    def test_long_texts_stay_in_their_boxes_and_a_long_title_in_the_figure(self):
        class ConvolutionWithAVeryLongNameOfItsOwn(L.Conv2D):
            pass

        padding = ((10, 11), (12, 13))
        wide = ConvolutionWithAVeryLongNameOfItsOwn(
            1024, (11, 13), strides=(3, 4), padding=padding, dilation_rate=(2, 3)
        )
        figure = network.model_graph(Sequential([wide], (64, 48, 16)), "a model with a title " * 3)
        figure.draw_without_rendering()
        (axes,) = figure.axes
        box = boxes(figure)[1][0].get_window_extent()
        texts = [text for text in axes.texts if "onv" in text.get_text()]
        assert len(texts) == 2
        for text in texts:
            assert box.x0 < text.get_window_extent().x0
            assert text.get_window_extent().x1 < box.x1
        (title,) = figure.texts
        assert title.get_window_extent().x0 >= 0


class TestFilters:
    def test_with_one_channel_the_weights_of_the_first_convolution_are_drawn(self):
        drawn = model()
        figure = network.filters(drawn)
        W = drawn.layers[0].params["W"]
        assert captions(figure)[:3] == ["0", "1", "2"]
        for k, picture in enumerate(pictures(figure)[:3]):
            assert_array_equal(picture, W[:, :, 0, k])
        assert figure.get_suptitle() == "conv2d_1: 3 filters of 2×3×1"

    def test_zero_is_the_middle_of_one_scale_for_all_that_goes_from_black_to_white(self):
        drawn = model()
        limit = abs(drawn.layers[0].params["W"]).max()
        shown = [axes.images[0] for axes in panels(network.filters(drawn)) if axes.get_title()]
        assert {image.get_clim() for image in shown} == {(-limit, limit)}
        assert {image.get_cmap().name for image in shown} == {"gray"}

    def test_with_more_channels_it_is_their_norm(self):
        drawn = model(channels=3)
        W = drawn.layers[0].params["W"]
        figure = network.filters(drawn)
        for k, picture in enumerate(pictures(figure)[:3]):
            assert_allclose(picture, np.linalg.norm(W[:, :, :, k], axis=2), rtol=1e-6)
        image = panels(figure)[0].images[0]
        assert_allclose(image.get_clim(), (0, np.linalg.norm(W, axis=2).max()), rtol=1e-6)
        assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == ["norm of the weights"]

    def test_another_convolution_may_be_named(self):
        figure = network.filters(model(), "conv2d_2", "mine")
        assert figure.get_suptitle() == "mine"
        assert len([text for text in captions(figure) if text]) == 5

    def test_there_are_at_most_64(self, tmp_path):
        figure = network.filters(model(filters=70))
        assert len([text for text in captions(figure) if text]) == 64
        assert figure.get_suptitle() == "conv2d_1: the first 64 of 70 filters of 2×3×1"
        assert figure.get_figwidth() < 9.5
        save(figure, tmp_path / "a.png")

    @pytest.mark.parametrize("name", ["conv2d_9", "dense_1"])
    def test_a_layer_that_is_not_a_convolution_is_rejected(self, name):
        with pytest.raises(ConfigError, match=f"no convolution '{name}': choose one of conv2d_1, conv2d_2"):
            network.filters(model(), name)

    def test_a_model_without_convolutions_is_rejected(self):
        with pytest.raises(ConfigError, match="has no convolution"):
            network.filters(Sequential([L.Flatten(), L.Dense(2)], (4, 4, 1)))


class TestFeatureMaps:
    def maps(self, channels=5):
        return np.random.default_rng(0).normal(size=(4, 3, channels))

    def test_the_channels_are_drawn_numbered_on_one_scale(self):
        maps = self.maps()
        figure = network.feature_maps(maps, "relu_1")
        assert figure.get_suptitle() == "relu_1: 5 channels"
        assert [text for text in captions(figure) if text] == list("01234")
        for k, picture in enumerate(pictures(figure)[:5]):
            assert_array_equal(picture, maps[..., k])
        shown = [axes.images[0] for axes in panels(figure) if axes.get_title()]
        assert len({image.get_clim() for image in shown}) == 1

        assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == ["activation"]

    def test_maps_of_one_value_are_all_of_one_color(self):
        figure = network.feature_maps(np.zeros((5, 5, 4)))
        shown = [axes.images[0] for axes in panels(figure) if axes.get_title()]
        assert [image.get_clim() for image in shown] == 4 * [(0, 1)]

    def scale(self, maps):
        image = panels(network.feature_maps(maps))[0].images[0]
        return image.get_clim(), image.get_cmap()

    def test_without_negative_values_the_scale_starts_at_the_smallest(self):
        maps = abs(self.maps()) + 0.5
        limits, colors = self.scale(maps)
        assert limits == (maps.min(), maps.max())
        assert colors.name == "viridis"

    def test_with_negative_values_0_is_gray_in_the_middle_and_larger_is_lighter(self):
        maps = self.maps(40)
        maps[..., 32:] *= 10  # not shown
        maps[0, 0, 0] = 7
        limits, colors = self.scale(maps)
        assert limits == (-7, 7)
        below, middle, above = colors([0.0, 0.5, 1.0])[:, :3]
        assert np.ptp(middle) < 0.05
        assert below[2] > below[0]  # blue
        assert above[0] > above[2]  # yellow
        gray = colors(np.linspace(0, 1, 20))[:, :3] @ (0.299, 0.587, 0.114)
        assert (np.diff(gray) > 0).all()

    @pytest.mark.parametrize(("channels", "drawn"), [(1, 1), (9, 9), (40, 32)])
    def test_there_are_32_by_default(self, channels, drawn, tmp_path):
        figure = network.feature_maps(self.maps(channels))
        assert len([text for text in captions(figure) if text]) == drawn
        save(figure, tmp_path / "a.png")
        figure = network.feature_maps(self.maps(), count=2)
        assert figure.get_suptitle() == "the first 2 of 5 channels"
        figure = network.feature_maps(self.maps(), "relu_1", count=2)
        assert figure.get_suptitle() == "relu_1: the first 2 of 5 channels"

    @pytest.mark.parametrize("shape", [(2, 4, 3, 5), (10,)])
    def test_other_than_one_image_is_rejected(self, shape):
        with pytest.raises(ShapeError, match=r"maps of one image, \(H, W, C\).*pass maps\[0\]"):
            network.feature_maps(np.zeros(shape))

    def test_a_count_of_0_is_rejected(self):
        with pytest.raises(ConfigError, match="count must be"):
            network.feature_maps(self.maps(), count=0)


def images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


class TestHeatMaps:
    @pytest.mark.parametrize("K", [1, 2, 3, 4, 7])
    def test_each_image_is_beside_its_map(self, K, tmp_path):
        shown, maps = images(K, 5, 4, 1), np.random.default_rng(1).random((K, 5, 4))
        names = [f"image {k}" for k in range(K)]
        figure = network.heat_maps(shown, maps, names, "Saliency")
        assert figure.get_figwidth() < 9.5
        assert figure.get_suptitle() == "Saliency"
        assert len(panels(figure)) == 2 * K
        for k in range(K):
            left, right = panels(figure)[2 * k : 2 * k + 2]
            assert left.get_title() == names[k]
            assert_array_equal(left.images[0].get_array(), shown[k, ..., 0])
            assert left.images[0].get_cmap().name == "gray"
            assert_array_equal(right.images[0].get_array(), maps[k])
            assert right.images[0].get_clim() == (0, maps[k].max())
            assert_allclose(left.get_position().y0, right.get_position().y0)
        save(figure, tmp_path / "a.png")

    def test_a_map_of_zeros_is_drawn(self, tmp_path):
        save(network.heat_maps(images(1, 5, 4, 3), np.zeros((1, 5, 4)), ["nothing"]), tmp_path / "a.png")

    @pytest.mark.parametrize(("maps", "names"), [((2, 5, 4), 3), ((3, 4, 5), 3), ((3, 5, 4), 2)])
    def test_arguments_that_do_not_match_are_rejected(self, maps, names):
        with pytest.raises(ShapeError, match="expected at least one image, and a map and a caption for each"):
            network.heat_maps(images(3, 5, 4, 1), np.zeros(maps), ["a"] * names)

    def test_no_image_is_rejected(self):
        with pytest.raises(ShapeError, match="expected at least one image"):
            network.heat_maps(images(0, 5, 4, 1), np.zeros((0, 5, 4)), [])


class TestSearchResults:
    def test_each_row_holds_a_query_and_its_results_and_marks_the_wrong_ones(self, tmp_path):
        queries, results = images(2, 5, 4, 1), images(2, 3, 5, 4, 1, seed=1)
        names = [["cat", "cat", "dog", "cat"], ["dog", "dog", "dog", "cat"]]
        figure = network.search_results(queries, results, names, "Search")
        assert figure.get_suptitle() == "Search"
        assert captions(figure) == ["cat", "cat", "✗ dog", "cat", "dog", "dog", "dog", "✗ cat"]
        expected = [image for q, found in zip(queries, results, strict=True) for image in (q, *found)]
        for picture, image in zip(pictures(figure), expected, strict=True):
            assert_array_equal(picture, image[..., 0])
        save(figure, tmp_path / "a.png")

    def test_colors_stay_colors(self):
        shown = images(1, 5, 4, 3)
        figure = network.search_results(shown, shown[:, None], [["cat", "cat"]])
        for picture in pictures(figure):
            assert_array_equal(picture, shown[0])

    @pytest.mark.parametrize(
        ("results", "names"), [(1, [["a"] * 4] * 2), (2, [["a"] * 3] * 2), (2, [["a"] * 4])], ids=repr
    )
    def test_arguments_that_do_not_match_are_rejected(self, results, names):
        with pytest.raises(ShapeError, match=r"and results and 1 \+ 3 captions for each of 2"):
            network.search_results(images(2, 5, 4, 1), images(results, 3, 5, 4, 1), names)

    def test_no_query_is_rejected(self):
        with pytest.raises(ShapeError, match="expected at least one query"):
            network.search_results(images(0, 5, 4, 1), images(0, 3, 5, 4, 1), [])
