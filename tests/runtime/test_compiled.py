"""The cache of compiled kernels: an edit of any source invalidates all of them."""

import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from numba import njit

import minicnn
from minicnn.engine.cpu.kernels import dense, loss
from minicnn.runtime import compiled as compiled_module


def cache_folder(folder, **variables):
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"} | variables
    code = "from minicnn.runtime import compiled; print(compiled._cache_folder())"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return Path(run.stdout.strip())


@pytest.mark.parametrize("edited", ["engine/cpu/kernels/gemm.py", "optimizers.py"])
def test_an_edit_of_a_kernel_or_its_named_tuples_gives_all_kernels_another_folder(edited, tmp_path):
    source = Path(minicnn.__file__).parent
    shutil.copytree(source, tmp_path / "minicnn", ignore=shutil.ignore_patterns("__pycache__"))
    package = tmp_path / "minicnn"
    first = cache_folder(tmp_path)
    assert first == cache_folder(tmp_path)
    assert first.parent == package / "runtime" / "__pycache__"
    with (package / edited).open("a") as file:
        file.write("# edited\n")
    second = cache_folder(tmp_path)
    assert second != first
    assert cache_folder(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "a")) == tmp_path / "a" / second.name
    assert cache_folder(tmp_path, NUMBA_BOUNDSCHECK="1") not in (first, second)


def test_every_kernel_is_cached_in_this_folder():
    for kernel in (dense.forward, loss.softmax_cross_entropy):
        assert Path(kernel.stats.cache_path).parent == compiled_module._cache_folder()


def test_the_users_cache_folder_is_the_fallback(monkeypatch, tmp_path):
    monkeypatch.setattr(compiled_module.config, "CACHE_DIR", "")
    monkeypatch.setattr(compiled_module.os, "access", lambda path, mode: False)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: tmp_path / name)
    assert compiled_module._cache_folder().parent == tmp_path / "minicnn"
    assert compiled_module._cache_folder().name == f"minicnn-{compiled_module._STATE}"


def test_a_cache_elsewhere_is_not_used(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(compiled_module.config, "CACHE_DIR", str(tmp_path / "file"))

    def double(x):
        return 2 * x

    function = compiled_module.compiled(double)
    assert function(2) == 4
    assert not function.stats.cache_path


def test_numbas_cache_setting_is_restored_if_threads_compile_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(compiled_module.config, "CACHE_DIR", str(tmp_path))

    def double(x):
        return 2 * x

    with ThreadPoolExecutor(4) as pool:
        functions = list(pool.map(lambda _: compiled_module.compiled(double), range(40)))
    assert str(tmp_path) == compiled_module.config.CACHE_DIR
    assert {Path(f.stats.cache_path).parent for f in functions} == {
        tmp_path / f"minicnn-{compiled_module._STATE}"
    }


@pytest.mark.parametrize("place", ["_cache_folder", "njit"])
def test_an_interrupt_leaves_no_lock_and_the_setting_of_others(place, monkeypatch, tmp_path):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(compiled_module.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(compiled_module, place, interrupt)
    with pytest.raises(KeyboardInterrupt):
        compiled_module.compiled(lambda x: x)
    assert not compiled_module._choosing.locked()
    assert str(tmp_path) == compiled_module.config.CACHE_DIR


def test_kernels_are_compiled_in_a_worker_thread(monkeypatch, tmp_path):
    monkeypatch.setattr(compiled_module.config, "CACHE_DIR", str(tmp_path))
    double = compiled_module.compiled(lambda x: 2 * x)
    four_times = compiled_module.compiled(lambda x: double(double(x)))
    compilers = []
    watch = compiled_module.Watch(lambda begins: compilers.append(threading.current_thread()))
    try:
        assert four_times(2) == 8
        assert double(0.5) == 1
    finally:
        watch.close()
    assert len(compilers) == 4  # each has begun and ended; the inner one belongs to the outer
    assert threading.main_thread() not in compilers


def test_a_loop_compiled_by_the_user_may_call_a_kernel(monkeypatch, tmp_path):
    monkeypatch.setattr(compiled_module.config, "CACHE_DIR", str(tmp_path))
    double = compiled_module.compiled(lambda x: 2 * x)
    assert njit(lambda x: double(x) + 1)(2) == 5
