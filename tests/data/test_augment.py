"""Augmentation: mirrored and moved images, and no others."""

import numpy as np
import pytest
from images import variants
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


def test_the_seed_says_which():
    images = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), np.uint8)
    augment = Augmentation(flip=True, shift=2)
    first, again, other = (augment(images, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("bad", [{"flip": 1}, {"shift": -1}, {"shift": 1.5}, {"shift": True}])
def test_bad_numbers_are_refused(bad):
    with pytest.raises(ConfigError):
        Augmentation(**bad)
