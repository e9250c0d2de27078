"""Data sets as CSV, the layout in which Kaggle gives Fashion-MNIST and MNIST.

A line is an image: its label, then its pixels 0…255, row by row (and channel by channel within a pixel)::

    label,pixel1,pixel2,…,pixel784
    2,0,0,…,0
    9,0,13,…,255

The label may also be the last column, or one that the header names, and a word instead of a number.

A file is read some lines at a time: beside the images, which take a byte for each number, memory holds a few
megabytes of it.
"""

import gzip
import io
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from os import PathLike
from pathlib import Path

import numpy as np

from minicnn import checks
from minicnn.data.content import open_content
from minicnn.data.dataset import Dataset, checked_names
from minicnn.errors import ConfigError, DataError, DTypeError
from minicnn.files import check_path, replacing
from minicnn.text import listed, printable

NUMBERS = tuple(map(str, range(256)))
LABEL_TITLES = ("label", "class", "target")
"""What a header calls the column of labels, however it is spelled."""
CHUNK = 2**22
"""Characters that are read at a time."""
MAX_LINE = 2**21
"""Characters that a line may have: half a million pixels of three digits."""

Line = tuple[int, str]  # its number, from 1, and its text


def read_csv(
    path: str | PathLike,
    class_names: Sequence[str] = (),
    name: str | None = None,
    image_shape: tuple[int, int, int] | None = None,
    label: str | None = None,
) -> Dataset:
    """Read a CSV file of labels and pixels into a data set of uint8 images.

    A header is known by its titles, which may be consecutive numbers; a file may do without. Empty lines are
    passed over. A file compressed with gzip is read too, whatever its name.

    Parameters
    ----------
    path : str or path
    class_names : sequence of str
        When left out: of labels that are words, these, sorted; of numbers "0", "1", … up to the largest, or
        from "1" on if the labels are all of 1 … K. A label that is one of the names is that class, any other
        number the place of a name, counted from 0, or from 1 if the largest label is the number of names.
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
        When there is no such file.
    DataError
        When the file is no such table; the message names line and column, both counted from 1. When nothing
        says which column is the label, and the first does not look like it. Or when a label has no class
        name.
    ConfigError
        When ``path``, ``image_shape``, ``class_names`` or ``label`` are not of their kind.
    """
    if not isinstance(path, str | PathLike):
        raise ConfigError(f"path must be that of a file, such as 'train.csv', got {path!r}")
    class_names = checked_names(class_names)
    if image_shape is not None:
        image_shape = checks.shape(image_shape, "image_shape")
        if len(image_shape) != 3:
            raise ConfigError(f"image_shape must be (H, W, C), got {image_shape}: gray images have C = 1")
    if not isinstance(label, str | None):
        raise ConfigError(f'label must be "first", "last" or the title of a column, got {label!r}')
    lines = _lines(path)
    first = next(lines, None)
    if first is None:
        raise DataError(f"{path}: expected a CSV file of labels and pixels; it is empty: fetch it again")
    table = _Table(str(path), first[0], _titles(first[1]))
    shape = table.open(image_shape, label)
    table.read(lines if table.header else chain([first], lines))
    images, labels = table.parts()
    class_names, labels = _classes(path, class_names, table.words or labels)
    try:
        return Dataset(images.reshape(-1, *shape), labels, class_names, stem(path) if name is None else name)
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


def _lines(path: str | PathLike) -> Iterator[Line]:
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
                line = line.rstrip("\n")
                if line:
                    yield number, line
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected a CSV file, which is text; it is none ({error.reason}): check that it is the "
            "right file, and unpack it if it is an archive"
        ) from error


def _chunks(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Yield so many lines at a time as have ``CHUNK`` characters together, at least one."""
    chunk, size = [], 0
    for line in lines:
        chunk.append(line)
        size += len(line[1])
        if size >= CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


@dataclass
class _Table:
    """The numbers of a file, read some lines at a time, and which column is the label.

    Attributes
    ----------
    path, head, titles
        The file, the number of its first line, and that line's fields.
    label : int or None
        The column, once it is known.
    words : list of str
        The labels, if they are words; their column is 0 in ``numbers`` then.
    numbers : list of ndarray
        Pieces of the table, uint8 (lines, columns).
    """

    path: str
    head: int
    titles: list[str]
    label: int | None = None
    words: list[str] = field(default_factory=list)
    numbers: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.place = f"{self.path}, line {self.head}"
        self.header = _is_header(self.titles)

    def open(self, image_shape: tuple[int, int, int] | None, label: str | None) -> tuple[int, int, int]:
        """Find the column of labels, as far as the first line tells, and return the images' shape."""
        if self.header and not self.titles[0]:
            raise DataError(
                f"{self.place}: an index column stands before the label: write the file without it "
                "(with pandas, index=False)"
            )
        shape = self._image_shape(image_shape)
        self.label = self._column(label)
        return shape

    def _image_shape(self, wanted: tuple[int, int, int] | None) -> tuple[int, int, int]:
        fields = len(self.titles)
        if fields == 1:
            raise DataError(
                f"{self.place}: expected a label and pixels, separated by commas; got a single field: "
                "check that it is the right file"
            )
        side = math.isqrt(fields - 1)
        shape = (side, side, 1) if wanted is None else wanted
        if math.prod(shape) == fields - 1:
            return shape
        pixels = "the pixels of a square" if wanted is None else f"the {math.prod(wanted)} pixels of {wanted}"
        without_label = math.isqrt(fields) ** 2 if wanted is None else math.prod(wanted)
        words = [title for title in self.titles if self.header and _is_word(title)]
        if len(words) > 1:
            advice = f"write it without the columns that are neither (it has {listed(words)})"
        elif fields == without_label:
            advice = "the label, which comes first, seems to be missing"
        else:
            advice = "give the image_shape, (H, W, C), that the images have"
        raise DataError(f"{self.place}: expected a label and {pixels}; got {fields} fields: {advice}")

    def _column(self, label: str | None) -> int | None:
        """Return the column of labels, or None if neither ``label`` nor the header tells."""
        if label in ("first", "last"):
            return 0 if label == "first" else len(self.titles) - 1
        if label is not None:
            return self._titled(label)
        if not self.header:
            return None
        known = [i for i, title in enumerate(self.titles) if title.lower() in LABEL_TITLES]
        words = known or [i for i, title in enumerate(self.titles) if _is_word(title)]
        if len(words) > 1:
            titles = [self.titles[i] for i in words]
            raise DataError(
                f"{self.place}: each of {listed(titles)} may be the label: say which, "
                f"with label={titles[0]!r} for example"
            )
        return words[0] if words else None

    def _titled(self, label: str) -> int:
        if not self.header:
            raise DataError(
                f"{self.place}: there is no header to find the label {label!r} by: "
                "give label='first' or label='last'"
            )
        if self.titles.count(label) != 1:
            found = "twice" if label in self.titles else "not"
            raise DataError(
                f"{self.place}: the title {label!r} is {found} in the header, "
                f"{listed(self.titles)}: name another column, or 'first' or 'last'"
            )
        return self.titles.index(label)

    def read(self, lines: Iterable[Line]) -> None:
        """Read all lines but a header."""
        for chunk in _chunks(lines):
            if not self.numbers:
                self._find_words(chunk[0][1])
            columns = len(self.titles)
            texts = self._without_words(chunk)
            piece = None if texts is None else _parse(texts)
            if piece is None or piece.shape[1] != columns:
                raise DataError(f"{self.path}, {self._mistake(chunk)}: correct it, or fetch the file again")
            self.numbers.append(piece)
        if not self.numbers:
            raise DataError(
                f"{self.path}: expected an image on each line; there is only a header: fetch it again"
            )

    def _find_words(self, line: str) -> None:
        """See from the first image whether labels are words."""
        words = [i for i, text in enumerate(_titles(line)) if _is_title(text)]
        self.worded = len(words) == 1 and self.label in (None, words[0])
        if self.worded:
            self.label = words[0]

    def _without_words(self, chunk: list[Line]) -> list[str] | None:
        """Return lines of numbers alone, and keep labels that are words; None if one is no word."""
        if not self.worded:
            return [text for _, text in chunk]
        lines = []
        for _, text in chunk:
            fields = text.split(",")
            word = _word(fields, self.label)
            if not word:
                return None
            self.words.append(word)
            fields[self.label] = "0"
            lines.append(",".join(fields))
        return lines

    def _mistake(self, chunk: list[Line]) -> str:
        """Say where the first mistake is, and what it is.

        Line by line, then field by field: slow, but only where there is a mistake.
        """
        for number, text in chunk:
            fields = text.split(",")
            if len(fields) != len(self.titles):
                expected = f"{len(self.titles)} fields, as in line {self.head}"
                return f"line {number}: expected {expected}; got {len(fields)}"
            if self.worded and not _word(fields, self.label):
                return self._at(number, self.label, "the name of a class", fields)
            numbers = [i for i in range(len(fields)) if not (self.worded and i == self.label)]
            if _parse([",".join(fields[i] for i in numbers)]) is None:
                wrong = next(i for i in numbers if _parse([fields[i]]) is None)
                return self._at(number, wrong, "a whole number 0…255", fields)
        raise AssertionError("a chunk that cannot be read has a line that cannot")

    def _at(self, number: int, column: int, expected: str, fields: list[str]) -> str:
        title = f" ({printable(self.titles[column])})" if self.header else ""
        found = repr(fields[column][:20]) if fields[column].strip() else "nothing"
        return f"line {number}, column {column + 1}{title}: expected {expected}; got {found}"

    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixels, (N, pixels), and the column of labels, (N,); the pieces are given up."""
        if self.label is None:
            self.label = self._guessed()
        labels = np.concatenate([piece[:, self.label] for piece in self.numbers])
        images = np.empty((len(labels), len(self.titles) - 1), np.uint8)
        last = len(labels)
        while self.numbers:
            piece = self.numbers.pop()
            images[last - len(piece) : last] = np.delete(piece, self.label, axis=1)
            last -= len(piece)
        return images, labels

    def _guessed(self) -> int:
        """Return the first column if it looks like labels: nothing else says which they are."""
        first, last = (np.concatenate([piece[:, i] for piece in self.numbers]) for i in (0, -1))
        if _like_labels(first):
            return 0
        decide = "label='last'" if _like_labels(last) else "label='first', 'last', or its title"
        raise DataError(
            f"{self.path}: the first column, which should be the label, holds {_seen(first)}; the last one "
            f"holds {_seen(last)}: say which is the label with {decide}"
        )


def _like_labels(column: np.ndarray) -> bool:
    """Whether numbers can be labels: 0 … K or 1 … K, none missing, none nearly all; of a few, any can."""
    counts = np.bincount(column)
    present = np.flatnonzero(counts)
    whole = present[0] <= 1 and 1 < len(present) == present[-1] - present[0] + 1
    return len(column) < 10 or bool(whole and counts.max() < 0.9 * len(column))


def _seen(column: np.ndarray) -> str:
    """Say which numbers a column holds."""
    counts = np.bincount(column)
    present = np.flatnonzero(counts)
    if len(present) == 1:
        return f"only {present[0]}"
    numbers = f"{len(present)} different numbers from {present[0]} to {present[-1]}"
    return f"{numbers} ({counts.argmax()} in {counts.max() / len(column):.0%} of the lines)"


def _classes(
    path: str | PathLike, names: tuple[str, ...], labels: np.ndarray | list[str]
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the class names and the places of the labels among them; see ``read_csv``."""
    if isinstance(labels, list):
        found = tuple(sorted(set(labels)))
    else:
        present = np.unique(labels)
        found = tuple(map(str, present))
        from_one = present[0] == 1 and len(present) > 1
        if not names and from_one and len(present) == present[-1]:
            names = found
        elif not set(found) <= set(names):
            return names, labels.astype(np.int64) - int(from_one and present[-1] == len(names))
    names = names or found
    unknown = [label for label in found if label not in names]
    if unknown:
        raise DataError(
            f"{path}: the label '{printable(unknown[0])}' is none of the classes {listed(names)}: correct "
            "it, or give a class name for each class"
        )
    places = {name: place for place, name in enumerate(names)}
    return names, np.array([places[str(label)] for label in labels])


def _titles(line: str) -> list[str]:
    """Return the fields of a line, without quotes."""
    return [text.strip().strip("\"'").strip() for text in line.split(",")]


def _is_header(titles: list[str]) -> bool:
    """Whether a first line is a header: it has more words than a label, or numbers its columns."""
    words = [title for title in titles if _is_title(title)]
    if len(words) > 1 or (words and words[0].lower() in LABEL_TITLES):
        return True
    rest = [title for title in titles if title and title not in words]
    numbered = len(rest) > 1 and any(rest == [str(i + start) for i in range(len(rest))] for start in (0, 1))
    # A small image may happen to hold such numbers, one of 16 pixels and more does not.
    return numbered and (len(rest) >= 16 or not titles[0])


def _is_title(text: str) -> bool:
    """Whether a field is a word; an empty one is rather a number that is missing."""
    try:
        float(text)
    except ValueError:
        return bool(text)
    return False


def _word(fields: list[str], column: int) -> str:
    """Return the word in a column, without quotes; "" if there is none."""
    text = _titles(fields[column])[0] if column < len(fields) else ""
    return text if _is_title(text) else ""


def _is_word(title: str) -> bool:
    """Whether a title is one without a number, unlike those of pixels."""
    return bool(title) and not any(map(str.isdigit, title))


def _parse(lines: list[str]) -> np.ndarray | None:
    """Return the numbers, uint8 (lines, columns), or None if something is no whole number 0…255."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy only warns of a float, and of no number at all
        try:
            return np.loadtxt(lines, np.uint8, delimiter=",", comments=None, ndmin=2)
        except (ValueError, Warning):
            return None


def stem(path: str | PathLike) -> str:
    """Return the file's name without ``.csv`` or ``.csv.gz``."""
    return Path(Path(path).name.removesuffix(".gz")).stem
