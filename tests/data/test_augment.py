"""Augmentation: all mirrored, shifted and erased images, and no others."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minicnn.data import Augmentation
from minicnn.errors import ConfigError, DTypeError, ShapeError
from tests.images import erased_variants, variants


@pytest.mark.parametrize(("flip", "shift"), [(False, 0), (True, 0), (False, 1), (True, 2), (False, 6)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_each_image_is_one_of_its_variants_and_all_of_them_come(flip, shift, dtype):
    image = np.random.default_rng(0).integers(1, 256, (4, 5, 2)).astype(dtype)
    images = np.repeat(image[None], 4000, axis=0)
    before = images.copy()
    out = Augmentation(flip, shift)(images, np.random.default_rng(1))
    assert (out.shape, out.dtype) == (images.shape, dtype)
    assert_array_equal(images, before)
    possible = variants(image, flip, shift)
    assert {changed.tobytes() for changed in out} == set(possible)


@pytest.mark.parametrize("shape", [(4, 5, 2), (9, 3, 1), (1, 1, 1)])
def test_a_rectangle_of_each_size_is_erased_anywhere(shape):
    image = np.random.default_rng(0).integers(1, 256, shape).astype(np.uint8)
    images = np.repeat(image[None], 4000, axis=0)
    out = Augmentation(erase=1.0)(images, np.random.default_rng(1))
    assert {changed.tobytes() for changed in out} == erased_variants(image)


def test_that_share_of_the_images_is_erased():
    images = np.full((4000, 8, 8, 1), 9, np.uint8)
    out = Augmentation(erase=0.25)(images, np.random.default_rng(0))
    assert (out == 0).any(axis=(1, 2, 3)).mean() == pytest.approx(0.25, abs=0.03)


def test_an_image_is_moved_before_it_is_erased():
    image = np.arange(1, 65, dtype=np.uint8).reshape(8, 8, 1)
    out = Augmentation(flip=True, shift=2, erase=1.0)(
        np.repeat(image[None], 500, axis=0), np.random.default_rng(0)
    )
    possible = [np.frombuffer(one, np.uint8).reshape(8, 8, 1) for one in variants(image, True, 2)]
    for changed in out:
        assert any(((changed == one) | (changed == 0)).all() for one in possible)


def test_the_seed_decides():
    images = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), np.uint8)
    augment = Augmentation(flip=True, shift=2, erase=0.5)
    first, again, other = (augment(images, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize(
    "bad",
    [
        *({"flip": 1}, {"flip": None}),
        *(
            {"shift": -1},
            {"shift": True},
            {"shift": 1.0},
            {"shift": 2**31},
            {"shift": 2**63},
            {"shift": 10**400},
        ),
        *({"erase": 1.5}, {"erase": -0.1}, {"erase": np.nan}, {"erase": "0.5"}, {"erase": 10**400}),
    ],
    ids=lambda bad: str(bad)[:20],
)
def test_bad_numbers_are_rejected(bad):
    with pytest.raises(ConfigError):
        Augmentation(**bad)


KINDS = ["u1", "f2", "f4", "f8", ">f4", ">f8", ">f2", "longdouble"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("augmentation", [Augmentation(flip=True, shift=2), Augmentation(shift=1, erase=0.5)])
def test_every_dtype_is_augmented_the_same_way(kind, augmentation):
    values = np.random.default_rng(0).normal(100, 20, (20, 7, 5, 3)).astype(kind)
    out = augmentation(values, np.random.default_rng(1))
    places = augmentation(np.arange(1, 2101, dtype="u2").reshape(values.shape), np.random.default_rng(1))
    assert out.dtype == np.dtype(kind)
    assert_array_equal(out, np.append(0, values).astype(kind)[places])


@pytest.mark.parametrize("kind", ["u1", "f4", ">f2"])
def test_images_in_any_memory_order_are_augmented(kind):
    images = np.random.default_rng(0).integers(1, 200, (6, 9, 8, 4)).astype(kind)
    views = [images[:, ::-1, ::2, ::3], images.transpose(0, 2, 3, 1), np.asfortranarray(images), images[::2]]
    augment = Augmentation(flip=True, shift=3, erase=0.5)
    for view in views:
        view.flags.writeable = False
        expected = augment(np.ascontiguousarray(view), np.random.default_rng(1))
        assert_array_equal(augment(view, np.random.default_rng(1)), expected)


def test_an_image_that_is_moved_far_is_black():
    images = np.full((50, 4, 4, 1), 9, np.uint8)
    out = Augmentation(shift=65_535)(images, np.random.default_rng(0))
    assert out.sum() == 0


@pytest.mark.parametrize(
    ("images", "error"),
    [([[[[1]]]], DTypeError), (np.zeros((2, 3, 3), np.uint8), ShapeError), (np.uint8(1), DTypeError)],
)
def test_other_than_a_batch_of_images_is_rejected(images, error):
    with pytest.raises(error):
        Augmentation()(images, np.random.default_rng(0))
