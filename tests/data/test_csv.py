"""CSV files: round trips, all layouts, and the line and column of each mistake."""

import codecs
import gzip
import os
import re
import tracemalloc
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

    def test_gzip_is_recognized_by_its_content(self, tmp_path):
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


class TestLabels:
    @pytest.mark.parametrize(
        ("header", "label"),
        [
            ("pixel1,pixel2,pixel3,pixel4,class", None),
            ('"pixel1","pixel2","pixel3","pixel4","class"', None),
            ("'pixel1', 'pixel2', 'pixel3', 'pixel4', ' Target '", None),
            ("1,2,3,4,class", None),
            ("p0,p1,p2,p3,digit", None),
            ("p0,p1,p2,p3,p4", "last"),
            ("p0,p1,p2,p3,p4", "p4"),
            ("a,b,c,d,e", "e"),
            (None, "last"),
        ],
    )
    def test_the_last_column_may_be_the_label(self, tmp_path, header, label):
        rows = "0,10,20,255,2\n1,2,3,4,0\n"
        assert_is_the_table(read_csv(written(tmp_path, f"{header}\n{rows}" if header else rows), label=label))

    @pytest.mark.parametrize(("header", "label"), [("p1,p2,label,p3,p4", None), ("p1,p2,p3,p4,p5", "p3")])
    def test_any_column_that_the_header_names_may_be_the_label(self, tmp_path, header, label):
        assert_is_the_table(read_csv(written(tmp_path, f"{header}\n0,10,2,20,255\n1,2,0,3,4"), label=label))

    @pytest.mark.parametrize("start", [0, 1])
    @pytest.mark.parametrize("columns", [17, 50])
    def test_a_header_of_numbers_is_not_an_image(self, tmp_path, start, columns):
        header = ",".join(map(str, range(start, start + columns)))
        row = ",".join(["1", *["7"] * (columns - 1)])
        data = read_csv(written(tmp_path, f"{header}\n{row}\n"), ("a", "b"))
        assert len(data) == 1
        assert data.images.min() == 7

    @pytest.mark.parametrize("header", ["", HEADER + "\n", "0,1,2,3,Class\n", "label,0,1,2,3\n"])
    @pytest.mark.parametrize("names", [(), ("ant", "bee", "cat")])
    def test_labels_may_be_words(self, tmp_path, header, names):
        rows = ["bee,0,10,20,255", '"cat",1,2,3,4', " bee ,0,0,0,0"]
        if "Class" in header:
            rows = [",".join([*row.split(",")[1:], row.split(",")[0]]) for row in rows]
        data = read_csv(written(tmp_path, header + "\n".join(rows)), names)
        assert [data.class_names[label] for label in data.labels] == ["bee", "cat", "bee"]
        assert data.class_names == (names or ("bee", "cat"))
        np.testing.assert_array_equal(data.images[:2], IMAGES)

    @pytest.mark.parametrize(
        ("labels", "names", "expected", "expected_names"),
        [
            ([1, 2, 3], (), [0, 1, 2], ("1", "2", "3")),
            ([1, 3], (), [1, 3], ("0", "1", "2", "3")),
            ([1, 1], (), [1, 1], ("0", "1")),
            ([1, 3, 3], ("a", "b", "c"), [0, 2, 2], ("a", "b", "c")),
            ([1, 2], ("a", "b", "c"), [1, 2], ("a", "b", "c")),
            ([3, 1], ("1", "2", "3"), [2, 0], ("1", "2", "3")),
            ([5, 3], ("3", "5", "8"), [1, 0], ("3", "5", "8")),
            ([1, 0], ("0", "1"), [1, 0], ("0", "1")),
        ],
    )
    def test_numbers_are_names_or_places(self, tmp_path, labels, names, expected, expected_names):
        data = read_csv(
            written(tmp_path, "\n".join(f"{label},0,7" for label in labels)), names, None, (1, 2, 1)
        )
        assert (data.labels.tolist(), data.class_names) == (expected, expected_names)

    @pytest.mark.parametrize("values", [[0, 1, 2, 3], [1, 2, 3], [0, 1]])
    def test_a_first_column_that_looks_like_labels_is_the_label(self, tmp_path, values):
        labels = np.resize(values, 40)
        rows = np.column_stack([labels, np.full((40, 3), 9), labels])
        data = read_csv(written(tmp_path, "\n".join(",".join(map(str, row)) for row in rows)))
        np.testing.assert_array_equal(data.labels, labels - values[0])

    @pytest.mark.parametrize("values", [[3, 5, 8], [0], [0, 2], [0] * 19 + [1], list(range(0, 250, 7))])
    def test_any_other_first_column_must_be_declared_as_the_label(self, tmp_path, values):
        labels = np.resize(values, 40)
        rows = np.column_stack([labels, np.full((40, 4), 9)])
        path = written(tmp_path, "\n".join(",".join(map(str, row)) for row in rows))
        with pytest.raises(DataError, match="choose the label with label='first', 'last', or its title"):
            read_csv(path)
        np.testing.assert_array_equal(read_csv(path, label="first").labels, labels)


@pytest.mark.parametrize("words", [False, True])
def test_a_file_is_read_in_pieces_in_its_order(tmp_path, monkeypatch, words):
    monkeypatch.setattr("minicnn.data.csv.CHUNK", 50)
    images = np.arange(4 * 60).reshape(60, 4)
    labels = np.arange(60) % 3
    names = np.array(["ant", "bee", "cat"])
    written_labels = names[labels] if words else labels
    content = "\n".join(
        f"{label}," + ",".join(map(str, row)) for label, row in zip(written_labels, images, strict=True)
    )
    data = read_csv(written(tmp_path, content), names)
    np.testing.assert_array_equal(data.images.reshape(60, 4), images)
    np.testing.assert_array_equal(data.labels, labels)


@pytest.mark.parametrize("last", [False, True])
def test_memory_holds_the_images_and_little_more(tmp_path, last):
    rows = ",".join(["1", *["0"] * 784, *["1"] * last][last:]) + "\n"
    content = (rows + rows.replace("1", "0")) * 6000  # 19 MB of text
    path = written(tmp_path, gzip.compress(content.encode(), 1), "a.csv.gz")
    tracemalloc.start()
    data = read_csv(path, label="last" if last else "first")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(data) == 12_000
    assert path.stat().st_size < data.images.nbytes / 20
    assert peak < 2 * data.images.nbytes + 16 * 2**20


class TestMistakes:
    def rejects(self, tmp_path, content, message, **arguments):
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
    def test_a_field_that_is_not_a_byte_is_named_by_line_and_column(self, tmp_path, field, found):
        rows = f"2,0,10,20,255\n\n0,1,2,{field},4\n0,x,0,0,0\n"
        expected = f"expected a whole number 0…255; got {found}: correct it, or fetch the file again"
        self.rejects(tmp_path, f"{HEADER}\n{rows}", f", line 4, column 4 (pixel3): {expected}")
        self.rejects(tmp_path, rows, f", line 3, column 4: {expected}")

    def test_the_first_and_the_last_field_are_found_too(self, tmp_path):
        self.rejects(tmp_path, f"{HEADER}\n-,0,0,0,0,0", ", line 2: expected 5 fields")
        self.rejects(
            tmp_path, f"{HEADER}\n256,0,0,0,0", ", line 2, column 1 (label): expected a whole number"
        )
        self.rejects(
            tmp_path, f"{HEADER}\n0,0,0,0,x\n", ", line 2, column 5 (pixel4): expected a whole number"
        )
        self.rejects(
            tmp_path, ",0,0,0,0\n" + ROWS, ", line 1, column 1: expected a whole number 0…255; got nothing"
        )
        self.rejects(tmp_path, "300,0,0,0,0\n" + ROWS, ", line 1, column 1: expected a whole number")

    @pytest.mark.parametrize(
        ("line", "fields"), [("0,1,2,3", 4), ("0", 1), (" ", 1), ("0,1,2,3,4,", 6), ("0,1,2,3,4,5", 6)]
    )
    def test_a_line_with_too_few_or_too_many_fields_is_named(self, tmp_path, line, fields):
        message = f"expected 5 fields, as in line 1; got {fields}: correct it, or fetch the file again"
        self.rejects(tmp_path, f"{HEADER}\n{ROWS}{line}", f", line 4: {message}")
        self.rejects(tmp_path, f"{ROWS}{line}\n{ROWS}", f", line 3: {message}")

    def test_a_header_with_another_number_of_columns_than_every_line(self, tmp_path):
        self.rejects(tmp_path, f"{HEADER}\n0,1,2,3\n", ", line 2: expected 5 fields, as in line 1; got 4")

    def test_a_column_that_is_neither_label_nor_pixel_is_named(self, tmp_path):
        self.rejects(
            tmp_path,
            f"\nid,label,pixel1,pixel2,pixel3,pixel4\n0,{ROWS}",
            ", line 2: expected a label and the pixels of a square; got 6 fields: write it without the "
            "columns that are neither (it has id, label)",
        )

    def test_a_word_among_numbers_and_a_number_among_words(self, tmp_path):
        expected = ", line 3, column 1 (label): expected a whole number 0…255; got 'cat'"
        self.rejects(tmp_path, f"{HEADER}\n1,2,3,4,5\ncat,0,0,0,0", expected)
        expected = ", line 3, column 1 (label): expected the name of a class; got '1'"
        self.rejects(tmp_path, f"{HEADER}\ncat,0,0,0,0\n1,2,3,4,5", expected)
        self.rejects(
            tmp_path, "cat,0,0,0,0\n,2,3,4,5", ", line 2, column 1: expected the name of a class; got n"
        )
        self.rejects(tmp_path, "cat,0,0,0,0\ndog,2,3,dog,5", ", line 2, column 4: expected a whole number")

    def test_a_word_that_is_not_a_class(self, tmp_path):
        self.rejects(
            tmp_path,
            "cat,0,0,0,0\n\x1b[2J,2,3,4,5",
            r": the label '\x1b[2J' is not one of the classes cat, dog",
            class_names=("cat", "dog"),
        )

    @pytest.mark.parametrize(
        ("header", "label", "message"),
        [
            (HEADER, "digit", ", line 1: the title 'digit' is not in the header, label, pixel1, pixel2"),
            ("a1,a1,a2,a3,a4", "a1", ", line 1: the title 'a1' is twice in the header"),
            ("0,0,10,20,255", "digit", ", line 1: without a header, no column is called 'digit'"),
            (
                "class,p1,p2,p3,target",
                None,
                ", line 1: the label may be any of class, target: choose one, such as",
            ),
            ("fine,coarse,p1,p2,p3", None, ", line 1: the label may be any of fine, coarse: choose one"),
        ],
    )
    def test_an_unclear_label_column(self, tmp_path, header, label, message):
        self.rejects(tmp_path, f"{header}\n{ROWS}", message, label=label)

    @pytest.mark.parametrize("header", ["", ",".join(map(str, range(50))) + "\n", "c1" + ",c2" * 49 + "\n"])
    def test_pixels_in_place_of_labels_are_recognized(self, tmp_path, header):
        path, labels = tmp_path / "a.csv", np.arange(40) % 4
        images = np.random.default_rng(0).integers(0, 256, (40, 49))
        images[:, 0] = 0
        rows = np.column_stack([images, labels])
        path.write_text(header + "\n".join(",".join(map(str, row)) for row in rows))
        with pytest.raises(DataError, match="holds only 0; the last one holds 4 different") as told:
            read_csv(path)
        option = re.search(r"with label='(\w+)'", str(told.value))[1]
        data = read_csv(path, label=option)
        np.testing.assert_array_equal(data.labels, labels)
        np.testing.assert_array_equal(data.images.reshape(40, -1), images)

    def test_a_line_without_an_end_is_not_read(self, tmp_path, monkeypatch):
        monkeypatch.setattr("minicnn.data.csv.MAX_LINE", 40)
        assert_is_the_table(read_csv(written(tmp_path, ROWS)))
        self.rejects(tmp_path, ROWS + "0," * 30, ", line 3: expected at most 40 characters; there are more")

    @pytest.mark.parametrize(
        "content",
        [
            ",label,pixel1,pixel2,pixel3,pixel4\n0,2,0,10,20,255\n",
            '"","label","pixel1","pixel2","pixel3","pixel4"\n0,2,0,10,20,255\n',
            ",digit,0,1,2,3\n0,2,0,10,20,255\n",
            f" {HEADER.removeprefix('label')}\n{ROWS}",
        ],
    )
    def test_an_index_column_is_rejected(self, tmp_path, content):
        self.rejects(
            tmp_path,
            content,
            ", line 1: an index column comes before the label: write the file without it (with pandas, "
            "index=False)",
        )

    def test_a_number_in_quotes_is_not_a_title(self, tmp_path):
        self.rejects(
            tmp_path,
            '"2",0,10,20,255\n' + ROWS,
            ", line 1, column 1: expected a whole number 0…255; got '\"2",
        )

    @pytest.mark.parametrize("content", [b"", b"\n\n", codecs.BOM_UTF8, gzip.compress(b"")])
    def test_an_empty_file(self, tmp_path, content):
        self.rejects(tmp_path, content, ": expected a CSV file of labels and pixels; it is empty")

    @pytest.mark.parametrize("end", ["", "\n", "\n\n"])
    def test_a_header_only(self, tmp_path, end):
        self.rejects(tmp_path, HEADER + end, ": expected an image on each line; there is only a header")

    @pytest.mark.parametrize(
        "content", [b"\x89PNG\r\n\x1a\n", b"0,1,2,3,4\n0,1,\xff,3,4\n", b"PK\3\4\x14\xe9\xff"]
    )
    def test_a_file_that_is_not_text(self, tmp_path, content):
        self.rejects(tmp_path, content, ": expected a CSV file, which is text; this is not (invalid")

    @pytest.mark.parametrize("content", ["<!DOCTYPE html>\n<html></html>", "0;1;2;3;4", "\0\0\0\0", "5"])
    def test_a_file_without_commas(self, tmp_path, content):
        self.rejects(
            tmp_path, content, ", line 1: expected a label and pixels, separated by commas; got a single"
        )

    @pytest.mark.parametrize("content", [b"\x1f\x8b", gzip.compress(ROWS.encode())[:-9]])
    def test_gzip_that_is_cut_short(self, tmp_path, content):
        self.rejects(tmp_path, content, ": expected whole gzip data")

    def test_a_missing_label_is_guessed(self, tmp_path):
        advice = "the label, which comes first, seems to be missing"
        row = ",".join(["0"] * 784)
        self.rejects(
            tmp_path, row, f", line 1: expected a label and the pixels of a square; got 784 fields: {advice}"
        )
        self.rejects(
            tmp_path,
            "\n0,1,2,3,4,5",
            f", line 2: expected a label and the 6 pixels of (2, 3, 1); got 6 fields: {advice}",
            image_shape=(2, 3, 1),
        )

    def test_images_that_are_not_square_need_their_shape(self, tmp_path):
        row, advice = "0,1,2,3,4,5,6", "give the image_shape, (H, W, C), that the images have"
        self.rejects(
            tmp_path, row, f", line 1: expected a label and the pixels of a square; got 7 fields: {advice}"
        )
        self.rejects(
            tmp_path,
            row,
            f", line 1: expected a label and the 4 pixels of (2, 2, 1); got 7 fields: {advice}",
            image_shape=(2, 2, 1),
        )

    def test_a_label_without_a_class_name(self, tmp_path):
        message = ": labels must be within 0…1 (2 classes); labels[0] is 2, they go from 0 to 2: correct it"
        self.rejects(tmp_path, ROWS, message, class_names=("cat", "dog"))

    def test_a_missing_file_is_not_found(self, tmp_path):
        with pytest.raises(DataNotFoundError, match=r"nowhere\.csv: there is no such file"):
            read_csv(tmp_path / "nowhere.csv")

    def test_a_folder_is_rejected(self, tmp_path):
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
            ({"label": 0}, 'label must be "first", "last" or the title of a column, got 0'),
        ],
    )
    def test_a_bad_argument_is_rejected_before_the_file_is_read(self, tmp_path, arguments, message):
        with pytest.raises(ConfigError, match=message):
            read_csv(tmp_path / "nowhere", **arguments)

    @pytest.mark.parametrize("path", [None, 5, ["a.csv"]])
    def test_other_than_a_path_is_rejected(self, path):
        with pytest.raises(ConfigError, match=r"path must be a path such as 'train\.csv', got "):
            read_csv(path)


@given(st.binary(max_size=60) | st.text("0123456789,.-x \n\r\"'", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_rejected_but_never_crash(tmp_path_factory, content):
    path = written(tmp_path_factory.mktemp("csv"), content)
    for label in (None, "first", "last", "1"):
        with suppress(DataError):
            read_csv(path, label=label)


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

    def test_transposed_images_are_written_in_the_order_of_their_axes(self, tmp_path):
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

    def test_rejects_floating_images(self, tmp_path):
        with pytest.raises(DTypeError, match=r"holds uint8 images; got float32: convert .* np\.rint"):
            write_csv(Dataset(IMAGES / np.float32(255), np.array([0, 1])), tmp_path / "a.csv")
        assert list(tmp_path.iterdir()) == []

    def test_rejects_a_label_that_could_not_be_read_again(self, tmp_path):
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
def test_fashion_mnist_survives_the_round_trip(tmp_path):
    data = load("fashion-mnist")[1].subset(slice(2000))
    write_csv(data, tmp_path / "fashion-mnist_test.csv")
    result = read_csv(tmp_path / "fashion-mnist_test.csv", data.class_names)
    np.testing.assert_array_equal(result.images, data.images)
    np.testing.assert_array_equal(result.labels, data.labels)
    assert result.class_names == data.class_names
