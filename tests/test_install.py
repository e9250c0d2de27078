"""What pip installs: the package as a whole, and found from wherever Python is started."""

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

PROJECT = Path(__file__).parent.parent
FILES = ["pyproject.toml", "README.md", "LICENSE"]


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Return a copy of the project in a folder called minicnn, if pip can install what builds it."""
    folder = tmp_path_factory.mktemp("parent") / "minicnn"
    shutil.copytree(PROJECT / "minicnn", folder / "minicnn", ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(PROJECT / name, folder)
    (backend,) = re.findall(r'^requires = \["(.+)"\]', (folder / "pyproject.toml").read_text(), re.MULTILINE)
    fetched = pip("download", "--quiet", "--no-deps", "--dest", folder.parent / "backend", backend)
    if fetched.returncode:
        pytest.skip(f"pip cannot install {backend}: {fetched.stderr.strip().splitlines()[-1]}")
    return folder


@pytest.fixture
def python(tmp_path):
    """Return the Python of a fresh environment that finds the dependencies of this one."""
    venv.create(tmp_path / "venv", symlinks=os.name != "nt")
    (site_packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    # The last of the folder's .pth files: what is installed here comes before what is installed there.
    (site_packages / "zz_dependencies.pth").write_text(str(Path(np.__file__).parent.parent))
    return tmp_path / "venv" / "bin" / "python"


def test_an_editable_install_is_found_in_the_folder_that_holds_the_clone(clone, python):
    installed = pip("--python", python, "install", "--quiet", "--no-deps", "--editable", clone)
    assert installed.returncode == 0, installed.stderr
    code = "import minicnn; minicnn.data; print(minicnn.__file__)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found = subprocess.run(
        [python, "-c", code], cwd=clone.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert found.stdout.strip() == str(clone / "minicnn" / "__init__.py"), found.stderr
    command = subprocess.run(
        [python.parent / "minicnn", "--help"], cwd=clone.parent, capture_output=True, text=True, check=False
    )
    assert command.stdout.startswith("usage: minicnn"), command.stderr


def test_a_wheel_holds_every_file_of_the_package(clone, tmp_path):
    built = pip("wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, clone)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("minicnn-*.whl")
    files = {path.relative_to(clone).as_posix() for path in (clone / "minicnn").rglob("*.*")}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("minicnn/")}
    assert held == {name for name in files if "__pycache__" not in name}
    assert {Path(name).suffix for name in held} == {".py", ".cu", ".html", ".typed"}
