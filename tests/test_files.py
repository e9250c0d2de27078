"""`files`: a file is written completely or not at all, and an unwritable path is rejected before any work."""

import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import minicnn as mc
from minicnn import files, layers, plots, report, train
from minicnn.cli import main
from minicnn.data import Dataset, spec
from minicnn.errors import ConfigError, OutputError
from minicnn.files import check_file, check_path, make_folder, remove_stale, replacing

needs_locks = pytest.mark.skipif(files.fcntl is None, reason="needs flock")


@pytest.fixture
def blocked(tmp_path):
    """Return a path that not even root can write: its parent is a file."""
    (tmp_path / "file").write_text("not a folder")
    return tmp_path / "file" / "sub"


class TestReplacing:
    def test_the_file_appears_with_its_content_and_nothing_beside_it(self, tmp_path):
        with replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text("new")
            assert not (tmp_path / "a.txt").exists()
        assert (tmp_path / "a.txt").read_text() == "new"
        assert os.listdir(tmp_path) == ["a.txt"]

    def test_until_the_block_ends_the_old_file_is_there(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_text("old")
        with replacing(path) as temporary:
            temporary.write_text("new")
            assert path.read_text() == "old"
        assert path.read_text() == "new"

    def test_an_open_reader_keeps_the_old_content(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_text("old")
        with path.open() as reader:
            with replacing(path) as temporary:
                temporary.write_text("new")
            assert reader.read() == "old"  # it was renamed over, not written into

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
    @pytest.mark.parametrize("before", ["old", None])
    def test_a_failure_leaves_what_was_there_and_nothing_else(self, tmp_path, error, before):
        path = tmp_path / "a.txt"
        if before is not None:
            path.write_text(before)

        def write():
            with replacing(path) as temporary:
                temporary.write_text("half")
                raise error("stop")

        with pytest.raises(error):
            write()
        assert {p.name: p.read_text() for p in tmp_path.iterdir()} == (
            {} if before is None else {"a.txt": "old"}
        )

    def test_an_error_of_the_disk_names_the_target(self, tmp_path):
        def write():
            with replacing(tmp_path / "a.txt"):
                raise OSError(28, "No space left on device")

        with pytest.raises(OutputError, match=r"cannot write .*a\.txt: No space left on device"):
            write()

    def test_the_temporary_file_is_in_the_same_folder_with_the_same_suffix(self, tmp_path):
        with replacing(tmp_path / "a.png") as temporary:
            assert (temporary.parent, temporary.suffix) == (tmp_path, ".png")
            assert temporary.name != "a.png"

    @pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
    def test_permissions_follow_the_umask(self, tmp_path, mask, mode):
        before = os.umask(mask)
        try:
            with replacing(tmp_path / "a.txt") as temporary:
                temporary.write_text("x")
            assert os.umask(mask) == mask, "the umask must be left as it was"
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == mode

    def test_missing_folders_are_made(self, tmp_path):
        with replacing(tmp_path / "b" / "c" / "a.txt") as temporary:
            temporary.write_text("x")
        assert (tmp_path / "b" / "c" / "a.txt").read_text() == "x"

    def test_a_path_may_be_text(self, tmp_path):
        with replacing(str(tmp_path / "a.txt")) as temporary:
            temporary.write_text("x")
        assert (tmp_path / "a.txt").exists()

    def test_a_folder_of_that_name_is_rejected_and_stays(self, tmp_path):
        (tmp_path / "a").mkdir()
        with pytest.raises(OutputError, match="there is a folder of that name"), replacing(tmp_path / "a"):
            pytest.fail("the block must not run")
        assert (tmp_path / "a").is_dir()
        assert os.listdir(tmp_path) == ["a"]

    def test_an_unwritable_place_is_rejected_before_the_block(self, blocked):
        with (
            pytest.raises(OutputError, match="choose a folder you may write to"),
            replacing(blocked / "a.txt"),
        ):
            pytest.fail("the block must not run")

    def test_a_name_that_is_too_long_is_rejected(self, tmp_path):
        with pytest.raises(OutputError, match="cannot write"), replacing(tmp_path / ("x" * 300)) as temporary:
            temporary.write_text("new")
        assert os.listdir(tmp_path) == []

    def test_the_longest_possible_name_works(self, tmp_path):
        name = "x" * 251 + ".txt"
        with replacing(tmp_path / name) as temporary:
            temporary.write_text("new")
        assert os.listdir(tmp_path) == [name]

    @pytest.mark.parametrize("before", ["old", None])
    def test_a_link_stays_a_link_and_its_target_is_replaced(self, tmp_path, before):
        target, link = tmp_path / "there" / "target.txt", tmp_path / "link.txt"
        target.parent.mkdir()
        if before is not None:
            target.write_text(before)
        link.symlink_to(target)
        with replacing(link) as temporary:
            temporary.write_text("new")
        assert link.is_symlink()
        assert not target.is_symlink()
        assert target.read_text() == "new"
        assert (os.listdir(target.parent), len(os.listdir(tmp_path))) == (["target.txt"], 2)

    def test_of_two_simultaneous_writers_the_last_to_finish_wins(self, tmp_path):
        path = tmp_path / "a.txt"
        with replacing(path) as slow:
            slow.write_text("slow")
            with replacing(path) as fast:
                fast.write_text("fast")
            assert path.read_text() == "fast"
        assert path.read_text() == "slow"
        assert os.listdir(tmp_path) == ["a.txt"]

    def test_the_data_and_the_new_name_are_flushed_to_disk(self, tmp_path, monkeypatch):
        path, done = tmp_path / "a.txt", []
        sync, rename = os.fsync, os.replace

        def note_sync(file):
            done.append(("sync", os.fstat(file).st_ino))
            sync(file)

        def note_rename(source, target):
            done.append(("rename", os.stat(source).st_ino))
            rename(source, target)

        monkeypatch.setattr(os, "fsync", note_sync)
        monkeypatch.setattr(os, "replace", note_rename)
        with replacing(path) as temporary:
            temporary.write_text("new")
        file, folder = path.stat().st_ino, tmp_path.stat().st_ino
        assert done == [("sync", file), ("rename", file), ("sync", folder)]

    def test_a_disk_error_at_the_last_moment_leaves_the_old_file(self, tmp_path, monkeypatch):
        path = tmp_path / "a.txt"
        path.write_text("old")

        def fail(file):
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OutputError, match="Input/output error"), replacing(path) as temporary:
            temporary.write_text("new")
        assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.txt": "old"}


WRITER = """
import sys, time
from minicnn.files import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print(temporary, flush=True)
    sys.stdin.read()
    temporary.write_text("whole")
"""


@pytest.fixture
def start():
    """``start(code, *arguments)`` starts a process, and returns it and the first line that it prints."""
    started = []

    def start(code, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


@needs_locks
class TestKilledWriters:
    def test_the_file_of_a_killed_writer_is_removed_by_the_next_one_in_the_folder(self, tmp_path, start):
        path = tmp_path / "a.txt"
        path.write_text("old")
        process, temporary = start(WRITER, path)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert Path(temporary).read_text() == "half"
        assert path.read_text() == "old"
        check_file(tmp_path / "b.txt")  # as every writer does first
        assert os.listdir(tmp_path) == ["a.txt"]

    def test_the_file_of_a_running_writer_is_left_alone(self, tmp_path, start):
        path = tmp_path / "a.txt"
        process, temporary = start(WRITER, path)
        with replacing(path) as other:
            other.write_text("other")
        assert Path(temporary).read_text() == "half"
        process.communicate("go on")
        assert process.returncode == 0
        assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.txt": "whole"}

    def test_a_model_is_the_old_or_the_new_one_whenever_its_writer_is_killed(self, tmp_path, start):
        code = """
import sys, minicnn as mc
from minicnn import layers as L
models = [mc.Sequential([L.Flatten(), L.Dense(300)], (28, 28, 1), seed=seed) for seed in (1, 2)]
for model in models:
    model.info["seed"] = str(models.index(model))
models[0].save(sys.argv[1])
print("saved", flush=True)
while True:
    for model in models:
        model.save(sys.argv[1])
"""
        path = tmp_path / "model.safetensors"
        process, _ = start(code, path)
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        model = mc.load(path)
        assert model.info["seed"] in ("0", "1")
        model.save(path)
        assert os.listdir(tmp_path) == ["model.safetensors"]

    def test_a_file_that_is_removed_before_it_is_locked_is_made_again(self, tmp_path, monkeypatch):
        flock, calls = files.fcntl.flock, []

        def late(file, how):
            monkeypatch.setattr(files.fcntl, "flock", flock)
            calls.append(how)
            remove_stale(tmp_path)
            assert os.listdir(tmp_path) == []
            flock(file, how)

        monkeypatch.setattr(files.fcntl, "flock", late)
        with replacing(tmp_path / "a.txt") as temporary:
            remove_stale(tmp_path)
            assert temporary.exists()
        assert len(calls) == 1
        assert os.listdir(tmp_path) == ["a.txt"]

    @pytest.mark.parametrize(("age", "left"), [(0, True), (2 * files.DAY, False)])
    def test_another_machine_s_file_is_left_for_a_day(self, tmp_path, age, left):
        path = tmp_path / ".minicnn-00000000-0123456789abcdef.txt"
        path.write_text("half")
        os.utime(path, (time.time() - age,) * 2)
        remove_stale(tmp_path)
        assert path.exists() == left

    @pytest.mark.parametrize(
        "name",
        [
            ".minicnn-notes",
            ".minicnn",
            f".minicnn-{files.HOST}-0123.txt",
            f"x.minicnn-{files.HOST}-{'0' * 16}",
        ],
    )
    def test_other_files_are_left_alone(self, tmp_path, name):
        (tmp_path / name).write_text("mine")
        remove_stale(tmp_path)
        assert os.listdir(tmp_path) == [name]

    def test_a_link_and_a_folder_of_such_a_name_are_left_alone(self, tmp_path):
        (tmp_path / "target").write_text("mine")
        (tmp_path / f".minicnn-{files.HOST}-{'0' * 16}").symlink_to(tmp_path / "target")
        (tmp_path / f".minicnn-{files.HOST}-{'1' * 16}").mkdir()
        remove_stale(tmp_path)
        assert len(os.listdir(tmp_path)) == 3

    def test_without_locks_files_are_written_and_nothing_is_removed(self, tmp_path, monkeypatch):
        monkeypatch.setattr(files, "fcntl", None)
        name = f".minicnn-{files.HOST}-{'0' * 16}"
        (tmp_path / name).write_text("whose?")
        with replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text("new")
        assert sorted(os.listdir(tmp_path)) == [name, "a.txt"]


class TestCheckPath:
    @pytest.mark.parametrize("path", ["a", "ä b", Path("a") / "b", "a\nb"])
    def test_a_path_is_returned(self, path):
        assert check_path(path) == Path(path)

    @pytest.mark.parametrize("path", [None, 5, b"a", ["a"]])
    def test_other_than_a_path_is_rejected_by_name(self, path):
        with pytest.raises(ConfigError, match="folder must be a path such as 'data', got "):
            check_path(path, "folder")

    @pytest.mark.parametrize("path", ["a\0b", "\ud800", "a\udcff", Path("\0")])
    def test_an_impossible_name_is_rejected_with_a_printable_message(self, path):
        with pytest.raises(ConfigError, match=r"without NUL, in UTF-8, got '.*\\") as caught:
            check_path(path)
        str(caught.value).encode()


class TestCheckFile:
    def test_the_folder_is_made_the_file_is_not_and_the_path_is_returned(self, tmp_path):
        assert check_file(str(tmp_path / "a" / "b.txt")) == tmp_path / "a" / "b.txt"
        assert os.listdir(tmp_path / "a") == []

    def test_an_existing_file_is_unchanged(self, tmp_path):
        (tmp_path / "a.txt").write_text("old")
        assert check_file(tmp_path / "a.txt") == tmp_path / "a.txt"
        assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "old"}

    def test_a_link_leads_to_its_target(self, tmp_path):
        (tmp_path / "link").symlink_to(tmp_path / "target")
        assert check_file(tmp_path / "link") == tmp_path / "target"

    def test_a_folder_of_that_name_is_rejected_even_through_a_link(self, tmp_path):
        (tmp_path / "folder").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "folder")
        for name in ("folder", "link"):
            with pytest.raises(OutputError, match="there is a folder of that name"):
                check_file(tmp_path / name)

    def test_a_path_through_a_file_is_rejected(self, blocked):
        with pytest.raises(OutputError, match="cannot write"):
            check_file(blocked / "a.txt")

    def test_a_name_that_is_too_long_is_rejected(self, tmp_path):
        with pytest.raises(OutputError, match="cannot write"):
            check_file(tmp_path / ("x" * 300))

    def test_circular_links_are_rejected(self, tmp_path):
        (tmp_path / "a").symlink_to(tmp_path / "b")
        (tmp_path / "b").symlink_to(tmp_path / "a")
        with pytest.raises(OutputError, match="cannot write"):
            check_file(tmp_path / "a")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_device_or_pipe_is_rejected_and_stays(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OutputError, match="there is a device or pipe of that name"):
            check_file(tmp_path / "pipe")
        assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


class TestMakeFolder:
    def test_it_is_made_with_its_parents_and_returned(self, tmp_path):
        assert make_folder(str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
        assert (tmp_path / "a" / "b").is_dir()

    def test_an_existing_folder_is_unchanged(self, tmp_path):
        (tmp_path / "kept").write_text("x")
        assert make_folder(tmp_path) == tmp_path
        assert os.listdir(tmp_path) == ["kept"]

    def test_a_file_of_that_name_is_rejected_and_stays(self, blocked):
        with pytest.raises(OutputError, match="cannot write"):
            make_folder(blocked.parent)
        assert blocked.parent.read_text() == "not a folder"

    def test_a_path_through_a_file_is_rejected(self, blocked):
        with pytest.raises(OutputError, match="cannot write"):
            make_folder(blocked)

    @pytest.mark.skipif(
        not os.path.isdir("/proc/self"), reason="needs /proc, a folder where nobody may write"
    )
    def test_a_folder_that_is_there_but_not_writable_is_rejected(self):
        with pytest.raises(OutputError, match="cannot write /proc/self"):
            make_folder("/proc/self")


def model():
    return mc.Sequential([layers.Flatten(), layers.Dense(2)], (2, 2, 1), seed=0)


def data():
    return Dataset(np.arange(0, 160, 10, np.uint8).reshape(4, 2, 2, 1), np.int64([0, 1, 0, 1]))


def fit(callback):
    """Train with a callback; if it raises, nothing may have been trained."""
    trainer = mc.Trainer(model(), mc.optimizers.SGD(0.1), device="cpu")
    before = trainer.model.layers[1].params["W"].copy()
    try:
        trainer.fit(data(), epochs=1, batch_size=4, callbacks=[callback], progress=False)
    finally:
        np.testing.assert_array_equal(trainer.model.layers[1].params["W"], before)


@pytest.mark.parametrize("out", ["a\0b", "a\udcff", "file/a", "x" * 300])
def test_a_run_is_rejected_before_it_is_trained(tmp_path, monkeypatch, capsys, out):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(spec, "load", lambda name, root: (data(), data()))
    monkeypatch.setattr(mc.Trainer, "__init__", lambda *arguments: pytest.fail("it must not come to that"))
    assert main(["train", "--out", out]) == 2
    assert re.search("path must be a path without NUL|cannot write", capsys.readouterr().err)
    assert os.listdir(tmp_path) == ["file"]


WRITERS = {
    "model.save": lambda path: model().save(path),
    "Checkpoint": lambda path: fit(train.Checkpoint(path, "accuracy")),
    "CSVLog": lambda path: fit(train.CSVLog(path)),
    "History.to_csv": lambda path: train.History("name").to_csv(path),
    "write_idx": lambda path: mc.data.write_idx(path, np.zeros(3, np.uint8)),
    "write_csv": lambda path: mc.data.write_csv(data(), path),
    "plots.save": lambda path: plots.save(Figure(), path),
    "check_run": lambda path: report.check_run(path / "run" if isinstance(path, Path) else path),
    "Page.write": lambda path: report.Page("title").write(path / "run" if isinstance(path, Path) else path),
}


@pytest.mark.parametrize("writer", WRITERS)
class TestEveryWriter:
    @pytest.mark.parametrize("path", ["a\0b", "\ud800/a", "a\udcff", None, 5, b"a"])
    def test_rejects_other_than_a_path(self, tmp_path, monkeypatch, writer, path):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ConfigError, match="path must be a path"):
            WRITERS[writer](path)
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("name", ["file/a", "x" * 300, "x" * 300 + "/a"])
    def test_rejects_an_impossible_place(self, tmp_path, writer, name):
        (tmp_path / "file").write_text("not a folder")
        with pytest.raises(OutputError, match="cannot write"):
            WRITERS[writer](tmp_path / name)
        assert os.listdir(tmp_path) == ["file"]
