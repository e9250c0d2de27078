"""Where compiled kernels are kept: an edit of any kernel's file is noticed by all."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import minicnn
from minicnn.kernels import compiled as compiled_module

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


def test_where_nothing_can_be_written_beside_the_kernels_the_users_folder_has_it(monkeypatch, tmp_path):
    monkeypatch.setattr(compiled_module.config, "CACHE_DIR", "")
    monkeypatch.setattr(compiled_module.os, "access", lambda path, mode: False)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: tmp_path / name)
    assert compiled_module._cache_folder().parent == tmp_path / "minicnn"
    assert compiled_module._cache_folder().name == f"minicnn-{compiled_module._STATE}"


def test_what_numba_would_keep_elsewhere_is_not_kept(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(compiled_module.config, "CACHE_DIR", str(tmp_path / "file"))

    def double(x):
        return 2 * x

    function = compiled_module.compiled(double)
    assert function(2) == 4
    assert not function.stats.cache_path


def test_the_setting_of_others_comes_back_though_threads_compile_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(compiled_module.config, "CACHE_DIR", str(tmp_path))

    def double(x):
        return 2 * x

    with ThreadPoolExecutor(4) as pool:
        functions = list(pool.map(lambda _: compiled_module.compiled(double), range(40)))
    assert str(tmp_path) == compiled_module.config.CACHE_DIR
    assert {Path(f.stats.cache_path).parent for f in functions} == {
        tmp_path / f"minicnn-{compiled_module._STATE}"
    }
