"""How training images were prepared is measured on them, and saved with the model."""

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn as mc
from minicnn import layers as L
from minicnn.errors import ConfigError
from minicnn.preparation import Preparation


def squares(n=50, side=28, inner=20, level=255):
    """Return images with a square in the middle: (n, side, side, 1) uint8."""
    images = np.zeros((n, side, side, 1), np.uint8)
    gap = (side - inner) // 2
    images[:, gap : gap + inner, gap : gap + inner] = level
    return images


def model(shape=(28, 28, 1)):
    return mc.Sequential([L.Flatten(), L.Dense(2)], shape)


class TestOf:
    @given(st.integers(1, 13), st.integers(1, 300), st.sampled_from([60, 255]))
    def test_the_margin_is_the_space_around_the_object(self, half, n, level):
        found = Preparation.of(squares(n, inner=2 * half, level=level))
        assert found.margin == pytest.approx((14 - half) / 28)
        assert not found.negative

    def test_of_the_longer_side(self):
        images = np.zeros((9, 20, 40, 1), np.uint8)
        images[:, 5:15, 18:22] = 200  # half of the height, a tenth of the width
        assert Preparation.of(images).margin == pytest.approx(0.25)

    def test_some_other_images_do_not_count(self):
        images = np.concatenate([squares(60), squares(40, inner=28)])
        assert Preparation.of(images).margin == pytest.approx(4 / 28)

    def test_dark_on_white_is_negative(self):
        found = Preparation.of(255 - squares())
        assert found.negative
        assert found.margin == pytest.approx(4 / 28)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_floating_images_are_the_same(self, dtype):
        found, wanted = Preparation.of((squares() / 255).astype(dtype)), Preparation.of(squares())
        assert astuple(found) == pytest.approx(astuple(wanted))

    def test_photographs_have_no_margin(self):
        images = np.random.default_rng(0).integers(60, 200, (30, 28, 28, 1)).astype(np.uint8)
        assert Preparation.of(images).margin is None

    @pytest.mark.parametrize("images", [np.zeros((5, 8, 8, 1), np.uint8), np.zeros((5, 8, 8, 3), np.uint8)])
    def test_blank_and_color_images_have_no_margin(self, images):
        assert Preparation.of(images).margin is None

    def test_fewer_than_one_in_a_hundred_images_like_those_of_the_training_get_a_remark(self):
        train, test = mc.data.load("synthetic")
        found = Preparation.of(train.images)
        assert np.mean([bool(found.remarks(image)) for image in test.images[:500]]) < 0.01


class TestRemarks:
    found = Preparation.of(squares())

    def test_one_object_gets_none(self):
        assert self.found.remarks(squares(1)[0]) == []

    def test_two_objects(self):
        two = np.zeros((28, 28, 1), np.uint8)
        two[4:24, 0:12] = two[4:24, 16:28] = 220
        assert "several objects" in self.found.remarks(two)[0]

    def test_not_if_the_training_images_have_two_parts_themselves(self):
        two = np.zeros((40, 28, 28, 1), np.uint8)
        two[:, 4:24, 0:12] = two[:, 4:24, 16:28] = 220
        assert Preparation.of(two).remarks(two[0]) == []

    @pytest.mark.parametrize(("inner", "word"), [(4, "less"), (28, "more")])
    def test_another_amount_of_ink(self, inner, word):
        image = squares(1, inner=inner)[0]
        image[0, 0] = 255 - image[0, 0]  # or nothing would stand out
        assert f"it has {word} ink" in self.found.remarks(image)[-1]

    @pytest.mark.parametrize("level", [0, 128, 255])
    def test_nothing(self, level):
        image = np.full((28, 28, 1), level, np.uint8)
        assert "nothing stands out" in self.found.remarks(image)[0]

    def test_photographs_get_none(self):
        image = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
        assert Preparation(margin=None).remarks(image) == []


class TestBelongsToTheModel:
    def test_fit_measures_it_and_the_file_stores_it(self, tmp_path):
        images = np.concatenate([squares(20), squares(20, level=90)])
        data = mc.data.Dataset(images, np.repeat([0, 1], 20), ("light", "dark"))
        trained = model()
        assert trained.preparation is None
        mc.Trainer(trained, mc.optimizers.SGD(0.01)).fit(data, epochs=1, progress=False)
        assert trained.preparation == Preparation.of(images)
        trained.save(tmp_path / "model.safetensors")
        assert mc.load(tmp_path / "model.safetensors").preparation == trained.preparation

    def test_a_model_that_was_not_trained_has_none(self, tmp_path):
        model().save(tmp_path / "model.safetensors")
        assert mc.load(tmp_path / "model.safetensors").preparation is None

    @pytest.mark.parametrize(
        "change",
        [{"margin": -1}, {"margin": "wide"}, {"negative": 1}, {"most_ink": 2.0}, {"second_part": None}],
    )
    def test_a_value_that_it_cannot_have_is_rejected(self, change):
        with pytest.raises(ConfigError, match=next(iter(change))):
            Preparation(**change)
