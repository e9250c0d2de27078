"""Augmentation: mirrored, moved and erased images, and no others."""

import numpy as np
import pytest
from images import erased_variants, variants
from numpy.testing import assert_array_equal

from minicnn.data import Augmentation
from minicnn.errors import ConfigError


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


def test_the_seed_says_which():
    images = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), np.uint8)
    augment = Augmentation(flip=True, shift=2, erase=0.5)
    first, again, other = (augment(images, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("bad", [{"flip": 1}, {"shift": -1}, {"shift": True}, {"erase": 1.5}])
def test_bad_numbers_are_refused(bad):
    with pytest.raises(ConfigError):
        Augmentation(**bad)
