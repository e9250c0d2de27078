"""Data sets as CSV, the layout in which Kaggle distributes Fashion-MNIST and MNIST.

A line is an image: its label, then its pixels 0…255, row by row (and channel by channel within a pixel)::

    label,pixel1,pixel2,…,pixel784
    2,0,0,…,0
    9,0,13,…,255

The label may also be in the last column or one that the header names, and may be a word.

A file is read a few megabytes at a time, so memory holds little more than the images.
"""

import io
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from os import PathLike
from pathlib import Path

import numpy as np

from minicnn import checks
from minicnn.data.content import open_content, write_content
from minicnn.data.dataset import Dataset, checked_names
from minicnn.errors import ConfigError, DataError, DTypeError
from minicnn.files import check_file
from minicnn.text import listed, printable

NUMBERS = tuple(map(str, range(256)))
LABEL_TITLES = ("label", "class", "target")  # what a header calls the column of labels, in any case
CHUNK = 2**22  # characters that are read at a time
MAX_LINE = 2**21  # characters that a line may have: half a million pixels of three digits
Line = tuple[int, str]  # its number, from 1, and its text


def read_csv(
    path: str | PathLike[str],
    class_names: Sequence[str] = (),
    name: str | None = None,
    image_shape: tuple[int, int, int] | None = None,
    label: str | None = None,
) -> Dataset:
    """Read a CSV file of labels and pixels into a data set of uint8 images.

    The first line is a header if it has titles, which may be consecutive numbers. Empty lines are skipped.
    The file may be compressed with gzip, under any name.

    Parameters
    ----------
    path : str or path
    class_names : sequence of str
        By default the labels themselves, sorted, if they are words or all of 1 … K; else "0", "1", … up to
        the largest. A label that is one of the names is that class. Any other number is the index of a name,
        from 0, or from 1 if the smallest label is 1 and the largest the number of names.
    name : str, optional
        By default the file's name without its ending.
    image_shape : (H, W, C), optional
        By default a square with one channel, of as many pixels as the file has columns for.
    label : str, optional
        The column of labels: "first", "last", or its title. By default the one that the header calls label,
        class or target, or the only one whose title has no number, or whose fields are words; else the
        first, if it holds all numbers of 0 … K or 1 … K.

    Returns
    -------
    Dataset
        Images (N, H, W, C) uint8, in the file's order.

    Raises
    ------
    DataNotFoundError
        If there is no such file.
    DataError
        If the file is not such a table (the message names line and column, counted from 1), it is not clear
        which column is the label, or a label has no class name.
    """
    if not isinstance(path, str | PathLike):
        raise ConfigError(f"path must be a path such as 'train.csv', got {path!r}")
    class_names = checked_names(class_names)
    wanted = None if image_shape is None else checks.shape(image_shape, "image_shape")
    if wanted is not None and len(wanted) != 3:
        raise ConfigError(f"image_shape must be (H, W, C), got {wanted}: gray images have C = 1")
    if not isinstance(label, str | None):
        raise ConfigError(f'label must be "first", "last" or the title of a column, got {label!r}')
    lines = _lines(path)
    first = next(lines, None)
    if first is None:
        raise DataError(f"{path}: expected a CSV file of labels and pixels; it is empty: fetch it again")
    table = _Table(str(path), *first)
    shape = table.image_shape(wanted)
    table.label = table.label_column(label)
    table.read(lines if table.header else chain([first], lines))
    images, labels = table.arrays()
    class_names, labels = _classes(path, class_names, table.words or labels)
    try:
        return Dataset(images.reshape(-1, *shape), labels, class_names, stem(path) if name is None else name)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def write_csv(dataset: Dataset, path: str | PathLike[str]) -> None:
    """Write a data set as CSV with a header, compressed if the name ends in ``.gz``.

    Class names and the shape of the images are not written: pass them to ``read_csv``. See `write_content`.

    Parameters
    ----------
    dataset : Dataset
        With uint8 images and labels up to 255.
    path : str or path
    """
    images, labels = dataset.images, dataset.labels
    if images.dtype != np.uint8:
        raise DTypeError(
            f"write_csv: a CSV file holds uint8 images; got {images.dtype}: "
            "convert images on 0…1 with np.rint(images * 255).astype(np.uint8)"
        )
    if labels.max() > 255:
        raise DataError(f"write_csv: a CSV file holds labels up to 255; got {labels.max()}: save them as IDX")
    check_file(path)
    lines = [",".join(["label", *(f"pixel{i}" for i in range(1, images[0].size + 1))])]
    for label, image in zip(labels, images, strict=True):
        lines.append(",".join([NUMBERS[label], *[NUMBERS[value] for value in image.tobytes()]]))
    write_content(Path(path), ("\n".join(lines) + "\n").encode())


def stem(path: str | PathLike[str]) -> str:
    """Return the file's name without ``.csv`` or ``.csv.gz``."""
    return Path(Path(path).name.removesuffix(".gz")).stem


def _lines(path: str | PathLike[str]) -> Iterator[Line]:
    """Yield the lines of a text file that are not empty, without their ends."""
    try:
        with io.TextIOWrapper(open_content(path), encoding="utf-8-sig") as text:
            number = 0
            while line := text.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise DataError(
                        f"{path}, line {number}: expected at most {MAX_LINE:,} characters; there are more: "
                        "check that it is the right file"
                    )
                if line := line.rstrip("\n"):
                    yield number, line
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected a CSV file, which is text; this is not ({error.reason}): check that it is the "
            "right file, and unpack it if it is an archive"
        ) from error


def _chunks(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Yield lists of lines, of ``CHUNK`` characters or a little more."""
    chunk, size = [], 0
    for line in lines:
        chunk.append(line)
        size += len(line[1])
        if size >= CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


class _Table:
    """The numbers of a file, and which column is the label.

    Attributes
    ----------
    titles : list of str
        The fields of the first line, whether it is a header or not.
    label, worded : int or None
        The column of labels, once it is known, and the same if they are words.
    words : list of str
        The labels, if they are words; their column in ``numbers`` is 0 then.
    numbers : list of ndarray
        Pieces of the table, uint8 (lines, columns).
    """

    def __init__(self, path: str, number: int, line: str) -> None:
        self.path, self.first = path, number
        self.titles = _fields(line)
        self.header = _is_header(self.titles)
        self.label: int | None = None
        self.worded: int | None = None
        self.words: list[str] = []
        self.numbers: list[np.ndarray] = []

    def image_shape(self, wanted: tuple[int, ...] | None) -> tuple[int, ...]:
        """Return the shape of an image, of as many pixels as there are columns beside the label."""
        count = len(self.titles)
        if self.header and not self.titles[0]:
            raise self._error(
                "an index column comes before the label: write the file without it (with pandas, index=False)"
            )
        if count == 1:
            raise self._error(
                "expected a label and pixels, separated by commas; got a single field: check that it is the "
                "right file"
            )
        side = math.isqrt(count - 1)
        shape = (side, side, 1) if wanted is None else wanted
        if math.prod(shape) == count - 1:
            return shape
        pixels = "the pixels of a square" if wanted is None else f"the {math.prod(wanted)} pixels of {wanted}"
        without_label = math.isqrt(count) ** 2 if wanted is None else math.prod(wanted)
        words = [title for title in self.titles if self.header and not _has_number(title)]
        if len(words) > 1:
            advice = f"write it without the columns that are neither (it has {listed(words)})"
        elif count == without_label:
            advice = "the label, which comes first, seems to be missing"
        else:
            advice = "give the image_shape, (H, W, C), that the images have"
        raise self._error(f"expected a label and {pixels}; got {count} fields: {advice}")

    def label_column(self, label: str | None) -> int | None:
        """Return the column of labels, or None if neither ``label`` nor the header decides."""
        if label in ("first", "last"):
            return 0 if label == "first" else len(self.titles) - 1
        if not self.header:
            if label is None:
                return None
            raise self._error(
                f"without a header, no column is called {label!r}: give label='first' or label='last'"
            )
        if label is not None:
            if self.titles.count(label) != 1:
                raise self._error(
                    f"the title {label!r} is {'twice' if label in self.titles else 'not'} in the header, "
                    f"{listed(self.titles)}: name another column, or 'first' or 'last'"
                )
            return self.titles.index(label)
        found = [i for i, title in enumerate(self.titles) if title.lower() in LABEL_TITLES]
        found = found or [i for i, title in enumerate(self.titles) if not _has_number(title)]
        if len(found) > 1:
            titles = [self.titles[i] for i in found]
            raise self._error(
                f"the label may be any of {listed(titles)}: choose one, such as label={titles[0]!r}"
            )
        return found[0] if found else None

    def _error(self, message: str) -> DataError:
        return DataError(f"{self.path}, line {self.first}: {message}")

    def read(self, lines: Iterable[Line]) -> None:
        """Read all lines except a header."""
        for chunk in _chunks(lines):
            if not self.numbers:  # the first image shows whether labels are words
                words = [i for i, text in enumerate(_fields(chunk[0][1])) if _is_word(text)]
                if len(words) == 1 and self.label in (None, words[0]):
                    self.label = self.worded = words[0]
            texts = [text for _, text in chunk]
            if self.worded is not None:
                texts = self._without_words(texts, self.worded)
            piece = None if texts is None else _parse(texts)
            if piece is None or piece.shape[1] != len(self.titles):
                raise DataError(f"{self.path}, {self._mistake(chunk)}: correct it, or fetch the file again")
            self.numbers.append(piece)
        if not self.numbers:
            raise DataError(
                f"{self.path}: expected an image on each line; there is only a header: fetch it again"
            )

    def _without_words(self, texts: list[str], column: int) -> list[str] | None:
        """Move the labels to ``words`` and return the lines with 0 instead; None if one is not a word."""
        lines = []
        for text in texts:
            fields = text.split(",")
            word = _word(fields, column)
            if not word:
                return None
            self.words.append(word)
            fields[column] = "0"
            lines.append(",".join(fields))
        return lines

    def _mistake(self, chunk: list[Line]) -> str:
        """Return where the first mistake is, and what it is."""
        for number, text in chunk:
            fields = text.split(",")
            if len(fields) != len(self.titles):
                expected = f"{len(self.titles)} fields, as in line {self.first}"
                return f"line {number}: expected {expected}; got {len(fields)}"
            numbers = [i for i in range(len(fields)) if i != self.worded]
            if self.worded is not None and not _word(fields, self.worded):
                column, expected = self.worded, "the name of a class"
            elif _parse([",".join(fields[i] for i in numbers)]) is None:
                column = next(i for i in numbers if _parse([fields[i]]) is None)
                expected = "a whole number 0…255"
            else:
                continue
            title = f" ({printable(self.titles[column])})" if self.header else ""
            found = repr(fields[column][:20]) if fields[column].strip() else "nothing"
            return f"line {number}, column {column + 1}{title}: expected {expected}; got {found}"
        raise AssertionError("a chunk that cannot be read has a line that cannot")

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixels, (N, pixels), and the column of labels, (N,); ``numbers`` is empty afterwards."""
        label = self._guessed() if self.label is None else self.label
        labels = np.concatenate([piece[:, label] for piece in self.numbers])
        images = np.empty((len(labels), len(self.titles) - 1), np.uint8)
        end = len(labels)
        while self.numbers:  # each piece is freed once it is copied
            piece = self.numbers.pop()
            images[end - len(piece) : end] = np.delete(piece, label, axis=1)
            end -= len(piece)
        return images, labels

    def _guessed(self) -> int:
        """Return the first column if it looks like labels, where neither the header nor words decide."""
        first, last = (np.concatenate([piece[:, i] for piece in self.numbers]) for i in (0, -1))
        if _like_labels(first):
            return 0
        decide = "label='last'" if _like_labels(last) else "label='first', 'last', or its title"
        raise DataError(
            f"{self.path}: the first column, which should be the label, holds {_summary(first)}; the last "
            f"one holds {_summary(last)}: choose the label with {decide}"
        )


def _like_labels(column: np.ndarray) -> bool:
    """Whether numbers may be labels: 0 … K or 1 … K, none of them nearly everywhere; a few always may."""
    present, counts = np.unique(column, return_counts=True)
    complete = present[0] <= 1 and 1 < len(present) == int(present[-1]) - int(present[0]) + 1
    return len(column) < 10 or bool(complete and counts.max() < 0.9 * len(column))


def _summary(column: np.ndarray) -> str:
    """Describe the numbers of a column."""
    present, counts = np.unique(column, return_counts=True)
    if len(present) == 1:
        return f"only {present[0]}"
    numbers = f"{len(present)} different numbers from {present[0]} to {present[-1]}"
    return f"{numbers} ({present[counts.argmax()]} in {counts.max() / len(column):.0%} of the lines)"


def _classes(
    path: str | PathLike[str], names: tuple[str, ...], labels: np.ndarray | list[str]
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the class names and the index of each label among them; see ``read_csv``."""
    found = tuple(map(str, sorted(set(labels))))
    if not isinstance(labels, list):
        low, high = labels.min(), labels.max()
        if not names and low == 1 < high == len(found):
            names = found
        elif not set(found) <= set(names):
            return names, labels.astype(np.int64) - int(low == 1 < high == len(names))
    names = names or found
    unknown = [label for label in found if label not in names]
    if unknown:
        raise DataError(
            f"{path}: the label '{printable(unknown[0])}' is not one of the classes {listed(names)}: "
            "correct it, or name all classes"
        )
    indices = {name: index for index, name in enumerate(names)}
    return names, np.array([indices[str(label)] for label in labels])


def _fields(line: str) -> list[str]:
    """Return the fields of a line, without quotes."""
    return [text.strip().strip("\"'").strip() for text in line.split(",")]


def _is_header(titles: list[str]) -> bool:
    """Whether a first line is a header: it has more words than a label, or numbers its columns."""
    words = [title for title in titles if _is_word(title)]
    if len(words) > 1 or (words and words[0].lower() in LABEL_TITLES):
        return True
    rest = [title for title in titles if title and title not in words]
    numbered = len(rest) > 1 and any(rest == [str(i + start) for i in range(len(rest))] for start in (0, 1))
    # A small image may happen to hold such numbers, one of 16 pixels and more does not.
    return numbered and (len(rest) >= 16 or not titles[0])


def _is_word(text: str) -> bool:
    """Whether a field is a word; an empty one counts as a missing number."""
    try:
        float(text)
    except ValueError:
        return bool(text)
    return False


def _word(fields: list[str], column: int) -> str:
    """Return the word in a column, without quotes; "" if there is none."""
    text = _fields(fields[column])[0] if column < len(fields) else ""
    return text if _is_word(text) else ""


def _has_number(title: str) -> bool:
    """Whether a title has a number, as those of pixels have, or is empty."""
    return not title or any(map(str.isdigit, title))


def _parse(lines: list[str]) -> np.ndarray | None:
    """Return the numbers, uint8 (lines, columns), or None if one is not a whole number 0…255."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy only warns about floats, and about empty fields
        try:
            return np.loadtxt(lines, np.uint8, delimiter=",", comments=None, ndmin=2)
        except (ValueError, Warning):
            return None
