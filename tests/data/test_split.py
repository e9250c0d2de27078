"""`split` keeps each class's share, loses nothing and repeats itself."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minicnn.data import Dataset, split
from minicnn.errors import ConfigError


def numbered(labels):
    """A data set in which the image tells its index."""
    labels = np.asarray(labels)
    index = np.arange(len(labels), dtype=np.float64)
    return Dataset(index.reshape(-1, 1, 1, 1), labels, tuple("abcd"))


def indices(data):
    return data.images[:, 0, 0, 0].astype(int)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=60), st.floats(0.01, 0.99), st.integers(0, 9))
def test_every_image_is_in_one_part_and_classes_keep_their_share(labels, fraction, seed):
    data = numbered(labels)
    size = round(fraction * len(data))
    assume(0 < size < len(data))
    rest, part = split(data, fraction, seed)
    assert len(part) == size
    np.testing.assert_array_equal(np.sort(np.r_[indices(rest), indices(part)]), np.arange(len(data)))
    for result in (rest, part):
        assert (np.diff(indices(result)) > 0).all()  # the order of the original
        np.testing.assert_array_equal(result.labels, data.labels[indices(result)])
    exact = data.class_counts() * size / len(data)
    assert (np.abs(part.class_counts() - exact) < 1).all()


def test_largest_remainder_by_hand():
    # 5, 3 and 2 images; a part of 4 is due 2.0, 1.2 and 0.8 of them: 2, 1 and 0, and one more for c.
    _, part = split(numbered([0] * 5 + [1] * 3 + [2] * 2), 0.4)
    np.testing.assert_array_equal(part.class_counts(), [2, 1, 1, 0])


def test_the_seed_decides():
    data = numbered(np.arange(200) % 4)
    first, again, other = (indices(split(data, 0.1, seed)[1]) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_refuses_a_fraction_outside_0_to_1(fraction):
    with pytest.raises(ConfigError, match="between 0 and 1, both excluded; got"):
        split(numbered([0, 1, 2, 3]), fraction)


@pytest.mark.parametrize("fraction", [0.1, 0.9])
def test_refuses_to_leave_a_part_empty(fraction):
    with pytest.raises(ConfigError, match="both results must hold an image"):
        split(numbered([0, 1, 2, 3]), fraction)


@pytest.mark.parametrize("seed", [-1, 0.5])
def test_refuses_a_bad_seed(seed):
    with pytest.raises(ConfigError, match="seed must be a whole number of at least 0"):
        split(numbered([0, 1, 2, 3]), 0.5, seed)
