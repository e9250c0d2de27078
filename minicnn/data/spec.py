"""`DatasetSpec`: where data come from, as given on a command line and saved with the results of a run."""

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
        One of ``data.names``. With CSV files any name; one of ``data.names`` also gives the class names.
    folder : str, optional
        The folder of the data set; see ``root`` of ``data.load``.
    train_csv, test_csv : str, optional
        Files for ``data.read_csv``, instead of a folder.
    images : int, optional
        The number of training images, at least 1; a fifth as many are used to test. A set that is loaded
        alone gets the whole number. See ``sample``.
    label : str, optional
        The column of labels, only with CSV files; see ``data.read_csv``.
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
        files = self.train_csv is not None or self.test_csv is not None
        if files and self.folder is not None:
            raise ConfigError("a data set comes from a folder or from CSV files, got both: leave one out")
        if self.images is not None:
            whole_number(self.images, "images")
        if self.label is not None and not files:
            raise ConfigError(
                f"label names a column of CSV files, got {self.label!r} without any: leave it out"
            )

    def load(self) -> tuple[Dataset, Dataset]:
        """Return the training and the test set; errors are those of ``data.load`` and ``data.read_csv``."""
        if self.train_csv is None and self.test_csv is None:
            train, test = load(self.name, self.folder)
        elif self.train_csv is None or self.test_csv is None:
            raise ConfigError(
                "expected a CSV file to train on and one to test on, got one of them: give both"
            )
        elif _same_file(self.train_csv, self.test_csv):
            raise ConfigError(f"{self.train_csv} is given for training and for testing: test on other images")
        else:
            train = self._read(self.train_csv, ())
            test = self._read(self.test_csv, train.class_names)
        return self._sample(train, 1), self._sample(test, 5)

    def load_train(self) -> Dataset:
        """Return the training set alone; a test file need not be given."""
        if self.train_csv is None:
            return self.load()[0]
        return self._sample(self._read(self.train_csv, ()), 1)

    def load_test(self, class_names: Sequence[str]) -> Dataset:
        """Return the test set alone, with the classes of a model."""
        if self.test_csv is None:
            return self._sample(replace(self, images=None).load()[1], 1)
        return self._sample(self._read(self.test_csv, class_names), 1)

    def _read(self, path: str, class_names: Sequence[str]) -> Dataset:
        if self.name in SOURCES:
            class_names = SOURCES[self.name].class_names
        return read_csv(path, class_names, self.name, label=self.label)

    def _sample(self, data: Dataset, divisor: int) -> Dataset:
        return data if self.images is None else sample(data, max(self.images // divisor, 1))

    def asdict(self) -> dict[str, Any]:
        """Return plain values, with absolute paths: ``DatasetSpec(**values)`` works in any folder."""
        given = {name: getattr(self, name) for name in PATHS if getattr(self, name) is not None}
        paths = {name: os.path.abspath(os.path.expanduser(path)) for name, path in given.items()}
        return asdict(self) | paths

    def moved(self, folder: str) -> "DatasetSpec":
        """Return the same data in another place: the folder of the data set, or of its CSV files."""
        if self.train_csv is None or self.test_csv is None:
            return replace(self, folder=folder)
        train_csv, test_csv = (str(Path(folder, Path(path).name)) for path in (self.train_csv, self.test_csv))
        return replace(self, train_csv=train_csv, test_csv=test_csv)


def _same_file(first: str, second: str) -> bool:
    """Whether two paths are of the same file; of missing files, the paths are compared."""
    try:
        return os.path.samefile(first, second)
    except OSError:
        return os.path.realpath(first) == os.path.realpath(second)
