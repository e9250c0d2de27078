"""History: one row of numbers an epoch."""

import csv
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from minicnn.errors import DataError
from minicnn.files import replacing
from minicnn.hints import Hinted
from minicnn.text import printable

COLUMNS = (
    "epoch",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "learning_rate",
    "seconds",
    "images_per_second",
)
NEEDED = ("dataset", "epoch", "loss", "accuracy")
"""Of a history's table; the other columns may be missing."""
JUDGED = ("loss", "accuracy", "val_loss", "val_accuracy")


class History(Hinted):
    """What ``Trainer.fit`` measured, a row an epoch: ``history["val_accuracy"]`` is a list.

    The columns are ``epoch`` (from 1), ``loss`` and ``accuracy`` (means over the epoch's training
    batches, as they were met: augmented, the loss with label smoothing), ``val_loss`` and
    ``val_accuracy`` (where there was validation, see ``Trainer.evaluate``), ``learning_rate`` (at the
    epoch's last step), ``seconds`` (training, without validation) and ``images_per_second``.

    Attributes
    ----------
    dataset : str
        Name of the training set.
    rows : list of dict
        Column to number, an epoch each.
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

    def __repr__(self) -> str:
        epochs = f"{len(self)} epoch" if len(self) == 1 else f"{len(self)} epochs"
        last = self.rows[-1] if self.rows else {}
        shown = [f"{column} {last[column]:.4f}" for column in JUDGED if column in last]
        found = f", the last: {', '.join(shown)}" if shown else ""
        return printable(f"History({self.dataset}: {epochs}{found})")

    def __iter__(self) -> Iterator[dict[str, float]]:
        return iter(self.rows)

    @property
    def seconds(self) -> float:
        """How long training took, all epochs together, without validation."""
        return sum(self["seconds"])

    @property
    def images_per_second(self) -> float:
        """Images trained on in a second, over all epochs; 0 before the first."""
        images = sum(row["seconds"] * row["images_per_second"] for row in self.rows)
        return images / self.seconds if self.rows else 0.0

    @classmethod
    def from_csv(cls, path: str | Path) -> "History":
        """Read what ``to_csv`` wrote.

        Raises
        ------
        DataError
            If the file is missing or is no such table; the message names a column that it lacks.
        """
        try:
            # A spreadsheet writes a byte order mark.
            with open(path, newline="", encoding="utf-8-sig") as file:
                rows = _read_rows(file)
            history = cls(rows[0]["dataset"])
            for row in rows:
                del row["dataset"]
                # A cell is empty where a callback's own column was not filled in this epoch.
                filled = {column: cell for column, cell in row.items() if cell != "" or column in NEEDED}
                numbers = {column: float(cell) for column, cell in filled.items()}
                history.append(numbers | {"epoch": int(row["epoch"])})
            _check_columns(history.rows)
        except (OSError, LookupError, ValueError, TypeError, csv.Error) as reason:
            raise DataError(f"{path}: expected a history as History.to_csv writes it ({reason})") from reason
        return history

    def columns(self) -> list[str]:
        """Return the names of the columns that are there: the trainer's in order, then a callback's own."""
        found = {column for row in self.rows for column in row}
        return [c for c in COLUMNS if c in found] + sorted(found.difference(COLUMNS))

    def to_csv(self, path: str | Path) -> None:
        """Write the table to ``path``, with a header and the data set's name; numbers in full precision.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["dataset", *self.columns()], lineterminator="\n")
            writer.writeheader()
            writer.writerows({"dataset": self.dataset, **row} for row in self.rows)


def _check_columns(rows: list[dict[str, float]]) -> None:
    """Refuse rows of which some lack one of the trainer's columns, or have no finite number in it."""
    for column in COLUMNS:
        cells = [row[column] for row in rows if column in row]
        if len(cells) not in (0, len(rows)) or not all(map(math.isfinite, cells)):
            raise ValueError(f"the column {column} has no number in some row")


def _read_rows(lines: Iterable[str]) -> list[dict[str, str]]:
    """Return the rows of a table with a header; at least one, and with every column that is needed."""
    table = csv.DictReader(lines)
    rows = list(table)
    missing = [column for column in NEEDED if column not in (table.fieldnames or ())]
    if missing:
        raise ValueError(f"it has no column {', '.join(missing)}")
    if not rows:
        raise ValueError("it has no row below its header")
    return rows
