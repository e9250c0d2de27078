"""The output of commands works on any terminal: in its encoding, and without control characters."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from minicnn import cli

NAMES = ["\x1b]0;owned\x07\x1b[2Jcat", "x\n/etc/passwd: dog 100.0%", "\u202egnp.exe\ud800"]
DESCRIPTION = {
    "layers": [{"type": "GlobalAvgPool2D"}, {"type": "Dense", "units": 3}],
    "input_shape": [6, 5, 1],
    "dtype": "float32",
    "preprocessing": {"mean": 0.0, "std": 1.0},
    "class_names": NAMES,
    "info": {"dataset": "\x1b[31m\ud800"},
}


def printed(monkeypatch, encoding, *arguments):
    """Run a command with a stdout of that encoding; return its status and what it printed."""
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding, "strict", write_through=True))
    try:
        status = cli.main(list(arguments))
    except SystemExit as ended:  # of --help
        status = ended.code
    return status, buffer.getvalue().decode(encoding)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.safetensors"
    arrays = {"dense_1.W": np.ones((1, 3), np.float32), "dense_1.b": np.zeros(3, np.float32)}
    save_file(arrays, path, {"format": "minicnn", "version": "1", "model": json.dumps(DESCRIPTION)})
    return str(path)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8", "utf-16"])
def test_any_encoding_works(monkeypatch, encoding):
    for command in cli.COMMANDS:
        name = command.__name__.rpartition(".")[2]
        status, text = printed(monkeypatch, encoding, name, "--help")
        assert status == 0
        assert text.startswith(f"usage: minicnn {name}")
    assert printed(monkeypatch, encoding, "info")[0] == 0


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_names_from_a_model_are_escaped(monkeypatch, tmp_path, model, encoding):
    image = pytest.importorskip("PIL.Image", reason="reads pictures")
    picture = str(tmp_path / "picture.png")
    image.fromarray(np.tril(np.full((30, 25), 200, np.uint8))).save(picture)
    status, text = printed(monkeypatch, encoding, "predict", model, picture)
    assert status == 0
    assert len(text.splitlines()) == 1
    assert text.replace("\n", "").isprintable()
    for shown in (r"\x1b[2Jcat", r"x\n/etc/passwd: dog 100.0%", r"\u202egnp.exe\ud800"):
        assert shown in text
    status, text = printed(monkeypatch, encoding, "predict", model, picture, "--json")
    assert (status, text.isascii()) == (0, True)
    assert json.loads(text)
    assert r"x\\n/etc/passwd: dog 100.0%" in text


@pytest.mark.parametrize("name", ["\x1b[2J", "x\ny", "\udc80"])
def test_names_in_errors_are_escaped(monkeypatch, capsys, tmp_path, name):
    assert cli.main(["predict", str(tmp_path / f"no{name}.safetensors"), "x.png"]) == 2
    told = capsys.readouterr().err
    assert "there is no such file" in told
    assert told.replace("\n", "").isprintable()


@pytest.mark.skipif(os.name != "posix", reason="closes streams as a POSIX shell does")
@pytest.mark.parametrize(
    ("environment", "closed", "status"),
    [
        ({"PYTHONIOENCODING": "ascii:strict"}, "", 0),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "", 0),
        ({}, ">&-", 0),
        ({}, "2>&-", 0),
    ],
    ids=["ascii", "a locale without an encoding", "no stdout", "no stderr"],
)
def test_a_process_succeeds_with_any_streams(environment, closed, status):
    run = subprocess.run(
        ["sh", "-c", f'exec "$0" -m minicnn info {closed}', sys.executable],
        capture_output=True,
        env=os.environ | environment,
    )
    assert (run.returncode, run.stderr) == (status, b"")
    assert (b"minicnn" in run.stdout) == (closed != ">&-")
