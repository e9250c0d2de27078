"""Where compiled kernels are kept: an edit of any kernel's file is noticed by all."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import minicnn

CODE = """
from minicnn.kernels import dense, loss
print(dense.forward.stats.cache_path)
print(loss.softmax_cross_entropy.stats.cache_path)
"""


def cache_paths(folder, **variables):
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"} | variables
    command = [sys.executable, "-c", CODE]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return [Path(line) for line in run.stdout.splitlines()]


def test_an_edit_of_a_kernel_gives_all_of_them_another_folder(tmp_path):
    source = Path(minicnn.__file__).parent
    shutil.copytree(source, tmp_path / "minicnn", ignore=shutil.ignore_patterns("__pycache__"))
    kernels = tmp_path / "minicnn" / "kernels"
    first = cache_paths(tmp_path)
    assert first == cache_paths(tmp_path)
    assert all(path.is_relative_to(kernels / "__pycache__") for path in first)
    with (kernels / "product.py").open("a") as file:
        file.write("# edited\n")
    second = cache_paths(tmp_path)
    assert not set(first) & set(second)
    chosen = cache_paths(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "elsewhere"))
    assert all(path.is_relative_to(tmp_path / "elsewhere") for path in chosen)
    assert [path.parent.name for path in chosen] == [path.parent.name for path in second]
