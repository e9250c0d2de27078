"""The sections of a report: their content, and that every data set and network gets them."""

from dataclasses import replace

import numpy as np
import pytest

import minicnn as mc
from minicnn import layers as L
from minicnn import report
from minicnn.metrics import Evaluation
from minicnn.report import Page, sections
from tests.report.finished import COMMAND, SHAPE, convolutional, data, finished, parsed

TITLES = [
    *("Network", "Data", "Training", "Classes", "Calibration", "Mistakes", "Looking inside"),
    *("Origin", "Numbers and machine"),
]


def titles(page):
    return [section.title for section in page.sections]


def figures(page):
    """Return the figures of a page by their names."""
    return {picture.name: picture.figure for section in page.sections for picture in section.pictures}


def title(figure):
    return figure.get_suptitle() or figure.axes[0].get_title()


def assert_whole(run, train, test, folder):
    """Draw the page of a run and check that nothing is missing; a warning would be an error."""
    page = report.page_of(run, train, test)
    read = parsed(page.write(folder))
    assert read.texts("h2") == titles(page)
    assert len(read.attributes("img")) == len(figures(page)) == len(list(folder.glob("*.png")))
    return page


class TestEveryDataSet:
    def test_gray_images_of_three_classes(self, tmp_path):
        run, _, train, test = finished(tmp_path)
        page = assert_whole(run, train, test, tmp_path)
        assert titles(page) == TITLES
        drawn = {name: title(figure).partition(":")[0] for name, figure in figures(page).items()}
        assert drawn["samples"] == drawn["class_means"] == drawn["class_counts"] == "trainset"
        assert drawn["learning_curves"] == "trainset"
        assert drawn["confusion_matrix"] == drawn["mistakes"] == "testset"
        assert f"{run.evaluation.accuracy:.2%}" in title(figures(page)["confusion_matrix"])

    def test_floating_color_images_of_two_classes_without_validation(self, tmp_path):
        train, test = data(shape=(8, 7, 3), names=("a", "b")), data(9, 1, "t", (8, 7, 3), ("a", "b"))
        train, test = (replace(part, images=(part.images / 255).astype(np.float32)) for part in (train, test))
        run, *_ = finished(tmp_path, train, test, validation=None, epochs=1)
        page = assert_whole(run, train, test, tmp_path)
        assert titles(page) == TITLES
        assert [len(axes.lines) for axes in figures(page)["learning_curves"].axes] == [1, 1]

    @pytest.mark.filterwarnings("ignore:trainset has no image of dog")
    def test_a_class_without_test_images_and_one_without_training_images(self, tmp_path):
        names = ("ant", "bee", "cat", "dog")
        train, test = data(), data(8, 1, "testset", names=("ant", "bee"))
        train, test = (replace(part, class_names=names) for part in (train, test))
        run, *_ = finished(tmp_path, train, test)
        page = assert_whole(run, train, test, tmp_path)
        (classes,) = [section for section in page.sections if section.title == "Classes"]
        assert [(row[0], row[4]) for row in classes.table[1:]] == [
            *(("ant", "4"), ("bee", "4"), ("cat", "0"), ("dog", "0")),
            *(("macro average", "8"), ("weighted average", "8")),
        ]
        assert len([axes for axes in figures(page)["saliency"].axes if axes.images]) == 2 * 2
        assert len([axes for axes in figures(page)["class_means"].axes if axes.images]) == 3

    def test_without_mistakes(self, tmp_path):
        run, _, train, test = finished(tmp_path)
        perfect = replace(
            run, evaluation=Evaluation(0.0, test.labels, np.eye(3)[test.labels], test.class_names)
        )
        page = assert_whole(perfect, train, test, tmp_path)
        assert title(figures(page)["mistakes"]).endswith("there are none")


class TestEveryNetwork:
    def page(self, layers, shape=SHAPE):
        train, test = data(shape=shape), data(9, 1, shape=shape)
        model = mc.Sequential(layers, shape, class_names=train.class_names)
        page = Page("t")
        sections.add_network(page, model)
        sections.add_inside(page, model, test)
        return page, train

    def test_without_convolutions_looking_inside_is_left_out(self, tmp_path):
        train = data()
        run, _, train, test = finished(tmp_path, layers=[L.Flatten(), L.Dense(3)])
        page = assert_whole(run, train, test, tmp_path)
        assert titles(page) == [name for name in TITLES if name != "Looking inside"]

    @pytest.mark.parametrize(
        "layers",
        [
            convolutional(),
            [L.Conv2D(1, 2), L.Flatten(), L.Dense(3)],
            [L.Conv2D(2, 3, use_bias=False), L.BatchNorm(), L.ReLU(), L.GlobalMaxPool2D(), L.Dense(3)],
            [L.MaxPool2D(2), L.Conv2D(2, 2), L.Dropout(0.5), L.Flatten(), L.Dropout(0.5), L.Dense(3)],
        ],
        ids=("small", "one filter", "normalized", "pool first"),
    )
    def test_every_figure_is_drawn_of_networks_with_convolutions(self, layers, tmp_path):
        page, _ = self.page(layers)
        assert titles(page) == ["Network", "Looking inside"]
        assert set(figures(page)) == {
            *("network", "filters", "first_maps", "last_maps", "saliency", "grad_cam")
        }
        page.write(tmp_path)

    def test_the_maps_are_from_the_first_convolution_and_the_last_layer_with_pixels(self):
        page, _ = self.page(
            [L.ReLU(), L.Conv2D(2, 3), L.MaxPool2D(2), L.MaxPool2D((3, 2)), L.Flatten(), L.Dense(3)]
        )
        drawn = figures(page)
        assert title(drawn["first_maps"]) == "Feature maps of conv2d_1 for the first test image: 2 channels"
        assert title(drawn["last_maps"]) == "Feature maps of maxpool2d_1 for the first test image: 2 channels"

    def test_the_captions_name_the_layer_and_the_number_of_channels(self):
        page, _ = self.page([L.Conv2D(40, 3), L.ReLU(), L.MaxPool2D(2), L.Flatten(), L.Dense(3)])
        captions = {picture.name: picture.caption for picture in page.sections[1].pictures}
        assert captions["last_maps"] == (
            "Feature maps of maxpool2d_1 for the first test image: the first 32 of 40 channels, "
            "one tile each."
        )
        assert captions["grad_cam"] == ("Grad-CAM: where maxpool2d_1 found evidence for the predicted class.")

    def test_a_convolution_as_large_as_the_image_leaves_nothing_to_show(self):
        page, _ = self.page([L.Conv2D(2, SHAPE[:2]), L.ReLU(), L.Flatten(), L.Dense(3)])
        assert titles(page) == ["Network"]

    def test_the_table_of_the_layers_is_there(self):
        page, _ = self.page(convolutional())
        assert page.sections[0].code == mc.Sequential(convolutional(), SHAPE).summary_table()

    def test_at_most_ten_classes_are_shown(self):
        names = tuple("abcdefghijkl")
        test = data(24, names=names)
        model = mc.Sequential(convolutional(12), SHAPE, class_names=names)
        page = Page("t")
        sections.add_inside(page, model, test)
        for name in ("saliency", "grad_cam"):
            shown = [axes.get_title() for axes in figures(page)[name].axes if axes.get_title()]
            assert [text.split()[1] for text in shown] == list(names[:10])


class TestResults:
    def test_the_table_by_hand(self):
        # True a: a a b. True b: b. There is no c, and none was predicted.
        labels, predicted = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
        evaluation = Evaluation(0.5, labels, np.eye(3)[predicted], ("a", "b", "c"))
        page = Page("t")
        sections.add_results(page, mc.data.Dataset(data(4).images, labels, ("a", "b", "c")), evaluation)
        assert page.sections[0].table == [
            ("class", "precision", "recall", "F1", "images"),
            ("a", "100.0%", "66.7%", "80.0%", "3"),
            ("b", "50.0%", "100.0%", "66.7%", "1"),
            ("c", "–", "–", "–", "0"),
            ("macro average", "75.0%", "83.3%", "73.3%", "4"),
            ("weighted average", "87.5%", "75.0%", "76.7%", "4"),
        ]
        assert "75.00% of the 4 test images were classified correctly" in page.sections[0].text
        assert "Wilson's 95% interval is 30.06% to 95.44%." in page.sections[0].text
        assert titles(page) == ["Classes", "Calibration", "Mistakes"]


class TestOrigin:
    def test_the_command_the_settings_and_the_machine_are_shown(self, tmp_path):
        run, *_ = finished(tmp_path)
        page = Page("t")
        sections.add_origin(page, run.metrics)
        origin, numbers = page.sections
        assert origin.code == COMMAND
        rows = dict(numbers.table[1:])
        assert numbers.table[0] == ("name", "value")
        assert rows["test accuracy"] == f"{run.evaluation.accuracy:.5g}"
        assert rows["numpy"] == np.__version__
        assert rows["processor"] == run.metrics["processor"]
        assert not {"command", "data", "images", "versions", "seed", "sections of its own"} & set(rows)


class TestTraining:
    def section(self, history, metrics):
        page = Page("t")
        sections.add_training(page, history, metrics)
        return page.sections[0]

    def test_the_known_settings_are_shown(self, tmp_path):
        run, *_ = finished(tmp_path)
        assert self.section(run.history, run.metrics).table == [
            ("setting", "value"),
            ("optimizer", "SGD"),
            ("highest learning rate", "0.1"),
            ("learning rate schedule", "constant"),
            ("momentum", "0"),
            ("Nesterov", "no"),
            ("weight decay", "0"),
            ("largest gradient norm", "none"),
            ("batch size", "8"),
            ("epochs", "2"),
            ("label smoothing", "0"),
            ("augmentation", "none"),
            ("EMA decay", "none"),
            ("pixels", "scaled to 0…1"),
            ("share held out", "0.25"),
            ("seed", "0"),
        ]
        augmentation = {"flip": True, "shift": 1, "erase": 0.5}
        table = self.section(run.history, {"augmentation": augmentation, "nesterov": True}).table
        assert table[1:] == [("Nesterov", "yes"), ("augmentation", "flip yes, shift 1, erase 0.5")]

    @pytest.mark.parametrize(
        ("settings", "middle"),
        [
            ({}, ""),
            (
                {"augmentation": {"shift": 1}},
                ", of augmented images: they can be worse than those of the validation",
            ),
            (
                {"augmentation": {"shift": 1}, "label_smoothing": 0.05},
                ", of augmented images and with label smoothing: they can be worse than those of the "
                "validation",
            ),
        ],
    )
    def test_the_caption_describes_the_training_values(self, settings, middle, tmp_path):
        run, *_ = finished(tmp_path)
        (picture,) = self.section(run.history, settings).pictures
        assert picture.caption == (
            "Loss and accuracy over the epochs. Training values are means while the weights still moved"
            f"{middle}. The validation's loss is the plain cross-entropy."
        )

    def test_without_validation_the_caption_does_not_mention_it(self, tmp_path):
        run, *_ = finished(tmp_path, validation=None)
        assert sections.curves_caption(
            run.history, {"augmentation": {"shift": 1}, "label_smoothing": 0.05}
        ) == (
            "Loss and accuracy over the epochs. Training values are means while the weights still moved, "
            "of augmented images and with label smoothing."
        )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (9.6, "10 s"), (119.4, "119 s"), (120, "2.0 min"), (3725, "62.1 min")],
)
def test_seconds_as_text(seconds, text):
    assert sections.duration(seconds) == text
