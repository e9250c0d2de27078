"""Damaged, mixed and crafted folders of runs give an error that names the folder, or the page."""

import io
import json
import os
import pickle
import shutil
import struct
import zipfile

import numpy as np
import pytest

from minicnn import report
from minicnn.errors import DataError, MiniCNNError
from minicnn.text import printable_lines
from tests.report.finished import finished, sign


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run, and the data it was made with."""
    run, _, train, test = finished(tmp_path_factory.mktemp("runs") / "whole", epochs=1)
    return run.folder, train, test


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole[0], tmp_path / "run")


DEEP = json.loads("[" * 300 + "]" * 300)


def metrics(**changes):
    """Return a function that changes numbers in metrics.json; "a__b" is b within a, and ... removes it."""

    def damage(folder):
        path = folder / "metrics.json"
        whole = json.loads(path.read_text(encoding="utf-8"))
        for name, value in changes.items():
            *outer, last = name.split("__")
            at = whole
            for part in outer:
                at = at[part]
            if value is ...:
                del at[last]
            else:
                at[last] = value
        path.write_text(json.dumps(whole), encoding="utf-8")

    return damage


def text(name, content):
    """Return a function that replaces a file by text, bytes, or a function of its bytes."""

    def damage(folder):
        path = folder / name
        new = content(path.read_bytes()) if callable(content) else content
        path.write_bytes(new.encode() if isinstance(new, str) else new)

    return damage


def header(descr="'<f4'", order="False", shape="(9, 3)", tail=", }", version=b"\x01\x00", content=b""):
    """Return an NPY file with any header."""
    line = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}{tail}".encode()
    line += b" " * (-(len(line) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(line)) + line + content


def packed(**members):
    """Return a function that replaces, adds or (...) removes members of predictions.npz."""

    def damage(folder):
        path = folder / "predictions.npz"
        with zipfile.ZipFile(path) as file:
            held = {name: file.read(name) for name in file.namelist()}
        held |= {f"{name}.npy": content for name, content in members.items()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in held.items():
                if content is not ...:
                    file.writestr(name, content)

    return damage


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def marked_as_encrypted(content):
    changed = bytearray(content)
    for start in (b"PK\x01\x02", b"PK\x03\x04"):
        at = changed.find(start)
        while at >= 0:
            changed[at + (8 if start[2] == 1 else 6)] |= 1
            at = changed.find(start, at + 4)
    return bytes(changed)


def packed_as(method):
    def change(content):
        changed = bytearray(content)
        for start, place in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
            at = changed.find(start)
            while at >= 0:
                changed[at + place : at + place + 2] = struct.pack("<H", method)
                at = changed.find(start, at + 4)
        return bytes(changed)

    return change


def a_folder_for(name):
    def damage(folder):
        (folder / name).unlink()
        (folder / name).mkdir()

    return damage


def sparse(name, size):
    def damage(folder):
        with (folder / name).open("r+b") as file:
            file.truncate(size)

    return damage


def a_pipe_for(name):
    def damage(folder):
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return damage


def a_bomb(folder):
    path = folder / "predictions.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("labels.npy", npy(np.zeros(9, np.int64)))
        with file.open("probabilities.npy", "w", force_zip64=True) as stream:
            stream.write(header(shape="(33554432, 3)"))
            for _ in range(24):
                stream.write(bytes(2**24))


FILES = (*report.run.SIGNED, "metrics.json")
HISTORY = "dataset,epoch,loss,accuracy,val_loss,val_accuracy\n"
DAMAGED_METRICS = {
    "no JSON": text("metrics.json", "{"),
    "a list": text("metrics.json", "[]"),
    "empty": text("metrics.json", ""),
    "UTF-16": text("metrics.json", lambda old: old.decode().encode("utf-16")),
    "UTF-32": text("metrics.json", lambda old: old.decode().encode("utf-32")),
    "latin-1": text("metrics.json", lambda old: old.replace(b"minicnn", b"\xe9", 1)),
    "a NUL": text("metrics.json", lambda old: old.replace(b"minicnn", b"\0", 1)),
    "cut short": text("metrics.json", lambda old: old[: len(old) // 2]),
    "deep lists": text("metrics.json", "[" * 100_000),
    "deep objects": text("metrics.json", '{"a":' * 100_000),
    "twice the same key": text("metrics.json", lambda old: old.replace(b"{", b'{"command": "x",', 1)),
    "NaN": metrics(test_loss=float("nan")),
    "infinite": metrics(test_loss=float("inf")),
    "infinite by size": text(
        "metrics.json", lambda old: old.replace(b'"test_loss": ', b'"test_loss": 1e9', 1)
    ),
    "an endless number": text(
        "metrics.json", lambda old: old.replace(b'"epochs": ', b'"epochs": ' + b"9" * 9999)
    ),
    "very large": text("metrics.json", lambda old: old + b" " * 2**20),
    "nested settings": metrics(optimizer=DEEP),
    "an accuracy of text": metrics(test_accuracy="0.5"),
    "an accuracy of True": metrics(test_accuracy=True),
    "an accuracy of 7": metrics(test_accuracy=7.0),
    "an accuracy below 0": metrics(test_accuracy=-0.5),
    "a mirrored accuracy of text": metrics(mirrored_accuracy="high"),
    "a mirrored accuracy of None": metrics(mirrored_accuracy=None),
    "a loss below 0": metrics(test_loss=-1.0),
    "parameters of None": metrics(parameters=None),
    "parameters of floats": metrics(parameters=3.5),
    "other parameters": metrics(parameters=7),
    "epochs of True": metrics(epochs=True),
    "other epochs": metrics(epochs=9),
    "seconds of text": metrics(seconds_training="long"),
    "seconds below 0": metrics(seconds_training=-1.0),
    "images of a list": metrics(images=[24, 0, 9]),
    "images below 0": metrics(images__training=-1),
    "images of True": metrics(images__validation=True),
    "other test images": metrics(images__test=8),
    "no versions": metrics(versions=...),
    "versions of a list": metrics(versions=["1"]),
    "a command of a list": metrics(command=["minicnn"]),
    "no data": metrics(data=...),
    "data of a list": metrics(data=[]),
    "data of another kind": metrics(data__color="red"),
    "a data set of a list": metrics(data__name=["mnist"]),
    "a NUL in a path": metrics(data__train_csv="a\0b"),
    "half a surrogate in a path": metrics(data__train_csv="a\ud800b"),
    "a path of numbers": metrics(data__train_csv=3),
    "a folder beside files": metrics(data__folder="data"),
    "images of text": metrics(data__images="24"),
    "no digests": metrics(digests=...),
    "digests of a list": metrics(digests=[]),
    "a digest of None": metrics(**{"digests__history.csv": None}),
    "no digest of the test set": metrics(**{"digests__test set": ...}),
    "another test set": metrics(**{"digests__test set": "0" * 64}),
}
DAMAGED_FILES = {
    # predictions.npz
    "no zip": text("predictions.npz", "PK"),
    "a zip cut short": text("predictions.npz", lambda old: old[:-30]),
    "a changed byte": text("predictions.npz", lambda old: old[:120] + bytes([old[120] ^ 255]) + old[121:]),
    "encrypted": text("predictions.npz", marked_as_encrypted),
    "packed as LZMA": text("predictions.npz", packed_as(14)),
    "packed as bzip2": text("predictions.npz", packed_as(12)),
    "packed as nothing known": text("predictions.npz", packed_as(99)),
    "a pickle": text("predictions.npz", pickle.dumps([1])),
    "an NPY file": text("predictions.npz", npy(np.zeros(9, np.int64))),
    "no labels": packed(labels=...),
    "one array more": packed(more=npy(np.zeros(3))),
    "objects": packed(labels=npy(np.array([{}] * 9, object))),
    "text": packed(labels=npy(np.array(["ant"] * 9))),
    "records": packed(probabilities=npy(np.zeros((9, 3), "f4,f4"))),
    "complex": packed(probabilities=npy(np.zeros((9, 3), complex))),
    "times": packed(labels=npy(np.zeros(9, "M8[s]"))),
    "in Fortran's order": packed(probabilities=npy(np.asfortranarray(np.full((9, 3), 1 / 3)))),
    "no header": packed(labels=b"\x93NUMPY\x01\x00\xff\xff"),
    "a header of code": packed(labels=header("__import__('os').getcwd()", shape="(9,)")),
    "a header of many brackets": packed(labels=header(shape="(" * 5000 + ")" * 5000)),
    "a header that does not end": packed(labels=header(shape="(9,", tail="")),
    "another version": packed(labels=header("'<i8'", shape="(9,)", version=b"\x09\x00", content=bytes(72))),
    "a huge shape": packed(probabilities=header(shape="(9000000000, 3)")),
    "a shape beyond 64 bits": packed(probabilities=header(shape=f"({10**30}, 3)")),
    "a shape of endless digits": packed(probabilities=header(shape=f"({'9' * 5000}, 3)")),
    "a negative shape": packed(probabilities=header(shape="(-9, 3)")),
    "an empty shape": packed(probabilities=header(shape="(0, 3)")),
    "no shape": packed(labels=npy(np.int64(3))),
    "fewer numbers than promised": packed(probabilities=header(content=bytes(9))),
    "more numbers than promised": packed(probabilities=header(content=bytes(999))),
    "a bomb": a_bomb,
    "other labels": packed(labels=npy(np.zeros(9, np.int64))),
    # history.csv
    "no table": text("history.csv", ""),
    "no rows": text("history.csv", HISTORY),
    "a history of NUL": text("history.csv", b"\0" * 100),
    "a history in UTF-16": text("history.csv", lambda old: old.decode().encode("utf-16")),
    "a loss of text": text("history.csv", "dataset,epoch,loss,accuracy\nx,1,low,0.5\n"),
    "a loss of NaN": text("history.csv", "dataset,epoch,loss,accuracy\nx,1,nan,0.5\n"),
    "an endless loss": text("history.csv", "dataset,epoch,loss,accuracy\nx,1,1e999,0.5\n"),
    "an endless epoch": text("history.csv", f"dataset,epoch,loss,accuracy\nx,{'9' * 9999},1,0.5\n"),
    "an epoch more": text("history.csv", f"{HISTORY}x,1,1,1,1,1\nx,2,1,1,1,1\n"),
    "a cell too many": text("history.csv", f"{HISTORY}x,1,1,1,1,1,1,1\n"),
    "a cell too few": text("history.csv", f"{HISTORY}x,1\n"),
    "a long cell": text("history.csv", f"{HISTORY}{'x' * 200_000},1,1,1,1,1\n"),
    # model.safetensors
    "a model of nothing": text("model.safetensors", b""),
    "a model cut short": text("model.safetensors", lambda old: old[:-8]),
    "a model of a pickle": text("model.safetensors", pickle.dumps({"W": [1.0]})),
}
# Files that cannot be read to be signed, or only by waiting for a long time.
UNREADABLE = {
    "sparse predictions": sparse("predictions.npz", 2**40),
    "a sparse history": sparse("history.csv", 2**40),
    **{f"a folder for {name}": a_folder_for(name) for name in FILES},
    **({f"a pipe for {name}": a_pipe_for(name) for name in FILES} if hasattr(os, "mkfifo") else {}),
}


def assert_rejected(whole, folder):
    with pytest.raises(MiniCNNError, match="run") as caught:
        report.page_of(report.read_run(folder), *whole[1:])
    message = str(caught.value)
    assert str(folder) in message
    assert printable_lines(message) == message
    assert len(message) < 2000


DAMAGED = DAMAGED_METRICS | DAMAGED_FILES | UNREADABLE


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_run_is_rejected(whole, folder, damage):
    damage(folder)
    assert_rejected(whole, folder)


@pytest.mark.parametrize("damage", DAMAGED_FILES.values(), ids=DAMAGED_FILES)
def test_a_crafted_run_is_rejected(whole, folder, damage):
    damage(folder)
    sign(folder)
    assert_rejected(whole, folder)


def test_there_are_many_of_them():
    assert len(DAMAGED) > 100


@pytest.mark.parametrize("name", ["never", "file"])
def test_a_folder_without_a_run_is_rejected(tmp_path, name):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(DataError, match="expected the folder of a finished run"):
        report.read_run(tmp_path / name)


def test_odd_but_valid_values_are_shown(whole, folder):
    odd = {
        "optimizer": [[["SGD"]]],
        "seed": {"a": [1, {"b": None}]},
        "recipe": "\x1b[2J\ud800<b>",
        "\x07": "\u202e",
    }
    metrics(**odd, command="minicnn train \x1b[2J\ud800 <script>", versions={"\ud800": ["\x07"]})(folder)
    page = report.page_of(report.read_run(folder), *whole[1:]).write(folder).read_text(encoding="utf-8")
    assert r"minicnn train \x1b[2J\ud800 &lt;script&gt;" in page
    assert printable_lines(page) == page
