"""What CONTRIBUTING.md says is done to a copy of the project, and what it says to run is run there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minicnn.data import write_idx
from minicnn.data.catalog import NAMES

ROOT = Path(__file__).parent.parent
SECTIONS = dict(
    re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.M | re.S)
)
PRINTED = {  # by every command of a section
    "A layer": r"LayerScale.* ok|[1-9]\d* passed",
    "A data set": "horizontal",
    "A callback": "1 passed",
    "A command": "the classes that a model",
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Return a copy of the project in which every file and diff of the page is applied."""
    copy = tmp_path_factory.mktemp("project")
    for name in ("minicnn", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for section in SECTIONS.values():
        for before, kind, block in re.findall(r"(.*?)```(\w+)\n(.*?)```", section, re.S):
            if kind in ("python", "diff"):
                path = copy / re.findall(r"`((?:minicnn|tests)/[\w/]+\.py)`", before)[-1]
                assert path.exists() is (kind == "diff"), path
                path.write_text(block if kind == "python" else patched(path, block), encoding="utf-8")
    return copy


def patched(path, diff):
    """Return the text of a file with each hunk of a diff applied; its context must occur exactly once."""
    text = path.read_text(encoding="utf-8")
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        old, new = ("".join(line[1:] for line in lines if line[0] in kinds) for kinds in (" -", " +"))
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def stripes(n):
    """Return the images of the page's data set, horizontal and vertical stripes in turn, and their labels."""
    image = np.zeros((28, 28), np.uint8)
    image[::2] = 255
    labels = np.arange(n, dtype=np.uint8) % 2
    return np.stack([image.T if label else image for label in labels]), labels


@pytest.mark.parametrize("title", SECTIONS)
def test_the_commands_of_a_section_succeed(title, copy):
    (copy / "stripes").mkdir(exist_ok=True)
    for name, array in zip(NAMES, [*stripes(20), *stripes(10)], strict=True):
        write_idx(copy / "stripes" / name, array)
    commands = re.findall(r"^```sh\n(.*?)^```", SECTIONS[title], re.M | re.S)
    assert commands
    for command in "".join(commands).splitlines():
        program, *arguments = command.split()
        assert program == "python"
        run = subprocess.run(
            [sys.executable, *arguments],
            cwd=copy,
            env=os.environ | {"PYTHONPATH": str(copy), "MINICNN_DATA": str(copy)},
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        assert run.returncode == 0, run.stdout + run.stderr
        assert re.search(PRINTED[title], run.stdout), run.stdout


def test_the_new_files_are_as_the_linter_wants_them(copy):
    ruff = shutil.which("ruff")
    if ruff is None:
        pytest.skip("ruff is not installed")
    for arguments in (["check"], ["format", "--check"]):
        subprocess.run([ruff, *arguments, "minicnn", "tests/train"], cwd=copy, check=True)


def test_the_sessions_are_those_of_nox():
    noxfile = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"nox -s (\w+)", page)
    assert len(named) >= 5
    assert set(named) <= set(re.findall(r"^def (\w+)\(session", noxfile, re.M))
