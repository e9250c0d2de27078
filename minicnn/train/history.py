"""`History`: the numbers of each epoch."""

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from minicnn.errors import DataError
from minicnn.files import replacing
from minicnn.hints import Hinted
from minicnn.text import printable

SCORES = "loss", "accuracy", "val_loss", "val_accuracy"
COLUMNS = "epoch", *SCORES, "learning_rate", "seconds", "images_per_second"
NEEDED = "dataset", "epoch", "loss", "accuracy"
"""The columns that a table must have."""


class History(Hinted):
    """What ``Trainer.fit`` measured, one row per epoch: ``history["val_accuracy"]`` is a list.

    The columns are ``epoch`` (from 1), ``loss`` and ``accuracy`` (means over the epoch's training batches,
    with augmentation and label smoothing), ``val_loss`` and ``val_accuracy`` (if there is validation),
    ``learning_rate`` (at the epoch's last step), ``seconds`` (without validation) and ``images_per_second``.

    Attributes
    ----------
    dataset : str
        Name of the training set.
    rows : list of dict
        Column to number, one for each epoch.
    """

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        self.rows: list[dict[str, float]] = []

    def append(self, row: dict[str, float]) -> None:
        """Add the numbers of one more epoch."""
        self.rows.append(row)

    def __getitem__(self, column: str) -> list[float]:
        return [row[column] for row in self.rows]

    def __contains__(self, column: object) -> bool:
        return bool(self.rows) and column in self.rows[0]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, float]]:
        return iter(self.rows)

    def __repr__(self) -> str:
        epochs = f"{len(self)} epoch" if len(self) == 1 else f"{len(self)} epochs"
        last = self.rows[-1] if self.rows else {}
        scores = [f"{column} {last[column]:.4f}" for column in SCORES if column in last]
        found = f", the last: {', '.join(scores)}" if scores else ""
        return printable(f"History({self.dataset}: {epochs}{found})")

    @property
    def seconds(self) -> float:
        """The time of training, all epochs together, without validation."""
        return sum(self["seconds"])

    @property
    def images_per_second(self) -> float:
        """The mean over all epochs; 0 before the first."""
        images = sum(row["seconds"] * row["images_per_second"] for row in self.rows)
        return images / self.seconds if self.rows else 0.0

    @classmethod
    def from_csv(cls, path: str | Path) -> "History":
        """Read what ``to_csv`` wrote.

        Raises
        ------
        DataError
            If the file is missing or not such a table; the message names a missing column.
        """
        try:
            # A spreadsheet writes a byte order mark.
            with open(path, newline="", encoding="utf-8-sig") as file:
                return cls._read(file)
        except (OSError, LookupError, ValueError, TypeError, csv.Error) as reason:
            raise DataError(f"{path}: expected a history as History.to_csv writes it ({reason})") from reason

    @classmethod
    def _read(cls, file: TextIO) -> "History":
        table = csv.DictReader(file)
        rows = list(table)
        missing = [column for column in NEEDED if column not in (table.fieldnames or ())]
        if missing:
            raise ValueError(f"it has no column {', '.join(missing)}")
        if not rows:
            raise ValueError("it has no rows below its header")
        history = cls(rows[0]["dataset"])
        for row in rows:
            del row["dataset"]
            # A cell is empty if a callback's own column was not filled in this epoch.
            filled = {column: cell for column, cell in row.items() if cell != "" or column in NEEDED}
            history.append({c: float(cell) for c, cell in filled.items()} | {"epoch": int(row["epoch"])})
        for column in COLUMNS:
            numbers = [row[column] for row in history if column in row]
            if len(numbers) not in (0, len(rows)) or not all(map(math.isfinite, numbers)):
                raise ValueError(f"the column {column} has no number in some row")
        return history

    def columns(self) -> list[str]:
        """Return the names of the columns: first the trainer's, then those added by callbacks."""
        found = {column for row in self.rows for column in row}
        return [c for c in COLUMNS if c in found] + sorted(found.difference(COLUMNS))

    def to_csv(self, path: str | Path) -> None:
        """Write the table to ``path``, with a header and the data set's name; numbers in full precision."""
        with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["dataset", *self.columns()], lineterminator="\n")
            writer.writeheader()
            writer.writerows({"dataset": self.dataset, **row} for row in self.rows)
