"""`Scale` and `Standardize`: the formula, and every kind of images that raises an error."""

import tracemalloc
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from minicnn import Preprocessing, Scale, Standardize
from minicnn.errors import ConfigError, DataError, DTypeError, NonFiniteError, ShapeError

SHAPE = (3, 2, 1)


def pixels(n=4, shape=SHAPE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)


class TestCalling:
    @given(mean=st.floats(-2, 2), std=st.floats(0.05, 4), seed=st.integers(0, 99))
    def test_bytes_and_floats_of_the_same_images_agree_with_the_formula(self, mean, std, seed):
        x, prepare = pixels(seed=seed), Standardize(mean, std)
        expected = (x / 255 - mean) / std
        assert_allclose(prepare(x, np.float64), expected, rtol=0, atol=1e-12)
        assert_allclose(prepare(x / 255, np.float64), expected, rtol=0, atol=1e-12)

    def test_by_default_black_is_0_and_white_is_1(self):
        x = np.array([0, 51, 255], np.uint8).reshape(3, 1, 1, 1)
        assert_allclose(Scale()(x, np.float64).ravel(), [0, 0.2, 1], rtol=1e-15)

    def test_mean_and_std_by_hand(self):
        x = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)
        assert_allclose(Standardize(0.5, 0.25)(x, np.float64).ravel(), [-2, 2], rtol=1e-15)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("stored", [np.uint8, np.float16, np.float32, np.float64])
    def test_the_result_has_the_dtype_asked_for(self, stored, dtype):
        x = np.zeros((1, *SHAPE), stored)
        assert Standardize(np.float64(0.3), np.float64(0.4))(x, dtype).dtype == dtype

    @pytest.mark.parametrize("stored", [np.uint8, np.float32])
    def test_the_images_are_unchanged(self, stored):
        x = pixels().astype(stored)
        before = x.copy()
        y = Standardize(0.3, 0.4)(x, np.float32)
        y[...] = 7
        assert_array_equal(x, before)


class TestConstructing:
    @pytest.mark.parametrize("mean", [np.nan, np.inf, "0.3", None, [0.3]])
    def test_an_unusable_mean_is_rejected(self, mean):
        with pytest.raises(ConfigError, match="mean must be a number in"):
            Standardize(mean, 1)

    @pytest.mark.parametrize("std", [0, -0.5, np.nan, np.inf, "one", None])
    def test_an_unusable_std_is_rejected(self, std):
        with pytest.raises(ConfigError, match="std must be"):
            Standardize(0, std)

    def test_numpy_numbers_become_plain_ones(self):
        kept = Standardize(np.float32(0.25), np.float32(0.5))
        assert (type(kept.mean), type(kept.std)) == (float, float)
        assert kept == Standardize(0.25, 0.5)

    def test_the_base_class_says_what_to_write(self):
        with pytest.raises(ConfigError, match=r"write Scale\(\) or Standardize\.fit\(images\)"):
            Preprocessing()

    @pytest.mark.parametrize("span", [3, (0,), (0, "1"), (0, np.inf)])
    @pytest.mark.parametrize("prepare", [Scale(), Standardize(0.3, 0.4)])
    def test_an_unusable_trained_on_is_rejected(self, prepare, span):
        with pytest.raises(ConfigError, match="trained_on"):
            replace(prepare, trained_on=span)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"mean": 0.0, "std": 1.0, "trained_on": [0.0, 1.0]}, Scale(trained_on=(0, 1))),
        ({"mean": 0.0, "std": 1.0}, Scale()),
        ({"mean": 0.3, "std": 0.4, "trained_on": None}, Standardize(0.3, 0.4)),
        ({"mean": 0.3, "std": 0.4, "trained_on": [-1, 1]}, Standardize(0.3, 0.4, trained_on=(-1, 1))),
    ],
)
def test_it_is_made_again_from_the_values_in_a_model_file(values, expected):
    assert Preprocessing.from_dict(values) == expected
    assert Preprocessing.from_dict(asdict(expected)) == expected


class TestChecking:
    def check(self, images, shape=SHAPE):
        Scale().check(images, shape)

    @pytest.mark.parametrize(
        "good",
        [pixels(), pixels(1), pixels() / 255, (pixels() / 255).astype(np.float16), pixels() / 127.5 - 1],
        ids=["bytes", "one", "floats", "half", "−1…1"],
    )
    def test_good_images_pass_unchanged(self, good):
        before = good.copy()
        self.check(good)
        assert_array_equal(good, before)

    @pytest.mark.parametrize(
        ("shape", "hint"),
        [
            ((4, 2, 3, 1), r"expected images of shape \(N, 3, 2, 1\), got \(4, 2, 3, 1\)$"),
            ((4, 3, 2, 2), r"got \(4, 3, 2, 2\)$"),
            ((3, 2, 1), r"got \(3, 2, 1\): write images = images\[None\]$"),
            ((4, 3, 2), r"got \(4, 3, 2\): write images = images\[..., None\]$"),
            ((), r"got \(\)$"),
        ],
    )
    def test_a_wrong_shape_is_rejected_with_what_to_do(self, shape, hint):
        with pytest.raises(ShapeError, match=hint):
            self.check(np.zeros(shape, np.uint8))

    def test_no_channel_axis_is_proposed_for_color_images(self):
        with pytest.raises(ShapeError, match=r"got \(4, 3, 2\)$"):
            self.check(np.zeros((4, 3, 2), np.uint8), (3, 2, 3))

    def test_no_images_are_rejected(self):
        with pytest.raises(DataError, match="at least one image"):
            self.check(pixels(0))

    @pytest.mark.parametrize("dtype", [np.int64, np.int8, bool, complex, object, "U1"])
    def test_a_wrong_dtype_is_rejected(self, dtype):
        with pytest.raises(DTypeError, match="uint8"):
            self.check(np.zeros((2, *SHAPE), dtype))

    @pytest.mark.parametrize("value", [[[0]], None, 3, "images"])
    def test_other_than_an_array_is_rejected(self, value):
        with pytest.raises(DTypeError, match="expected a NumPy or CuPy array"):
            self.check(value)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_an_image_that_is_not_finite_is_named(self, bad):
        x = pixels() / 255
        x[2, 1, 0, 0] = bad
        with pytest.raises(NonFiniteError, match="image 2 holds NaN or infinity"):
            self.check(x)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_raw_pixels_as_floats_are_rejected(self, dtype):
        with pytest.raises(DataError, match=r"like raw pixels: write images = images\.astype\(np\.uint8\)$"):
            self.check(pixels().astype(dtype))

    @pytest.mark.parametrize("highest", [2, 16, 256, 4095, 65_535])
    def test_they_are_rejected_in_any_range(self, highest):
        x = np.zeros((9, *SHAPE))
        x[5, 1, 1, 0] = highest
        with pytest.raises(DataError, match=f"from 0 to {highest:g}, like raw pixels"):
            self.check(x)

    def test_they_need_not_be_whole_numbers(self):
        with pytest.raises(DataError, match="like raw pixels"):
            self.check((pixels() + pixels(seed=1)) / 2.0)

    def test_of_floats_up_to_16_eight_images_are_checked_for_whole_numbers(self):
        x = (pixels(9) // 16).astype(float)
        x[8] += 0.5
        with pytest.raises(DataError, match="raw pixels"):
            self.check(x)
        x[7, 0, 0, 0] += 0.5
        self.check(x)

    @pytest.mark.parametrize("shift", [33, 128])
    def test_raw_pixels_less_their_mean_are_raw_pixels(self, shift):
        with pytest.raises(DataError, match="like raw pixels: write images = images / 255"):
            self.check(pixels() - float(shift))

    def test_standardized_pixels_pass_though_a_few_are_large(self):
        x = np.random.default_rng(0).normal(size=(50, *SHAPE))
        x[3, 0, 0, 0] = 150
        self.check(x)
        self.check(x.astype(np.float32))

    def test_black_and_white_in_floats_is_on_the_scale(self):
        self.check(pixels() // 128 * 1.0)

    def test_uint8_pixels_of_0_and_1_are_rejected(self):
        with pytest.raises(DataError, match="these are 0 and 1 only, almost black: write images = "):
            self.check(pixels() // 128)

    def test_blank_images_pass(self):
        self.check(np.zeros((2, *SHAPE), np.uint8))

    def test_floats_slightly_above_1_are_not_raw_pixels(self):
        self.check(np.full((2, *SHAPE), 1.04))


def test_pixels_beyond_float32_are_rejected_as_infinite():
    images = np.zeros((3, 2, 2, 1))
    images[1, 0, 0] = 1e300
    with pytest.raises(NonFiniteError, match="infinite in float32"):
        Scale().check(images, (2, 2, 1))


def test_a_blank_image_and_one_slightly_above_1_are_not_raw_pixels():
    images = np.zeros((9, 2, 2, 1))
    images[8] = 1.2
    Scale().check(images, (2, 2, 1))


class TestFitting:
    @pytest.mark.parametrize("n", [1, 3, 2500])
    @pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
    def test_the_images_have_mean_0_and_deviation_1(self, n, dtype):
        x = pixels(n)
        if dtype is not np.uint8:
            x = (x / 255).astype(dtype)
        prepared = Standardize.fit(x)(x, np.dtype(np.float64))
        assert prepared.mean() == pytest.approx(0, abs=1e-6)
        assert prepared.std() == pytest.approx(1, abs=1e-6)

    def test_it_is_on_the_scale_of_0_to_1(self):
        assert Standardize.fit(np.array([[[[0]], [[51]]]], np.uint8)) == Standardize(0.1, 0.1)

    def test_many_images_need_little_memory(self):
        images = np.random.default_rng(0).integers(0, 256, (20_000, 8, 8, 1), np.uint8)
        tracemalloc.start()
        Standardize.fit(images)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 4 * 1000 * 64 * 8  # a few pieces of a thousand images in float64, not twenty

    def test_pixels_that_are_all_equal_are_rejected(self):
        with pytest.raises(DataError, match="every pixel of all 2 is 7: check the data"):
            Standardize.fit(np.full((2, *SHAPE), 7, np.uint8))
        with pytest.raises(DataError, match=r"every pixel of all 7 is 0\.1"):
            Standardize.fit(np.full((7, *SHAPE), 0.1))  # whose deviation rounding makes 5e-17

    @pytest.mark.parametrize(
        ("images", "error"),
        [
            ([[[[0]], [[51]]]], TypeError),
            (np.zeros((0, *SHAPE), np.uint8), DataError),
            (pixels().astype(np.int64), DTypeError),
            (pixels().astype(np.float32), DataError),  # raw pixels as floats
        ],
    )
    def test_images_that_no_model_takes_are_rejected(self, images, error):
        with pytest.raises(error):
            Standardize.fit(images)
