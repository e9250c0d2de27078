"""`load` of custom IDX files: under any name, in the layout of the known data sets."""

import gzip
import hashlib
import re
import shlex

import numpy as np
import pytest

from minicnn.cli import main
from minicnn.data import load, write_idx
from minicnn.data.catalog import NAMES, SOURCES, File, Source
from minicnn.data.loader import name_in
from minicnn.errors import ConfigError, DataError, DataNotFoundError, DTypeError, MiniCNNError, ShapeError

RNG = np.random.default_rng(0)
ARRAYS = {
    "train-images-idx3-ubyte": RNG.integers(0, 256, (9, 6, 7), np.uint8),
    "train-labels-idx1-ubyte": np.arange(9, dtype=np.uint8) % 3,
    "t10k-images-idx3-ubyte": RNG.integers(0, 256, (4, 6, 7), np.uint8),
    "t10k-labels-idx1-ubyte": np.arange(4, dtype=np.uint8) % 2,
}


@pytest.fixture(autouse=True)
def without_variable(monkeypatch):
    monkeypatch.delenv("MINICNN_DATA", raising=False)


@pytest.fixture
def put():
    """``put(folder, ".gz", **changes)`` writes the four files."""

    def write(folder, suffix=".gz", changes=()):
        for name, array in (ARRAYS | dict(changes)).items():
            write_idx(folder / f"{name}{suffix}", array)
        return folder

    return write


def check(parts, name):
    train, test = parts
    np.testing.assert_array_equal(train.images[..., 0], ARRAYS["train-images-idx3-ubyte"])
    np.testing.assert_array_equal(train.labels, ARRAYS["train-labels-idx1-ubyte"])
    np.testing.assert_array_equal(test.images[..., 0], ARRAYS["t10k-images-idx3-ubyte"])
    np.testing.assert_array_equal(test.labels, ARRAYS["t10k-labels-idx1-ubyte"])
    for part in parts:
        assert (part.name, tuple(part.class_names)) == (name, ("0", "1", "2"))


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("inner", ["letters", "."])
@pytest.mark.parametrize("way", ["root", "variable"])
def test_custom_files_may_have_any_name(tmp_path, put, monkeypatch, suffix, inner, way):
    put(tmp_path / inner, suffix)
    if way == "variable":
        monkeypatch.setenv("MINICNN_DATA", str(tmp_path))
    check(load("letters", tmp_path if way == "root" else None), "letters")


def test_images_with_colors_and_of_another_type(tmp_path, put):
    images = {name: RNG.random((len(ARRAYS[name]), 6, 7, 3), np.float32) for name in (NAMES[0], NAMES[2])}
    train, test = load("letters", put(tmp_path, changes=images))
    np.testing.assert_array_equal(train.images, images[NAMES[0]])
    np.testing.assert_array_equal(test.images, images[NAMES[2]])


def test_a_name_without_files_is_an_unknown_name(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="got 'mnisd'; did you mean 'mnist'"):
        load("mnisd")
    with pytest.raises(
        ConfigError, match=rf"'mnist'\?; no IDX files of that name are in {tmp_path}, which is root"
    ):
        load("mnisd", tmp_path)
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path))
    with pytest.raises(ConfigError, match="which is MINICNN_DATA"):
        load("mnisd")


def test_a_missing_file_is_named(tmp_path, put):
    put(tmp_path)
    (tmp_path / f"{NAMES[2]}.gz").unlink()
    with pytest.raises(DataNotFoundError, match=rf"letters: expected {NAMES[2]} \(or .*: put them there$"):
        load("letters", tmp_path)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({NAMES[1]: np.zeros(8, np.uint8)}, DataError, "9 images and 8 labels"),
        ({NAMES[3]: np.full(4, 7, np.uint8)}, DataError, r"labels must be within 0…2 \(3 classes\)"),
        ({NAMES[1]: np.zeros(9, np.float32)}, DTypeError, "labels must be integer"),
        ({NAMES[0]: np.zeros((9, 6), np.uint8)}, ShapeError, r"images must be 4-D"),
        ({NAMES[2]: np.zeros((4, 6, 7), np.int32)}, DTypeError, "int32"),
    ],
)
def test_errors_name_the_files(tmp_path, put, changes, error, message):
    with pytest.raises(error, match=message) as caught:
        load("letters", put(tmp_path, changes=changes))
    part = "train" if set(changes) & set(NAMES[:2]) else "t10k"
    assert str(caught.value).startswith(
        f"{tmp_path / part}-images-idx3-ubyte.gz with {part}-labels-idx1-ubyte.gz: "
    )


@pytest.fixture
def known(tmp_path_factory, put, monkeypatch):
    """Make the files a known data set, "mnist", and return their folder."""
    folder = put(tmp_path_factory.mktemp("known"), "")
    contents = [(folder / name).read_bytes() for name in NAMES]
    files = [
        File(name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in zip(NAMES, contents, strict=True)
    ]
    monkeypatch.setitem(SOURCES, "mnist", Source("mnist", ("a", "b", "c"), tuple(files), ()))
    return folder


def test_a_known_data_set_under_another_name_is_an_error(known):
    with pytest.raises(ConfigError, match="is mnist; got the name 'mnits': call it 'mnist'"):
        load("mnits", known)


def test_the_name_of_the_data_set_in_a_folder(tmp_path, known, put):
    assert name_in(known) == "mnist"  # by its digest
    other = {NAMES[3]: np.uint8([1, 1, 0, 0])}
    assert name_in(put(tmp_path / "letters", changes=other)) == "letters"
    assert name_in(tmp_path) is None
    assert name_in(tmp_path / "nowhere") is None
    assert name_in("~nobody-of-this-name") is None


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ("--data {0}/letters", "letters"),
        ("--data {0}/letters --dataset mine", "mine"),
        ("--data {0} --dataset letters", "letters"),
    ],
)
def test_from_the_shell(tmp_path, put, capsys, arguments, name):
    put(tmp_path / "letters")
    assert main(["data", *shlex.split(arguments.format(tmp_path))]) == 0
    assert capsys.readouterr().out.startswith(
        f"{name}: 9 training and 4 test images\nimages 6 × 7 × 1, uint8"
    )


def test_a_known_data_set_needs_no_name_either(known, capsys):
    assert main(["data", "--data", str(known)]) == 0
    assert capsys.readouterr().out.startswith("mnist: 9 training and 4 test images")


@pytest.mark.parametrize("folder", ["mnist", "fashion-mnist", "my digits/mnist"])
def test_custom_files_in_place_of_a_known_data_set_are_recognized_and_the_advice_is_right(
    tmp_path, put, capsys, folder
):
    put(tmp_path / folder)
    parent = (tmp_path / folder).parent
    assert main(["data", "--data", str(parent), "--dataset", (tmp_path / folder).name]) == 2
    told = capsys.readouterr().err
    assert "with SHA-256" in told
    arguments, code = re.search(r"another name: (.*) \(in Python, (load\(.*\))\)$", told.strip()).groups()
    assert main(["data", *shlex.split(arguments)]) == 0
    assert capsys.readouterr().out.startswith(f"my-{(tmp_path / folder).name}: 9 training and 4 test images")
    check(eval(code), f"my-{(tmp_path / folder).name}")


def test_a_longer_file_in_the_place_of_a_known_one_gets_the_same_advice(known, put, tmp_path):
    put(tmp_path, changes={NAMES[0]: np.zeros((900, 6, 7), np.uint8)})
    with pytest.raises(DataError, match=r"there are more: .* If the images are your own, give them another"):
        load("mnist", tmp_path)


@pytest.mark.parametrize("header", [bytes(4), b"\0\0\x08\x03" + b"\xff" * 12, b"<html>"])
def test_damaged_custom_files_are_named(tmp_path, put, header):
    put(tmp_path)
    (tmp_path / f"{NAMES[0]}.gz").write_bytes(gzip.compress(header))
    with pytest.raises(MiniCNNError, match=f"{NAMES[0]}.gz: expected"):
        load("letters", tmp_path)


def test_the_help_mentions_it(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert "your own images in IDX files" in re.sub(r"\s+", " ", capsys.readouterr().out)
