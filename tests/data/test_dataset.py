"""`Dataset` checks its arrays, and copies no more than it needs to."""

import numpy as np
import pytest

from minicnn.data import Dataset
from minicnn.errors import ConfigError, DataError, DTypeError, NonFiniteError, ShapeError


def images(n=6, dtype=np.uint8):
    return np.arange(n * 3 * 4 * 2, dtype=dtype).reshape(n, 3, 4, 2)


def test_keeps_the_arrays_without_a_copy():
    x, y = images(), np.array([0, 1, 2, 0, 1, 2])
    data = Dataset(x, y, ("a", "b", "c"), "letters")
    assert data.images is x
    assert data.labels is y
    assert (len(data), data.image_shape, data.class_names, data.name) == (
        6,
        (3, 4, 2),
        ("a", "b", "c"),
        "letters",
    )


def test_labels_become_int64_and_class_names_default_to_numbers():
    data = Dataset(images(3), np.array([0, 3, 1], np.uint8))
    assert data.labels.dtype == np.int64
    assert data.class_names == ("0", "1", "2", "3")


def test_class_names_become_a_tuple():
    assert Dataset(images(2), np.array([0, 1]), ["a", "b"]).class_names == ("a", "b")


def test_class_names_become_text():
    assert Dataset(images(2), np.array([0, 1]), [7, np.str_("b")]).class_names == ("7", "b")


@pytest.mark.parametrize("class_names", ["ab", 2, None, {"a", "b"}, iter("ab")], ids=str)
def test_class_names_must_be_a_sequence(class_names):
    with pytest.raises(ConfigError, match="class_names must be a sequence such as"):
        Dataset(images(2), np.array([0, 1]), class_names)


def test_class_counts_include_the_empty_classes():
    data = Dataset(images(4), np.array([2, 0, 2, 2]), ("a", "b", "c", "d"))
    np.testing.assert_array_equal(data.class_counts(), [1, 0, 3, 0])


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_accepts_uint8_and_floating(dtype):
    assert Dataset(images(2, dtype), np.array([0, 1])).images.dtype == dtype


def test_is_frozen():
    data = Dataset(images(1), np.array([0]))
    with pytest.raises(AttributeError):
        data.name = "other"


@pytest.mark.parametrize(
    ("indices", "rows"),
    [
        (slice(1, 5, 2), [1, 3]),
        ([4, 0, 0], [4, 0, 0]),
        (np.array([-1]), [5]),
        (np.array([1, 0, 0, 0, 0, 1], bool), [0, 5]),
    ],
)
def test_subset_chooses_images_and_labels_together(indices, rows):
    data = Dataset(images(), np.array([0, 1, 2, 3, 4, 5]), tuple("abcdefg"), "letters")
    part = data.subset(indices)
    np.testing.assert_array_equal(part.images, data.images[rows])
    np.testing.assert_array_equal(part.labels, data.labels[rows])
    assert (part.class_names, part.name) == (data.class_names, "letters")


def test_subset_by_a_slice_is_a_view():
    data = Dataset(images(), np.zeros(6, int))
    assert np.shares_memory(data.subset(slice(2, 4)).images, data.images)


@pytest.mark.parametrize("indices", [3, [[1, 2]], [0.5], "ab", [6], np.ones(5, bool)])
def test_subset_rejects_indices_that_do_not_fit(indices):
    with pytest.raises(ConfigError, match=r"Dataset\.subset: indices must"):
        Dataset(images(), np.zeros(6, int)).subset(indices)


@pytest.mark.parametrize("indices", [slice(0, 0), [], (), np.zeros(0, int), np.zeros(6, bool)], ids=str)
def test_subset_of_nothing_is_rejected(indices):
    with pytest.raises(DataError, match=r"must not be empty|no images were chosen"):
        Dataset(images(), np.zeros(6, int)).subset(indices)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (images().tolist(), DTypeError, r"NumPy array; got list: write images = np\.asarray"),
        (images()[..., 0], ShapeError, r"got shape \(6, 3, 4\).*images\[\.\.\., None\]"),
        (images().reshape(6, -1), ShapeError, r"4-D .* got shape \(6, 24\)"),
        (images()[:0], DataError, r"must not be empty; got shape \(0, 3, 4, 2\)"),
        (images()[:, :, :0], DataError, r"must not be empty; got shape \(6, 3, 0, 2\)"),
        (
            images(dtype=np.int64),
            DTypeError,
            r"got int64, from 0 to 143: write images = images\.astype",
        ),
        (images().astype(bool), DTypeError, "uint8 or floating .*; got bool"),
        (images().astype(complex), DTypeError, "uint8 or floating .*; got complex128"),
    ],
)
def test_rejects_images(x, error, message):
    with pytest.raises(error, match=message):
        Dataset(x, np.zeros(len(x), int))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_names_the_first_value_that_is_not_finite(value):
    x = images(dtype=np.float32)
    x[2, 1, 3, 0] = x[4, 0, 0, 0] = value
    with pytest.raises(NonFiniteError, match=rf"images\[2, 1, 3, 0\] is {value}"):
        Dataset(x, np.zeros(6, int))


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        ([0, 1, 0], DTypeError, "labels must be a NumPy array; got list"),
        (np.eye(3, dtype=int), ShapeError, r"got shape \(3, 3\).*argmax"),
        (np.zeros(3), DTypeError, "integer class indices; got float64"),
        (np.zeros(3, bool), DTypeError, "integer class indices; got bool"),
        (np.zeros(2, int), DataError, "got 3 images and 2 labels"),
        (np.array([0, 2, 3]), DataError, r"0…1 \(2 classes\); labels\[1\] is 2"),
        (np.array([0, 1, -1]), DataError, r"labels\[2\] is -1"),
        (np.array([0, 1, 2**64 - 1], np.uint64), DataError, rf"labels\[2\] is {2**64 - 1}"),
    ],
)
def test_rejects_labels(y, error, message):
    with pytest.raises(error, match=message):
        Dataset(images(3), y, ("a", "b"))


@pytest.mark.parametrize(("label", "classes"), [(-1, 1), (2**40, 65_536)])
def test_rejects_absurd_labels_when_there_are_no_class_names(label, classes):
    with pytest.raises(DataError, match=rf"0…{classes - 1} \({classes} classes\); labels\[0\] is {label}"):
        Dataset(images(2), np.array([label, 0]))


class TestRepr:
    def test_it_describes_the_set_in_one_line(self):
        small = Dataset(np.zeros((3, 4, 5, 1), np.uint8), np.array([0, 1, 0]), ("cat", "dog"), "pets")
        assert repr(small) == "Dataset(pets: 3 images of 4 × 5 × 1, uint8, 2 classes: cat, dog)"

    @pytest.mark.parametrize(
        ("classes", "end"), [(10, "classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)"), (11, ", 9, …)")]
    )
    def test_more_than_ten_classes_are_cut(self, classes, end):
        many = Dataset(np.zeros((classes, 1, 1, 1), np.uint8), np.arange(classes))
        assert repr(many).endswith(end)

    def test_names_from_a_file_cannot_break_the_line_or_the_terminal(self):
        odd = Dataset(np.zeros((1, 1, 1, 1), np.uint8), np.array([0]), ("a\nb", "\x1b[2J"), "x\ny")
        assert repr(odd) == r"Dataset(x\ny: 1 images of 1 × 1 × 1, uint8, 2 classes: a\nb, \x1b[2J)"
