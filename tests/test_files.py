"""`files`: a file is there as a whole or not at all, and what cannot be written is said at once."""

import os
import stat

import pytest

from minicnn.errors import OutputError
from minicnn.files import check_file, make_folder, replacing


@pytest.fixture
def blocked(tmp_path):
    """Return a path that nobody can write, not even root: its parent is a file."""
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

    def test_who_has_the_old_file_open_reads_on_in_the_old_one(self, tmp_path):
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

    def test_the_temporary_file_lies_in_the_same_folder_with_the_same_suffix(self, tmp_path):
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

    def test_a_folder_of_that_name_is_refused_and_stays(self, tmp_path):
        (tmp_path / "a").mkdir()
        with pytest.raises(OutputError, match="there is a folder of that name"), replacing(tmp_path / "a"):
            pytest.fail("the block must not run")
        assert (tmp_path / "a").is_dir()
        assert os.listdir(tmp_path) == ["a"]

    def test_an_unwritable_place_is_refused_before_the_block(self, blocked):
        with (
            pytest.raises(OutputError, match="choose a folder you may write to"),
            replacing(blocked / "a.txt"),
        ):
            pytest.fail("the block must not run")

    def test_a_name_that_the_disk_does_not_take_is_refused(self, tmp_path):
        with pytest.raises(OutputError, match="cannot write"), replacing(tmp_path / ("x" * 300)) as temporary:
            temporary.write_text("new")
        assert os.listdir(tmp_path) == []

    def test_a_name_as_long_as_the_disk_takes_is_no_problem(self, tmp_path):
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

    def test_writers_at_the_same_time_do_not_meet_the_last_to_end_wins(self, tmp_path):
        path = tmp_path / "a.txt"
        with replacing(path) as slow:
            slow.write_text("slow")
            with replacing(path) as fast:
                fast.write_text("fast")
            assert path.read_text() == "fast"
        assert path.read_text() == "slow"
        assert os.listdir(tmp_path) == ["a.txt"]


class TestCheckFile:
    def test_the_folder_is_made_the_file_is_not_and_the_path_is_returned(self, tmp_path):
        assert check_file(str(tmp_path / "a" / "b.txt")) == tmp_path / "a" / "b.txt"
        assert os.listdir(tmp_path / "a") == []

    def test_a_file_that_is_there_stays_as_it_is(self, tmp_path):
        (tmp_path / "a.txt").write_text("old")
        assert check_file(tmp_path / "a.txt") == tmp_path / "a.txt"
        assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "old"}

    def test_a_link_leads_to_its_target(self, tmp_path):
        (tmp_path / "link").symlink_to(tmp_path / "target")
        assert check_file(tmp_path / "link") == tmp_path / "target"

    def test_a_folder_of_that_name_is_refused_even_through_a_link(self, tmp_path):
        (tmp_path / "folder").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "folder")
        for name in ("folder", "link"):
            with pytest.raises(OutputError, match="there is a folder of that name"):
                check_file(tmp_path / name)

    def test_a_path_through_a_file_is_refused(self, blocked):
        with pytest.raises(OutputError, match="cannot write"):
            check_file(blocked / "a.txt")


class TestMakeFolder:
    def test_it_is_made_with_its_parents_and_returned(self, tmp_path):
        assert make_folder(str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
        assert (tmp_path / "a" / "b").is_dir()

    def test_one_that_is_there_keeps_its_files_and_gets_none(self, tmp_path):
        (tmp_path / "kept").write_text("x")
        assert make_folder(tmp_path) == tmp_path
        assert os.listdir(tmp_path) == ["kept"]

    def test_a_file_of_that_name_is_refused_and_stays(self, blocked):
        with pytest.raises(OutputError, match="cannot write"):
            make_folder(blocked.parent)
        assert blocked.parent.read_text() == "not a folder"

    def test_a_path_through_a_file_is_refused(self, blocked):
        with pytest.raises(OutputError, match="cannot write"):
            make_folder(blocked)

    @pytest.mark.skipif(
        not os.path.isdir("/proc/self"), reason="needs /proc, a folder where nobody may write"
    )
    def test_a_folder_that_is_there_but_not_writable_is_refused(self):
        with pytest.raises(OutputError, match="cannot write /proc/self"):
            make_folder("/proc/self")
