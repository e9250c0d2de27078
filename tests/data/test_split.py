"""`split` and `k_folds` keep each class's share, use every image once, and depend on the seed alone."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minicnn.data import Dataset, split
from minicnn.data.split import k_folds, sample
from minicnn.errors import ConfigError, DataError


def numbered(labels):
    """A data set in which each image holds its index."""
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


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan"), "0.1", None, True, [0.1]])
def test_rejects_a_fraction_outside_0_to_1(fraction):
    with pytest.raises(ConfigError, match=r"fraction must be a number in \(0, 1\), got"):
        split(numbered([0, 1, 2, 3]), fraction)


@pytest.mark.parametrize("fraction", [0.1, 0.9])
def test_rejects_to_leave_a_part_empty(fraction):
    with pytest.raises(ConfigError, match=r"both results must hold an image.*or give more images"):
        split(numbered([0, 1, 2, 3]), fraction)


def test_rejects_arrays():
    with pytest.raises(DataError, match=r"expected a minicnn\.data\.Dataset, got ndarray: wrap arrays as"):
        split(np.zeros((4, 1, 1, 1)), 0.5)
    with pytest.raises(DataError, match=r"expected a minicnn\.data\.Dataset, got ndarray: wrap arrays as"):
        k_folds(np.zeros((4, 1, 1, 1)), 2)


@pytest.mark.parametrize("seed", [-1, 0.5])
def test_rejects_a_bad_seed(seed):
    with pytest.raises(ConfigError, match="seed must be a whole number of at least 0"):
        split(numbered([0, 1, 2, 3]), 0.5, seed)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=60), st.integers(2, 12), st.integers(0, 9))
def test_every_image_is_in_one_fold_and_folds_differ_by_one_at_most(labels, k, seed):
    data = numbered(labels)
    assume(k <= len(data))
    pairs = list(k_folds(data, k, seed))
    folds = [validation for _, validation in pairs]
    assert len(folds) == k
    np.testing.assert_array_equal(np.sort(np.concatenate([*map(indices, folds)])), np.arange(len(data)))
    assert np.ptp([len(fold) for fold in folds]) <= 1
    assert np.ptp([fold.class_counts() for fold in folds], axis=0).max() <= 1
    for train, validation in pairs:
        np.testing.assert_array_equal(
            np.sort(np.r_[indices(train), indices(validation)]), np.arange(len(data))
        )
        for part in (train, validation):
            assert (np.diff(indices(part)) > 0).all()  # the order of the original
            np.testing.assert_array_equal(part.labels, data.labels[indices(part)])
            assert part.class_names == data.class_names


def test_the_seed_decides_the_folds():
    data = numbered(np.arange(200) % 4)
    first, again, other = ([indices(fold) for _, fold in k_folds(data, 4, seed)] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not any(map(np.array_equal, first, other))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(1, 70))
def test_a_sample_holds_the_first_of_each_class_in_their_shares(labels, size):
    data = numbered(labels)
    part = sample(data, size)
    assert len(part) == min(size, len(data))
    rows = indices(part)
    assert (np.diff(rows) > 0).all()
    counts, present = part.class_counts(), np.flatnonzero(data.class_counts())
    for label in range(4):
        np.testing.assert_array_equal(
            rows[part.labels == label], np.flatnonzero(data.labels == label)[: counts[label]]
        )
    if size >= len(present):
        assert (counts[present] > 0).all()
    assert (abs(counts - data.class_counts() * len(part) / len(data)) <= len(present)).all()


def test_a_sample_by_hand():
    assert indices(sample(numbered([0] * 90 + [1] * 9 + [2]), 12)).tolist() == [*range(9), 90, 91, 99]
    assert indices(sample(numbered([0, 0, 0, 1, 1, 1]), 4)).tolist() == [0, 1, 3, 4]


@pytest.mark.parametrize("size", [0, -1, 1.5, "3"])
def test_an_invalid_sample_size_is_rejected(size):
    with pytest.raises(ConfigError, match="size must be a whole number of at least 1"):
        sample(numbered([0, 1]), size)


def test_the_folds_are_shuffled():
    _, fold = next(k_folds(numbered([0] * 100), 5))
    assert len(set(np.diff(indices(fold)))) > 1


def test_there_are_5_folds_by_default():
    assert len(list(k_folds(numbered([0, 1] * 5)))) == 5


@pytest.mark.parametrize("k", [1, 0, -2, 2.0, True])
def test_rejects_a_bad_number_of_folds(k):
    with pytest.raises(ConfigError, match="k must be a whole number of at least 2"):
        k_folds(numbered([0, 1, 2, 3]), k)


def test_rejects_more_folds_than_images():
    with pytest.raises(ConfigError, match="each of 5 folds needs an image; got 4"):
        k_folds(numbered([0, 1, 2, 3]), 5)


def test_rejects_a_bad_seed_of_the_folds():
    with pytest.raises(ConfigError, match="seed must be a whole number of at least 0"):
        k_folds(numbered([0, 1, 2, 3]), 2, -1)
