"""The folder of a run: no run is lost to another one, in this process or another."""

import os
import subprocess
import sys

import pytest

from minicnn import files, report
from minicnn.errors import ConfigError, OutputError
from minicnn.report import folder as module

FILES = {"model.safetensors", "metrics.json", "history.csv", "predictions.npz", "report.html"}
HELD = sorted(FILES | {"checkpoint.safetensors"})


@pytest.fixture(autouse=True)
def _no_claim_is_left(tmp_path):
    yield
    for path in list(module._claimed):
        report.folder.release(path)


class TestCheckRun:
    def test_the_folder_is_made_and_returned(self, tmp_path):
        assert report.check_run(str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
        assert os.listdir(tmp_path / "a" / "b") == []

    @pytest.mark.parametrize("name", HELD)
    def test_a_folder_that_holds_a_run_is_rejected_and_unchanged(self, tmp_path, name):
        (tmp_path / name).write_text("old")
        message = f"holds a run already, with {name}: name another folder, or use force to replace it"
        with pytest.raises(OutputError, match=message):
            report.check_run(tmp_path)
        assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: "old"}

    def test_force_claims_the_folder_and_changes_nothing(self, tmp_path):
        (tmp_path / "metrics.json").write_text("old")
        assert report.check_run(tmp_path, force=True) == tmp_path
        assert report.check_run(tmp_path) == tmp_path  # it is claimed now
        assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"metrics.json": "old"}
        module.release(tmp_path)
        with pytest.raises(OutputError, match="holds a run already"):
            report.check_run(tmp_path)

    def test_a_folder_with_other_files_is_free(self, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        assert report.check_run(tmp_path) == tmp_path
        assert os.listdir(tmp_path) == ["notes.txt"]

    def test_a_place_that_cannot_be_written_is_rejected(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="cannot write"):
            report.check_run(tmp_path / "file")

    @pytest.mark.parametrize("name", HELD)
    def test_a_folder_in_the_place_of_any_file_is_rejected(self, tmp_path, name):
        (tmp_path / name).mkdir()
        with pytest.raises(OutputError, match=f"{name}: there is a folder of that name"):
            report.check_run(tmp_path)

    @pytest.mark.skipif(files.fcntl is None, reason="there are no locks")
    def test_another_process_cannot_claim_it_until_the_claim_ends(self, tmp_path):
        code = f"from minicnn import report; report.check_run({str(tmp_path)!r}, force=True)"
        report.check_run(tmp_path)
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert other.returncode == 1
        assert f"another process is training into {tmp_path}: name another folder" in other.stderr
        module.release(tmp_path)
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_an_unused_folder_that_was_made_for_a_claim_is_removed(self, tmp_path):
        for path, stays in ((tmp_path / "new", False), (tmp_path, True)):
            with report.run_folder(path, "") as folder:
                assert folder.is_dir()
            assert path.exists() is stays


class TestNewRun:
    def test_a_taken_name_gets_the_next_number(self, tmp_path):
        names = [report.new_run(tmp_path / "runs" / "fashion").name for _ in range(3)]
        assert names == ["fashion", "fashion-2", "fashion-3"]
        (tmp_path / "runs" / "fashion-5").write_text("a file")
        names = [report.new_run(tmp_path / "runs" / "fashion").name for _ in range(2)]
        assert names == ["fashion-4", "fashion-6"]

    def test_processes_at_the_same_time_get_different_folders(self, tmp_path):
        code = (
            "import sys\nfrom minicnn import report\nprint(report.new_run(sys.argv[1]), flush=True)\ninput()"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "run")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        processes = [subprocess.Popen(command, **pipes) for _ in range(3)]
        found = sorted(process.stdout.readline().strip() for process in processes)
        for process in processes:
            process.communicate("\n")
        assert found == [str(tmp_path / name) for name in ("run", "run-2", "run-3")]

    def test_a_folder_that_cannot_be_made_is_rejected(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="cannot write"):
            report.new_run(tmp_path / "file" / "run")


class TestRunFolder:
    def test_a_named_folder_is_taken_and_a_default_one_is_numbered(self, tmp_path):
        default = tmp_path / "runs" / "one"
        with report.run_folder(tmp_path / "here", default) as folder:
            assert folder == tmp_path / "here"
        with report.run_folder(None, default) as first, report.run_folder(None, default) as second:
            assert (first, second) == (default, tmp_path / "runs" / "one-2")

    def test_force_needs_a_folder(self, tmp_path):
        (tmp_path / "metrics.json").write_text("old")
        with report.run_folder(tmp_path, "", force=True) as folder:
            assert folder == tmp_path
        with (
            pytest.raises(ConfigError, match="force replaces the run in the folder given as out"),
            report.run_folder(None, "runs/one", force=True),
        ):
            pass


def test_the_files_are_listed():
    assert len(module.FILES) == len(FILES)
    assert set(module.FILES) == FILES
