"""`Dataset`: images with their labels, checked once so that no later code has to."""

from collections import Counter
from collections.abc import Sequence, Sized
from dataclasses import dataclass, replace

import numpy as np

from minicnn import advice
from minicnn.errors import ConfigError, DataError, DTypeError, ShapeError
from minicnn.hints import Hinted
from minicnn.preprocessing import check_pixels
from minicnn.text import listed, printable

# A larger label is an id or a time by mistake, and its class names would fill the memory.
MAX_CLASSES = 65_536


@dataclass(frozen=True, eq=False)
class Dataset(Hinted):
    """Labeled images. Arrays are not copied, except labels that are not int64.

    Parameters
    ----------
    images : ndarray
        (N, H, W, C), uint8 or floating; N is at least 1 and every value is finite.
    labels : ndarray
        (N,), integer, from 0 to ``len(class_names) - 1``; stored as int64.
    class_names : sequence of str, stored as a tuple
        The name of each class; by default "0", "1", … up to the largest label.
    name : str
        The name in messages and reports.

    Raises
    ------
    ShapeError
        If images are not (N, H, W, C), or labels not 1-D.
    DTypeError
        If something is not a NumPy array, images are neither uint8 nor floating, or labels are not integer.
    DataError
        If there are no images, another number of labels, a label outside the classes, labels that count from
        1, or a masked value.
    NonFiniteError
        If an image holds NaN or infinity.
    ConfigError
        If ``class_names`` is not a sequence of different names.

    Notes
    -----
    Where one line of code is sure to fix the data, the message ends with it.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...] = ()
    name: str = "dataset"

    def __post_init__(self) -> None:
        images, labels = _unmasked(self.images), _unmasked(self.labels)
        _check_order(images, labels)
        _check_images(images, _count(labels))
        _check_labels(labels, len(images))
        given = checked_names(self.class_names)
        names = given or _default_names(labels)
        _check_classes(labels, len(names))
        if not given:
            _check_first(labels)
        # The dataclass is frozen, so it cannot assign to its fields.
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "labels", labels.astype(np.int64, copy=False))
        object.__setattr__(self, "class_names", names)
        object.__setattr__(self, "name", printable(str(self.name)))

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        size = " × ".join(map(str, self.image_shape))
        names = ", ".join([*self.class_names[:10], *(["…"] if len(self.class_names) > 10 else [])])
        return printable(
            f"Dataset({self.name}: {len(self):,} images of {size}, {self.images.dtype}, "
            f"{len(self.class_names)} classes: {names})"
        )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of one image."""
        return self.images.shape[1:]

    def subset(self, indices: slice | np.ndarray | list[int]) -> "Dataset":
        """Return the data set of the chosen images, with the same class names.

        Parameters
        ----------
        indices : slice, or integers (K,), or bools (N,)
            A slice gives views of the arrays, anything else copies.

        Raises
        ------
        ConfigError
            If the indices are not 1-D integers or bools, or point outside the data set.
        DataError
            If nothing is chosen.
        """
        if not isinstance(indices, slice):
            indices = np.asarray(indices)
            if indices.size == 0:
                raise DataError("Dataset.subset: no images were chosen; give at least one index")
            if indices.ndim != 1:
                raise ConfigError(
                    f"Dataset.subset: indices must be a slice or 1-D; got shape {indices.shape}: "
                    "to choose image i, write [i]"
                )
        try:
            return replace(self, images=self.images[indices], labels=self.labels[indices])
        except IndexError as error:
            raise ConfigError(f"Dataset.subset: indices must fit {len(self)} images; {error}") from error

    def in_classes(self, class_names: Sequence[str]) -> "Dataset":
        """Return the data set with these classes, each label being the index of its class among them.

        If either has only default names, the labels stay unchanged; a data set with default names may then
        have fewer classes, since its last ones may not occur. Raises DataError for classes not among these.
        """
        if self.class_names == tuple(class_names):
            return self
        if isinstance(self.class_names, Numbers) or isinstance(class_names, Numbers):
            classes, known = len(self.class_names), len(class_names)
            fit = classes == known or (isinstance(self.class_names, Numbers) and classes < known)
            return replace(self, class_names=class_names) if fit else self
        if not set(self.class_names) <= set(class_names):
            raise DataError(
                f"{self.name} has the classes {listed(self.class_names)}; expected {listed(class_names)}"
            )
        indices = np.array([class_names.index(name) for name in self.class_names])
        return replace(self, labels=indices[self.labels], class_names=class_names)

    def class_counts(self) -> np.ndarray:
        """Return the number of images of each class, int64 (len(class_names),)."""
        return np.bincount(self.labels, minlength=len(self.class_names))


class Numbers(tuple[str, ...]):
    """Default class names "0", "1", …, which do not identify the classes."""


def check_dataset(data: Dataset) -> None:
    """Raise DataError if ``data`` is not a Dataset."""
    if not isinstance(data, Dataset):
        raise DataError(
            f"expected a minicnn.data.Dataset, got {type(data).__name__}: "
            "wrap arrays as minicnn.data.Dataset(images, labels)"
        )


def checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the class names as a tuple of different ``text.printable`` texts."""
    if isinstance(names, Numbers):
        return names
    if isinstance(names, np.ndarray) and names.ndim == 1:
        names = names.tolist()
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise ConfigError(f"class_names must be a sequence such as ('cat', 'dog'), got {names!r}")
    names = tuple(printable(str(name)) for name in names)
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise ConfigError(f"class_names must be unique, {twice!r} appears twice: rename one of them")
    return names


def _default_names(labels: np.ndarray) -> Numbers:
    """Name the classes "0" … "largest label"."""
    classes = min(max(int(labels.max()), 0) + 1, MAX_CLASSES)
    return Numbers(map(str, range(classes)))


def _unmasked(array: np.ndarray) -> np.ndarray:
    """Return a masked array without its mask if nothing is masked, anything else unchanged."""
    masked = isinstance(array, np.ma.MaskedArray) and not np.ma.is_masked(array)
    return np.ma.getdata(array) if masked else array


def _count(labels: np.ndarray) -> int | None:
    """Return how many images have labels, or None if the shape of the labels is ambiguous."""
    if not isinstance(labels, np.ndarray):
        return len(labels) if isinstance(labels, Sized) else None
    if labels.ndim == 2 and len(labels) == 1 < labels.size:  # a row of labels, or one that is one-hot
        return None if advice.label_line(labels, 1) else labels.size
    return len(labels) if labels.ndim else 1


def _check_order(images: np.ndarray, labels: np.ndarray) -> None:
    """Raise if the labels were given first."""
    shapes = np.shape(getattr(images, "shape", ())), np.shape(getattr(labels, "shape", ()))
    if shapes[0] == (1,) and shapes[1][0] > 2:
        raise ShapeError(
            f"expected images, then labels; got shapes {images.shape} and {labels.shape}: write "
            "images, labels = labels, images"
        )


def _check_images(images: np.ndarray, n: int | None) -> None:
    """Check that images are a 4-D array of pixels, not empty; ``n`` is the number of labels."""
    if not isinstance(images, np.ndarray):
        raise DTypeError(
            f"images must be a NumPy array; got {type(images).__name__}"
            f"{advice.ending(advice.array_line(images, 'images'))}"
        )
    if images.dtype.kind == "O" and images.ndim == 1:
        raise DTypeError(
            f"images must be one array (N, H, W, C); got {len(images)} objects"
            f"{advice.ending(advice.stack_line(images))}"
        )
    if images.ndim != 4 or advice.channels_first(images.shape) or _images_last(images.shape, n):
        line = advice.ending(advice.shape_line(images.shape, lambda shape: _is_images(shape, n)))
        raise ShapeError(f"images must be 4-D (N, H, W, C), channels last; got shape {images.shape}{line}")
    if images.size == 0:
        raise DataError(f"images must not be empty; got shape {images.shape}: check how they were made")
    check_pixels(images)


def _is_images(shape: tuple[int, ...], n: int | None) -> bool:
    """Whether a shape is that of n images."""
    return shape[0] == n and shape[3] in advice.COLORS and not advice.channels_first(shape)


def _images_last(shape: tuple[int, ...], n: int | None) -> bool:
    """Whether the shape is (H, W, C, N); False for N gray images of height N, which are ambiguous."""
    last = shape[3] == n and shape[2] in advice.COLORS and min(shape[:2]) >= 8
    return last and n not in advice.COLORS and (shape[0] != n or shape[2] > 1)


def _check_labels(labels: np.ndarray, n: int) -> None:
    """Check that labels are n integers."""
    if not isinstance(labels, np.ndarray):
        raise DTypeError(
            f"labels must be a NumPy array; got {type(labels).__name__}"
            f"{advice.ending(advice.array_line(labels, 'labels'))}"
        )
    if np.ma.is_masked(labels):
        raise DataError(
            f"labels must not be masked; {np.ma.count_masked(labels)} of {labels.size} are: leave out images "
            "without a label: write images, labels = images[~labels.mask], labels.compressed()"
        )
    line = advice.ending(advice.label_line(labels, n))
    if labels.ndim != 1:
        raise ShapeError(
            f"labels must be 1-D, one class index for each image; got shape {labels.shape} for {n} images"
            f"{line}"
        )
    if len(labels) != n:
        raise DataError(f"there must be one label for each image; got {n} images and {len(labels)} labels")
    if not np.issubdtype(labels.dtype, np.integer):
        raise DTypeError(f"labels must be integer class indices; got {labels.dtype}{_example(labels)}{line}")


def _example(labels: np.ndarray) -> str:
    """Describe for a message the first label that is not a class index, or the types of the labels."""
    if labels.dtype.kind == "f" and not advice.is_whole(labels):
        index = int(np.flatnonzero(~np.isfinite(labels) | (labels != np.rint(labels)))[0])
        return f", labels[{index}] is {labels[index]}, which is not a class"
    if labels.dtype.kind in "OUS":
        kinds = sorted({type(label).__name__ for label in labels})
        return f", such as {labels[0]!r}" if len(kinds) == 1 else f" of {' and '.join(kinds)}"
    return ""


def _check_classes(labels: np.ndarray, classes: int) -> None:
    """Raise with the first label that is not in 0 … classes − 1."""
    bad = (labels < 0) | (labels >= classes)
    if bad.any():
        index = int(bad.argmax())
        line = advice.counting_line(labels, classes)
        what_to_do = advice.ending(line) or ": correct it, or give a class name for each class"
        raise DataError(
            f"labels must be within 0…{classes - 1} ({classes} classes); labels[{index}] is {labels[index]}, "
            f"they go from {labels.min()} to {labels.max()}{what_to_do}"
        )


def _check_first(labels: np.ndarray) -> None:
    """Raise if labels without class names are 1 … K: they probably count from 1."""
    present = np.unique(labels)
    if present[0] == 1 and len(present) == present[-1] > 1:
        raise DataError(
            f"labels must count from 0; they are 1 to {present[-1]}, without 0. If class 0 "
            "exists but has no image, name all classes: Dataset(images, labels, class_names). If not"
            f"{advice.ending('labels = labels - 1')}"
        )
