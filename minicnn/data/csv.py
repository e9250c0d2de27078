"""Data sets as CSV, the layout in which Kaggle gives Fashion-MNIST and MNIST.

A line is an image: its label, then its pixels 0…255, row by row (and channel by channel within a pixel)::

    label,pixel1,pixel2,…,pixel784
    2,0,0,…,0
    9,0,13,…,255
"""

import gzip
import io
import math
import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from minicnn import checks
from minicnn.data.content import open_content
from minicnn.data.dataset import Dataset, checked_names
from minicnn.errors import ConfigError, DataError, DTypeError
from minicnn.files import check_path, replacing

NUMBERS = tuple(map(str, range(256)))
LABEL_TITLES = ("label", "class", "target")
"""What a header calls the column of labels, however it is spelt."""


def read_csv(
    path: str | PathLike,
    class_names: Sequence[str] = (),
    name: str | None = None,
    image_shape: tuple[int, int, int] | None = None,
) -> Dataset:
    """Read a CSV file of labels and pixels into a data set of uint8 images.

    The first line is a header if its first field is no number; a file may do without. Empty lines are
    passed over. A file compressed with gzip is read too, whatever its name.

    Parameters
    ----------
    path : str or path
    class_names : sequence of str
        "0", "1", … up to the largest label when left out.
    name : str, optional
        By default the file's name without its ending.
    image_shape : (H, W, C), optional
        By default a square with one channel, of as many pixels as the file has columns for.

    Returns
    -------
    Dataset
        Images (N, H, W, C) uint8, in the file's order.

    Raises
    ------
    DataNotFoundError
        When there is no such file.
    DataError
        When the file is no such table, or its header has the label in another column than the first; the
        message names line and column, both counted from 1. Or when a label has no class name.
    ConfigError
        When ``path``, ``image_shape`` or ``class_names`` are not of their kind.
    """
    if not isinstance(path, str | PathLike):
        raise ConfigError(f"path must be that of a file, such as 'train.csv', got {path!r}")
    class_names = checked_names(class_names)
    if image_shape is not None:
        image_shape = checks.shape(image_shape, "image_shape")
        if len(image_shape) != 3:
            raise ConfigError(f"image_shape must be (H, W, C), got {image_shape}: grey images have C = 1")
    lines = _lines(path)
    head = next((i for i, line in enumerate(lines) if line), None)
    if head is None:
        raise DataError(f"{path}: expected a CSV file of labels and pixels; it is empty: fetch it again")
    place, titles = f"{path}, line {head + 1}", _titles(lines[head])
    _check_titles(place, titles)
    shape = _image_shape(place, len(titles), image_shape)
    first = head + 1 if _is_title(titles[0]) else head
    if not any(lines[first:]):
        raise DataError(f"{path}: expected an image on each line; there is only a header: fetch it again")
    table = _parse(lines[first:])
    if table is None or table.shape[1] != len(titles):
        raise DataError(f"{path}, {_mistake(lines, head, first)}: correct it, or fetch the file again")
    images = np.ascontiguousarray(table[:, 1:]).reshape(-1, *shape)
    try:
        return Dataset(images, table[:, 0], class_names, stem(path) if name is None else name)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def write_csv(dataset: Dataset, path: str | PathLike) -> None:
    """Write a data set as CSV with a header, compressed when the name ends in ``.gz``.

    Class names and the shape of the images are not written: give them to ``read_csv``. A file that is
    there already is replaced only once the new one is whole.

    Parameters
    ----------
    dataset : Dataset
        With uint8 images and labels up to 255.
    path : str or path
        Folders that are missing are made.

    Raises
    ------
    DTypeError
        When the images are not uint8.
    DataError
        When a label is above 255.
    OutputError
        When the file cannot be written.
    """
    images, labels = dataset.images, dataset.labels
    if images.dtype != np.uint8:
        raise DTypeError(
            f"write_csv: a CSV file holds uint8 images; got {images.dtype}: "
            "convert images on 0…1 with np.rint(images * 255).astype(np.uint8)"
        )
    if labels.max() > 255:
        raise DataError(f"write_csv: a CSV file holds labels up to 255; got {labels.max()}: save them as IDX")
    path = check_path(path)
    with replacing(path) as part:
        lines = [",".join(["label", *(f"pixel{i}" for i in range(1, images[0].size + 1))])]
        for label, image in zip(labels, images, strict=True):
            lines.append(",".join([NUMBERS[label], *[NUMBERS[value] for value in image.tobytes()]]))
        content = ("\n".join(lines) + "\n").encode()
        part.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def _lines(path: str | PathLike) -> list[str]:
    """Return the lines of a text file, without their ends."""
    try:
        with io.TextIOWrapper(open_content(path), encoding="utf-8-sig") as text:
            return [line.rstrip("\n") for line in text]
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected a CSV file, which is text; it is none ({error.reason}): check that it is the "
            "right file, and unpack it if it is an archive"
        ) from error


def _titles(line: str) -> list[str]:
    """Return the fields of a header, without quotes."""
    return [field.strip().strip("\"'").strip() for field in line.split(",")]


def _check_titles(place: str, titles: list[str]) -> None:
    """Refuse a header whose first column is not the label; pixels would be taken for it."""
    first, *others = titles
    if not first and any(map(_is_title, others)):
        raise DataError(
            f"{place}: an index column stands before the label: write the file without it "
            "(with pandas, index=False)"
        )
    for column, title in enumerate(others, 2):
        if title.lower() in LABEL_TITLES:
            raise DataError(
                f"{place}: the label must be the first column; the header has it in column {column} "
                f"({title}): write the file again with that column first"
            )


def _image_shape(place: str, fields: int, wanted: tuple[int, int, int] | None) -> tuple[int, int, int]:
    """Return the shape of images whose label and pixels are so many fields."""
    if fields == 1:
        raise DataError(
            f"{place}: expected a label and pixels, separated by commas; got a single field: "
            "check that it is the right file"
        )
    side = math.isqrt(fields - 1)
    shape = (side, side, 1) if wanted is None else wanted
    if math.prod(shape) == fields - 1:
        return shape
    pixels = "the pixels of a square" if wanted is None else f"the {math.prod(wanted)} pixels of {wanted}"
    without_label = math.isqrt(fields) ** 2 if wanted is None else math.prod(wanted)
    if fields == without_label:
        advice = "the label, which comes first, seems to be missing"
    else:
        advice = "give the image_shape, (H, W, C), that the images have"
    raise DataError(f"{place}: expected a label and {pixels}; got {fields} fields: {advice}")


def _is_title(field: str) -> bool:
    """Whether a field is a word; an empty one is rather a number that is missing."""
    try:
        float(field)
    except ValueError:
        return bool(field)
    return False


def _parse(lines: list[str]) -> np.ndarray | None:
    """Return the numbers, uint8 (lines, columns), or None if something is no whole number 0…255."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy only warns of a float, and of no number at all
        try:
            return np.loadtxt(lines, np.uint8, delimiter=",", comments=None, ndmin=2)
        except (ValueError, Warning):
            return None


def _mistake(lines: list[str], head: int, first: int) -> str:
    """Say where, from line ``first`` on, the first mistake is, and what it is.

    Line by line, then field by field: slow, but only where there is a mistake.
    """
    titles = _titles(lines[head])
    row = next(i for i in range(first, len(lines)) if lines[i] and not _is_row(lines[i], len(titles)))
    fields = lines[row].split(",")
    if len(fields) != len(titles):
        return f"line {row + 1}: expected {len(titles)} fields, as in line {head + 1}; got {len(fields)}"
    column = next(i for i, field in enumerate(fields) if _parse([field]) is None)
    title = f" ({titles[column]})" if first > head else ""
    found = repr(fields[column][:20]) if fields[column].strip() else "nothing"
    return f"line {row + 1}, column {column + 1}{title}: expected a whole number 0…255; got {found}"


def _is_row(line: str, columns: int) -> bool:
    return line.count(",") == columns - 1 and _parse([line]) is not None


def stem(path: str | PathLike) -> str:
    """Return the file's name without ``.csv`` or ``.csv.gz``."""
    return Path(Path(path).name.removesuffix(".gz")).stem
