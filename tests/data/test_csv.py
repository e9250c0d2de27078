"""CSV files: what is written is read again, and a mistake is named by its line and column."""

import codecs
import gzip
import os
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minicnn.data import Dataset, load
from minicnn.data.csv import read_csv, write_csv
from minicnn.errors import ConfigError, DataError, DataNotFoundError, DTypeError, OutputError

HEADER = "label,pixel1,pixel2,pixel3,pixel4"
ROWS = "2,0,10,20,255\n0,1,2,3,4\n"
IMAGES = np.array([[[0, 10], [20, 255]], [[1, 2], [3, 4]]], np.uint8)[..., None]


def written(tmp_path, content, name="table.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def assert_is_the_table(data):
    assert data.images.dtype == np.uint8
    assert data.images.flags.c_contiguous
    np.testing.assert_array_equal(data.images, IMAGES)
    np.testing.assert_array_equal(data.labels, [2, 0])


class TestRead:
    @pytest.mark.parametrize(
        "content",
        [
            f"{HEADER}\n{ROWS}",
            ROWS,
            ROWS.rstrip("\n"),
            f"{HEADER}\n{ROWS}".replace("\n", "\r\n"),
            f"\n{HEADER}\n\n{ROWS}\n\n",
            f'"label","1x1","1x2","2x1","2x2"\n{ROWS}',
            f"label,0,1,2,3\n{ROWS}",
            codecs.BOM_UTF8 + f"{HEADER}\n{ROWS}".encode(),
            codecs.BOM_UTF8 + ROWS.encode(),
            "2, 0, 10, 20, 255\n 0,1 ,+2,003,4",
        ],
    )
    def test_the_layout_by_hand(self, tmp_path, content):
        assert_is_the_table(read_csv(written(tmp_path, content)))

    def test_one_image_is_a_table_too(self, tmp_path):
        data = read_csv(written(tmp_path, "7,1,2,3,4"))
        np.testing.assert_array_equal(data.images, IMAGES[1:])
        np.testing.assert_array_equal(data.labels, [7])

    def test_gzip_is_told_by_the_content_not_by_the_name(self, tmp_path):
        compressed = gzip.compress(ROWS.encode())
        assert_is_the_table(read_csv(written(tmp_path, compressed, "a.csv.gz")))
        assert_is_the_table(read_csv(written(tmp_path, compressed, "a.csv")))

    @pytest.mark.parametrize(
        ("file", "name"),
        [
            ("train.csv", "train"),
            ("train.csv.gz", "train"),
            ("fashion-mnist_test.v2.csv", "fashion-mnist_test.v2"),
        ],
    )
    def test_the_name_is_that_of_the_file_unless_given(self, tmp_path, file, name):
        path = written(tmp_path, ROWS, file)
        assert read_csv(path).name == name
        assert read_csv(str(path), name="mine").name == "mine"

    def test_class_names_are_numbers_unless_given(self, tmp_path):
        path = written(tmp_path, ROWS)
        assert read_csv(path).class_names == ("0", "1", "2")
        assert read_csv(path, ["cat", "dog", "horse", "cow"]).class_names == ("cat", "dog", "horse", "cow")

    def test_pixels_are_rows_then_columns_then_channels(self, tmp_path):
        path = written(tmp_path, "0,1,2,3,4,5,6,7,8,9,10,11,12\n")
        data = read_csv(path, image_shape=(2, 3, 2))
        assert data.image_shape == (2, 3, 2)
        np.testing.assert_array_equal(data.images[0, 1, 0], [7, 8])


class TestMistakes:
    def refused(self, tmp_path, content, message, **arguments):
        path = written(tmp_path, content)
        with pytest.raises(DataError) as caught:
            read_csv(path, **arguments)
        assert str(caught.value).startswith(f"{path}{message}")

    @pytest.mark.parametrize(
        ("field", "found"),
        [
            ("x", "'x'"),
            ("256", "'256'"),
            ("-1", "'-1'"),
            ("3.0", "'3.0'"),
            ("1e1", "'1e1'"),
            ("nan", "'nan'"),
            ("", "nothing"),
            ("  ", "nothing"),
            ('"7"', "'\"7\"'"),
            ("1_0", "'1_0'"),
            ("７", "'７'"),
            ("7#", "'7#'"),
            ("1\0", "'1\\x00'"),
            ("9" * 30, "'99999999999999999999'"),
        ],
    )
    def test_a_field_that_is_no_byte_is_named_by_line_and_column(self, tmp_path, field, found):
        rows = f"2,0,10,20,255\n\n0,1,2,{field},4\n0,x,0,0,0\n"
        expected = f"expected a whole number 0…255; got {found}: correct it, or fetch the file again"
        self.refused(tmp_path, f"{HEADER}\n{rows}", f", line 4, column 4 (pixel3): {expected}")
        self.refused(tmp_path, rows, f", line 3, column 4: {expected}")

    def test_the_first_and_the_last_field_are_found_too(self, tmp_path):
        self.refused(tmp_path, f"{HEADER}\nx,0,0,0,0", ", line 2, column 1 (label): expected a whole number")
        self.refused(
            tmp_path, f"{HEADER}\n0,0,0,0,x\n", ", line 2, column 5 (pixel4): expected a whole number"
        )
        self.refused(
            tmp_path, ",0,0,0,0\n" + ROWS, ", line 1, column 1: expected a whole number 0…255; got nothing"
        )
        self.refused(tmp_path, "300,0,0,0,0\n" + ROWS, ", line 1, column 1: expected a whole number")

    @pytest.mark.parametrize(
        ("line", "fields"), [("0,1,2,3", 4), ("0", 1), (" ", 1), ("0,1,2,3,4,", 6), ("0,1,2,3,4,5", 6)]
    )
    def test_a_line_with_too_few_or_too_many_fields_is_named(self, tmp_path, line, fields):
        message = f"expected 5 fields, as in line 1; got {fields}: correct it, or fetch the file again"
        self.refused(tmp_path, f"{HEADER}\n{ROWS}{line}", f", line 4: {message}")
        self.refused(tmp_path, f"{ROWS}{line}\n{ROWS}", f", line 3: {message}")

    def test_a_header_with_another_number_of_columns_than_every_line(self, tmp_path):
        self.refused(tmp_path, f"{HEADER}\n0,1,2,3\n", ", line 2: expected 5 fields, as in line 1; got 4")

    @pytest.mark.parametrize(
        "header",
        [
            "pixel1,pixel2,pixel3,pixel4,class",
            '"pixel1","pixel2","pixel3","pixel4","class"',
            "'pixel1', 'pixel2', 'pixel3', 'pixel4', 'class'",
            "1,2,3,4,class",
        ],
    )
    def test_a_label_that_does_not_come_first_is_refused(self, tmp_path, header):
        self.refused(
            tmp_path,
            f"{header}\n0,10,20,255,2\n",
            ", line 1: the label must be the first column; the header has it in column 5 (class): write the "
            "file again with that column first",
        )

    @pytest.mark.parametrize("title", ["label", "Label", "TARGET", '"Class"', "' class '"])
    def test_a_label_is_known_by_its_title_however_it_is_spelt(self, tmp_path, title):
        self.refused(
            tmp_path,
            f"\nid,{title},pixel1,pixel2,pixel3,pixel4\n{ROWS}",
            ", line 2: the label must be the first column; the header has it in column 2",
        )

    @pytest.mark.parametrize(
        "content",
        [
            ",label,pixel1,pixel2,pixel3,pixel4\n0,2,0,10,20,255\n",
            '"","label","pixel1","pixel2","pixel3","pixel4"\n0,2,0,10,20,255\n',
            ",digit,0,1,2,3\n0,2,0,10,20,255\n",
            f" {HEADER.removeprefix('label')}\n{ROWS}",
        ],
    )
    def test_an_index_column_is_refused(self, tmp_path, content):
        self.refused(
            tmp_path,
            content,
            ", line 1: an index column stands before the label: write the file without it (with pandas, "
            "index=False)",
        )

    def test_a_number_in_quotes_is_no_title(self, tmp_path):
        self.refused(
            tmp_path,
            '"2",0,10,20,255\n' + ROWS,
            ", line 1, column 1: expected a whole number 0…255; got '\"2",
        )

    @pytest.mark.parametrize("content", [b"", b"\n\n", codecs.BOM_UTF8, gzip.compress(b"")])
    def test_an_empty_file(self, tmp_path, content):
        self.refused(tmp_path, content, ": expected a CSV file of labels and pixels; it is empty")

    @pytest.mark.parametrize("end", ["", "\n", "\n\n"])
    def test_a_header_only(self, tmp_path, end):
        self.refused(tmp_path, HEADER + end, ": expected an image on each line; there is only a header")

    @pytest.mark.parametrize(
        "content", [b"\x89PNG\r\n\x1a\n", b"0,1,2,3,4\n0,1,\xff,3,4\n", b"PK\3\4\x14\xe9\xff"]
    )
    def test_a_file_that_is_no_text(self, tmp_path, content):
        self.refused(tmp_path, content, ": expected a CSV file, which is text; it is none (invalid")

    @pytest.mark.parametrize("content", ["<!DOCTYPE html>\n<html></html>", "0;1;2;3;4", "\0\0\0\0", "5"])
    def test_a_file_without_commas(self, tmp_path, content):
        self.refused(
            tmp_path, content, ", line 1: expected a label and pixels, separated by commas; got a single"
        )

    @pytest.mark.parametrize("content", [b"\x1f\x8b", gzip.compress(ROWS.encode())[:-9]])
    def test_gzip_that_is_cut_short(self, tmp_path, content):
        self.refused(tmp_path, content, ": expected whole gzip data")

    def test_a_missing_label_is_guessed(self, tmp_path):
        advice = "the label, which comes first, seems to be missing"
        row = ",".join(["0"] * 784)
        self.refused(
            tmp_path, row, f", line 1: expected a label and the pixels of a square; got 784 fields: {advice}"
        )
        self.refused(
            tmp_path,
            "\n0,1,2,3,4,5",
            f", line 2: expected a label and the 6 pixels of (2, 3, 1); got 6 fields: {advice}",
            image_shape=(2, 3, 1),
        )

    def test_images_that_are_not_square_need_their_shape(self, tmp_path):
        row, advice = "0,1,2,3,4,5,6", "give the image_shape, (H, W, C), that the images have"
        self.refused(
            tmp_path, row, f", line 1: expected a label and the pixels of a square; got 7 fields: {advice}"
        )
        self.refused(
            tmp_path,
            row,
            f", line 1: expected a label and the 4 pixels of (2, 2, 1); got 7 fields: {advice}",
            image_shape=(2, 2, 1),
        )

    def test_a_label_without_a_class_name(self, tmp_path):
        message = ": labels must be within 0…1 (2 classes); labels[0] is 2, they go from 0 to 2: correct it, or give a class name"
        self.refused(tmp_path, ROWS, message, class_names=("cat", "dog"))

    def test_a_missing_file_is_not_found(self, tmp_path):
        with pytest.raises(DataNotFoundError, match=r"nowhere\.csv: there is no such file"):
            read_csv(tmp_path / "nowhere.csv")

    def test_a_folder_is_no_file(self, tmp_path):
        with pytest.raises(DataError, match="expected a readable file"):
            read_csv(tmp_path)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"image_shape": 28}, "image_shape must be a tuple such as"),
            ({"image_shape": (28, 28)}, r"image_shape must be \(H, W, C\), got \(28, 28\)"),
            ({"image_shape": (2, 2, 0)}, "at least 1, got 0"),
            ({"class_names": "abc"}, "class_names must be a sequence"),
            ({"class_names": 3}, "class_names must be a sequence"),
        ],
    )
    def test_a_bad_argument_is_refused_before_the_file_is_read(self, tmp_path, arguments, message):
        with pytest.raises(ConfigError, match=message):
            read_csv(tmp_path / "nowhere", **arguments)

    @pytest.mark.parametrize("path", [None, 5, ["a.csv"]])
    def test_what_is_no_path_is_refused(self, path):
        with pytest.raises(ConfigError, match=r"path must be that of a file, such as 'train\.csv', got "):
            read_csv(path)


@given(st.binary(max_size=60) | st.text("0123456789,.-x \n\r\"'", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused_but_never_crash(tmp_path_factory, content):
    path = written(tmp_path_factory.mktemp("csv"), content)
    with suppress(DataError):
        read_csv(path)


class TestWrite:
    @given(
        images=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=4, max_dims=4, min_side=1, max_side=4)),
        seed=st.integers(0, 9),
        suffix=st.sampled_from(["", ".gz"]),
    )
    def test_round_trip(self, tmp_path_factory, images, seed, suffix):
        labels = np.random.default_rng(seed).integers(0, 256, len(images))
        path = tmp_path_factory.mktemp("csv") / f"images.csv{suffix}"
        write_csv(Dataset(images, labels), path)
        result = read_csv(path, image_shape=images.shape[1:])
        np.testing.assert_array_equal(result.images, images)
        np.testing.assert_array_equal(result.labels, labels)
        assert result.name == "images"

    def test_the_bytes_by_hand(self, tmp_path):
        write_csv(Dataset(IMAGES, np.array([2, 0])), tmp_path / "new" / "a.csv")
        assert (tmp_path / "new" / "a.csv").read_bytes() == f"{HEADER}\n{ROWS}".encode()

    def test_transposed_images_are_written_as_they_are_indexed(self, tmp_path):
        images = IMAGES.transpose(0, 2, 1, 3)
        write_csv(Dataset(images, np.array([2, 0])), tmp_path / "a.csv")
        np.testing.assert_array_equal(read_csv(tmp_path / "a.csv").images, images)

    def test_the_same_images_give_the_same_compressed_bytes(self, tmp_path, monkeypatch):
        data = Dataset(IMAGES, np.array([2, 0]))
        write_csv(data, tmp_path / "a.csv.gz")
        monkeypatch.setattr("time.time", lambda: 0.0)
        write_csv(data, tmp_path / "b.csv.gz")
        content = (tmp_path / "a.csv.gz").read_bytes()
        assert content[:2] == b"\x1f\x8b"
        assert content == (tmp_path / "b.csv.gz").read_bytes()

    def test_refuses_floating_images(self, tmp_path):
        with pytest.raises(DTypeError, match=r"holds uint8 images; got float32: convert .* np\.rint"):
            write_csv(Dataset(IMAGES / np.float32(255), np.array([0, 1])), tmp_path / "a.csv")
        assert list(tmp_path.iterdir()) == []

    def test_refuses_a_label_that_could_not_be_read_again(self, tmp_path):
        with pytest.raises(DataError, match="labels up to 255; got 256"):
            write_csv(Dataset(IMAGES, np.array([0, 256])), tmp_path / "a.csv")
        assert list(tmp_path.iterdir()) == []

    def test_a_place_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(OutputError, match="file"):
            write_csv(Dataset(IMAGES, np.array([0, 1])), tmp_path / "file" / "a.csv")


@pytest.mark.skipif(
    not os.environ.get("MINICNN_DATA"), reason="MINICNN_DATA names no folder with the real data"
)
def test_images_of_fashion_mnist_survive_the_detour(tmp_path):
    data = load("fashion-mnist")[1].subset(slice(2000))
    write_csv(data, tmp_path / "fashion-mnist_test.csv")
    result = read_csv(tmp_path / "fashion-mnist_test.csv", data.class_names)
    np.testing.assert_array_equal(result.images, data.images)
    np.testing.assert_array_equal(result.labels, data.labels)
    assert result.class_names == data.class_names
