"""`Dataset`: images with their labels, checked once so that nothing after it has to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from minicnn.errors import ConfigError, DataError, DTypeError, NonFiniteError, ShapeError

# A larger label is an id or a time by mistake, and its class names would fill the memory.
MAX_CLASSES = 65_536


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images. Arrays are kept as they are given, without a copy, except labels made int64.

    Parameters
    ----------
    images : ndarray
        (N, H, W, C), uint8 or floating; N is at least 1 and every value is finite.
    labels : ndarray
        (N,), integer, from 0 to ``len(class_names) - 1``; kept as int64.
    class_names : tuple of str
        The name of each class; "0", "1", … up to the largest label when left out.
    name : str
        What the data set is called in messages and reports.

    Raises
    ------
    ShapeError
        Images are not 4-D, or labels not 1-D.
    DTypeError
        Something is not a NumPy array, images are neither uint8 nor floating, labels are not integer.
    DataError
        No images, another number of labels than of images, or a label outside the classes.
    NonFiniteError
        An image holds NaN or infinity.
    ConfigError
        ``class_names`` is not a sequence of names.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...] = ()
    name: str = "dataset"

    def __post_init__(self) -> None:
        _check_images(self.images)
        _check_labels(self.labels, len(self.images))
        names = checked_names(self.class_names) or _default_names(self.labels)
        _check_range(self.labels, len(names))
        # The dataclass is frozen, so its own fields are set the long way.
        object.__setattr__(self, "class_names", names)
        object.__setattr__(self, "labels", self.labels.astype(np.int64, copy=False))

    def __len__(self) -> int:
        return len(self.images)

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
            When the indices are not 1-D integers or bools, or point outside the data set.
        DataError
            When nothing is chosen.
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

    def class_counts(self) -> np.ndarray:
        """Return the number of images of each class, int64 (len(class_names),)."""
        return np.bincount(self.labels, minlength=len(self.class_names))


def _check_images(images: np.ndarray) -> None:
    """Raise unless images are a 4-D array of finite numbers, with at least one image."""
    if not isinstance(images, np.ndarray):
        raise DTypeError(f"images must be a NumPy array; got {type(images).__name__}: use np.asarray(images)")
    if images.ndim == 3:
        raise ShapeError(
            f"images must be 4-D (N, H, W, C); got shape {images.shape}: "
            "if they are N×H×W, add the channel axis with images[..., None]"
        )
    if images.ndim != 4:
        raise ShapeError(f"images must be 4-D (N, H, W, C); got shape {images.shape}: reshape them")
    if images.size == 0:
        raise DataError(f"images must not be empty; got shape {images.shape}: check how they were made")
    floating = np.issubdtype(images.dtype, np.floating)
    if images.dtype != np.uint8 and not floating:
        raise DTypeError(f"images must be uint8 or floating; got {images.dtype}: convert with images.astype")
    if floating:
        _check_finite(images)


def _check_finite(images: np.ndarray) -> None:
    """Raise with the index of the first value that is NaN or infinite."""
    finite = np.isfinite(images)
    if not finite.all():
        index = tuple(int(i) for i in np.unravel_index(finite.argmin(), finite.shape))
        raise NonFiniteError(
            f"images must be finite; images{list(index)} is {images[index]}: remove that image or mend it"
        )


def _check_labels(labels: np.ndarray, n: int) -> None:
    """Raise unless labels are n integers."""
    if not isinstance(labels, np.ndarray):
        raise DTypeError(f"labels must be a NumPy array; got {type(labels).__name__}: use np.asarray(labels)")
    if labels.ndim != 1:
        raise ShapeError(
            f"labels must be 1-D, one class index for each image; got shape {labels.shape}: "
            "one-hot labels become indices with labels.argmax(axis=1)"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise DTypeError(f"labels must be integer class indices; got {labels.dtype}: use labels.astype(int)")
    if len(labels) != n:
        raise DataError(f"there must be one label for each image; got {n} images and {len(labels)} labels")


def _check_range(labels: np.ndarray, classes: int) -> None:
    """Raise with the first label that is not a class."""
    bad = (labels < 0) | (labels >= classes)
    if bad.any():
        index = int(bad.argmax())
        raise DataError(
            f"labels must be within 0…{classes - 1} ({classes} classes); labels[{index}] is {labels[index]}: "
            "correct it, or give a class name for each class"
        )


def checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the class names as a tuple of text."""
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise ConfigError(f"class_names must be a sequence such as ('cat', 'dog'), got {names!r}")
    return tuple(map(str, names))


def _default_names(labels: np.ndarray) -> tuple[str, ...]:
    """Name the classes "0" … "largest label"."""
    classes = min(max(int(labels.max()), 0) + 1, MAX_CLASSES)
    return tuple(str(i) for i in range(classes))
