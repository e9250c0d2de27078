"""`History`: columns, sums, and writing and reading the CSV file."""

import codecs
import csv
import os

import pytest

from minicnn.errors import DataError, OutputError
from minicnn.train import History

COLUMNS = ("epoch", "loss", "accuracy", "learning_rate", "seconds", "images_per_second")
ROWS = [
    dict(zip(COLUMNS, numbers, strict=True))
    for numbers in [(1, 0.1 + 0.2, 0.5, 0.1, 2.0, 30.0), (2, 1 / 3, 0.75, 0.05, 4.0, 15.0)]
]


def history(rows=ROWS, **more):
    filled = History("fashion-mnist")
    for row in rows:
        filled.append(dict(row, **more))
    return filled


def test_a_column_is_a_list():
    filled = history()
    assert filled["accuracy"] == [0.5, 0.75]
    assert len(filled) == 2
    assert [row["epoch"] for row in filled] == [1, 2]
    assert "loss" in filled
    assert "val_loss" not in filled
    with pytest.raises(KeyError, match="val_loss"):
        filled["val_loss"]


def test_the_columns_have_a_fixed_order():
    filled = history([dict(reversed(list(ROWS[0].items())))], val_accuracy=0.4, val_loss=1.0)
    assert filled.columns() == [
        *("epoch", "loss", "accuracy", "val_loss", "val_accuracy"),
        *("learning_rate", "seconds", "images_per_second"),
    ]


def test_a_column_of_a_callback_is_written_in_the_rows_that_have_it(tmp_path):
    filled = history()
    filled.rows[1] |= {"norm": 1.5, "margin": 0.25}
    assert filled.columns() == [*COLUMNS, "margin", "norm"]
    filled.to_csv(tmp_path / "history.csv")
    with (tmp_path / "history.csv").open(newline="", encoding="utf-8") as file:
        assert [(row["margin"], row["norm"]) for row in csv.DictReader(file)] == [("", ""), ("0.25", "1.5")]


def test_seconds_and_images_are_sums_over_the_epochs():
    assert history().seconds == 6.0
    assert history().images_per_second == (2 * 30 + 4 * 15) / 6


def test_the_repr_is_one_line():
    assert repr(History("x\ny")) == r"History(x\ny: 0 epochs)"
    assert repr(history(ROWS[:1])) == (
        "History(fashion-mnist: 1 epoch, the last: loss 0.3000, accuracy 0.5000)"
    )
    assert repr(history(val_loss=0.7, val_accuracy=0.6)) == (
        "History(fashion-mnist: 2 epochs, the last: loss 0.3333, accuracy 0.7500, val_loss 0.7000, "
        "val_accuracy 0.6000)"
    )


def test_an_empty_history_has_no_columns():
    assert (len(History("x")), History("x").columns(), History("x")["loss"]) == (0, [], [])
    assert "loss" not in History("x")


def test_the_csv_has_the_data_sets_name_and_full_precision(tmp_path):
    history(val_loss=0.7, val_accuracy=0.6).to_csv(tmp_path / "history.csv")
    with (tmp_path / "history.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["dataset", *history(val_loss=0, val_accuracy=0).columns()]
    assert [row["dataset"] for row in rows] == ["fashion-mnist", "fashion-mnist"]
    assert [float(row["loss"]) for row in rows] == [0.1 + 0.2, 1 / 3]
    assert [int(row["epoch"]) for row in rows] == [1, 2]
    assert os.listdir(tmp_path) == ["history.csv"]


def test_a_place_that_cannot_be_written_is_rejected(tmp_path):
    with pytest.raises(OutputError, match="folder of that name"):
        history().to_csv(tmp_path)


class TestFromCsv:
    @pytest.mark.parametrize(
        "more", [{}, {"val_loss": 2 / 3, "val_accuracy": 0.6}], ids=("plain", "validated")
    )
    def test_a_round_trip(self, tmp_path, more):
        written = history(**more)
        written.to_csv(tmp_path / "history.csv")
        read = History.from_csv(str(tmp_path / "history.csv"))
        assert read.dataset == "fashion-mnist"
        assert read.rows == written.rows
        assert read.columns() == written.columns()
        assert (read.seconds, read.images_per_second) == (written.seconds, written.images_per_second)
        assert ("val_loss" in read) == bool(more)

    def test_an_epoch_is_an_int_and_the_rest_are_floats(self, tmp_path):
        history().to_csv(tmp_path / "history.csv")
        for row in History.from_csv(tmp_path / "history.csv"):
            kinds = {column: type(value) for column, value in row.items()}
            assert kinds.pop("epoch") is int
            assert set(kinds.values()) == {float}

    def test_a_column_of_a_callback_is_read_in_the_rows_that_have_it(self, tmp_path):
        written = history()
        written.rows[1] |= {"norm": 1.5}
        written.to_csv(tmp_path / "history.csv")
        assert History.from_csv(tmp_path / "history.csv").rows == written.rows

    @pytest.mark.parametrize("name", ["a, b", 'a "b"', "Größe", "two\nlines", ""])
    def test_every_name_is_read_back(self, tmp_path, name):
        written = history()
        written.dataset = name
        written.to_csv(tmp_path / "history.csv")
        assert History.from_csv(tmp_path / "history.csv").dataset == name

    @pytest.mark.parametrize(
        "content",
        [
            b"dataset,epoch,loss,accuracy\nx,1.5,0.5,0.9\n",
            b"dataset,epoch,loss,accuracy\nx,,0.5,0.9\n",
            b"dataset,epoch,loss,accuracy\nx,1,,0.9\n",
            b"dataset,epoch,loss,accuracy\nx,1,0.5,\n",
            b"dataset,epoch,loss,accuracy\nx,1,low,0.9\n",
            b"dataset,epoch,loss,accuracy\nx,1,0.5,0.9\nx,2,0.4\n",
            b"dataset,epoch,loss,accuracy\nx,1,0.5,0.9,3\n",
            b"dataset,epoch,loss,accuracy\nx,1,\xff,0.9\n",
            b"\x89PNG\r\n\x1a\n\0\0",
        ],
    )
    def test_damaged_files_are_rejected(self, tmp_path, content):
        (tmp_path / "history.csv").write_bytes(content)
        with pytest.raises(DataError, match=r"history\.csv: expected a history as History\.to_csv writes it"):
            History.from_csv(tmp_path / "history.csv")

    @pytest.mark.parametrize(
        ("content", "lack"),
        [
            ("", "no column dataset, epoch, loss, accuracy"),
            ("epoch,loss,accuracy\n1,0.5,0.9\n", "no column dataset"),
            ("dataset,loss,accuracy\nx,0.5,0.9\n", "no column epoch"),
            ("dataset,epoch,accuracy\nx,1,0.9\n", "no column loss"),
            ("dataset,epoch,loss\nx,1,0.5\n", "no column accuracy"),
            ("dataset,epoch\n", "no column loss, accuracy"),
            ("dataset,epoch,loss,accuracy\n", "no rows below its header"),
        ],
    )
    def test_a_missing_column_is_named(self, tmp_path, content, lack):
        (tmp_path / "history.csv").write_text(content)
        with pytest.raises(DataError, match=rf"expected a history as .* writes it \(it has {lack}\)"):
            History.from_csv(tmp_path / "history.csv")

    def test_a_byte_order_mark_is_ignored(self, tmp_path):
        path = tmp_path / "history.csv"
        history().to_csv(path)
        path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
        assert History.from_csv(path).rows == ROWS

    def test_a_missing_file_is_rejected(self, tmp_path):
        with pytest.raises(DataError, match=r"history\.csv: expected a history"):
            History.from_csv(tmp_path / "history.csv")
