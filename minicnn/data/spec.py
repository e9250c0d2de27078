"""A data set as it is chosen on a command line, and noted with what was made of it."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from minicnn.checks import whole_number
from minicnn.data.catalog import SOURCES
from minicnn.data.csv import read_csv
from minicnn.data.dataset import Dataset
from minicnn.data.loader import load
from minicnn.data.split import sample
from minicnn.errors import ConfigError
from minicnn.files import check_path

PATHS = ("folder", "train_csv", "test_csv")
"""The fields that name a folder or a file."""


@dataclass(frozen=True)
class DatasetSpec:
    """Where a training and a test set come from.

    Parameters
    ----------
    name : str
        One of ``data.names``; with CSV files any name, and one of these lends its class names.
    folder : str, optional
        That holds the data set; see ``root`` of ``data.load``.
    train_csv, test_csv : str, optional
        Files for ``data.read_csv``, instead of the data set of that name.
    images : int, optional
        Take only so many images to train, and a fifth of that number to test; where one of the two sets is
        loaded alone, so many of it. These are the first of each class, which keeps its share, see ``sample``.
    label : str, optional
        The column of labels in the CSV files, see ``data.read_csv``.

    Raises
    ------
    ConfigError
        If both a folder and files are given, one of them is no path, ``images`` is not a whole number of at
        least 1, or there is a ``label`` without files.
    """

    name: str = "fashion-mnist"
    folder: str | None = None
    train_csv: str | None = None
    test_csv: str | None = None
    images: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        for name in PATHS:
            if getattr(self, name) is not None:
                check_path(getattr(self, name), name)
        if self.folder is not None and (self.train_csv is not None or self.test_csv is not None):
            raise ConfigError("a data set comes from a folder or from CSV files, got both: leave one out")
        if self.images is not None:
            whole_number(self.images, "images")
        if self.label is not None and self.train_csv is None and self.test_csv is None:
            raise ConfigError(
                f"label names a column of CSV files, got {self.label!r} without any: leave it out"
            )

    def load(self) -> tuple[Dataset, Dataset]:
        """Return the training and the test set; raises what ``data.load`` and ``data.read_csv`` raise."""
        if self.train_csv is None and self.test_csv is None:
            train, test = load(self.name, self.folder)
        elif self.train_csv is None or self.test_csv is None:
            raise ConfigError(
                "expected a CSV file to train on and one to test on, got one of them: give both"
            )
        elif _same_file(self.train_csv, self.test_csv):
            raise ConfigError(
                f"{self.train_csv} is to be trained and tested on: keep images apart to test on"
            )
        else:
            train = self._read(self.train_csv, ())
            test = self._read(self.test_csv, train.class_names)
        return self._some(train, 1), self._some(test, 5)

    def load_train(self) -> Dataset:
        """Return the training set alone, for which a test file need not be given."""
        if self.train_csv is None:
            return self.load()[0]
        return self._some(self._read(self.train_csv, ()), 1)

    def load_test(self, class_names: Sequence[str]) -> Dataset:
        """Return the test set alone, whose classes are a model's."""
        if self.test_csv is None:
            return self._some(replace(self, images=None).load()[1], 1)
        return self._some(self._read(self.test_csv, class_names), 1)

    def _read(self, path: str, class_names: Sequence[str]) -> Dataset:
        if self.name in SOURCES:
            class_names = SOURCES[self.name].class_names
        return read_csv(path, class_names, self.name, label=self.label)

    def _some(self, data: Dataset, divisor: int) -> Dataset:
        return data if self.images is None else sample(data, max(self.images // divisor, 1))

    def asdict(self) -> dict[str, Any]:
        """Return it as plain values, from which ``DatasetSpec(**…)`` makes it again anywhere."""
        given = {name: getattr(self, name) for name in PATHS if getattr(self, name) is not None}
        paths = {name: os.path.abspath(os.path.expanduser(path)) for name, path in given.items()}
        return asdict(self) | paths

    def moved(self, folder: str) -> "DatasetSpec":
        """Return the same data at another place: the folder that holds the data set, or its CSV files."""
        if self.train_csv is None:
            return replace(self, folder=folder)
        train_csv, test_csv = (
            str(Path(folder) / Path(path).name) for path in (self.train_csv, self.test_csv)
        )
        return replace(self, train_csv=train_csv, test_csv=test_csv)


def _same_file(first: str, second: str) -> bool:
    """Whether two paths lead to one file, by a link or not; a file that is missing is told by its name."""
    try:
        return os.path.samefile(first, second)
    except OSError:
        return os.path.realpath(first) == os.path.realpath(second)
