"""`open_content`: compressed files are decompressed, up to a limit."""

import gzip
import os
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.data import content
from minicnn.data.content import open_content
from minicnn.errors import DataError, DataNotFoundError


@pytest.fixture
def file(tmp_path):
    """``file(b"…")`` writes a file and returns its path."""

    def write(data):
        (tmp_path / "file").write_bytes(data)
        return tmp_path / "file"

    return write


def read(path, limit=None):
    with open_content(path, limit) as opened:
        return opened.read()


@given(parts=st.lists(st.binary(max_size=99), max_size=4), packed=st.booleans(), room=st.integers(0, 3))
def test_the_content_of_any_number_of_gzip_members_is_read(tmp_path_factory, parts, packed, room):
    path = tmp_path_factory.mktemp("content") / "file"
    path.write_bytes(b"".join(map(gzip.compress, parts)) if packed else b"plain" + b"".join(parts))
    whole = b"".join(parts) if packed else b"plain" + b"".join(parts)
    assert read(path) == whole
    assert read(path, len(whole) + room) == whole


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:])]
)
@pytest.mark.parametrize("chunk", [1, 3, 2**20])
def test_one_byte_beyond_the_limit_is_rejected(file, monkeypatch, pack, chunk):
    monkeypatch.setattr(content, "CHUNK", chunk)
    path = file(pack(b"ten bytes."))
    assert read(path, 10) == b"ten bytes."
    with pytest.raises(DataError, match="file: expected at most 9 bytes of content; there are more"):
        read(path, 9)


def test_a_plain_file_is_its_own_limit(file):
    with open_content(file(b"ten bytes.")) as opened:
        assert opened.limit == 10


def test_a_compressed_file_may_unpack_to_many_times_its_size(file, monkeypatch):
    packed = gzip.compress(bytes(100_000))
    monkeypatch.setattr(content, "SMALL", 0)
    with open_content(file(packed)) as opened:
        assert opened.limit == content.RATIO * len(packed) < 100_000
    with pytest.raises(DataError, match=f"at most {content.RATIO * len(packed):,} bytes"):
        read(file(packed))
    monkeypatch.setattr(content, "SMALL", 100_000)
    assert read(file(packed)) == bytes(100_000)


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(b"whole")[:-1],
        gzip.compress(b"whole")[:5],
        gzip.compress(b"whole") + b"garbage",
        gzip.compress(b"whole") + gzip.compress(b"cut")[:-3],
        gzip.compress(b"whole")[:-8] + bytes(8),
    ],
)
def test_damaged_gzip_is_rejected(file, data):
    with pytest.raises(DataError, match="file: expected whole gzip data; "):
        read(file(data))


def test_zeros_after_the_end_are_padding(file):
    assert read(file(gzip.compress(b"whole") + bytes(512))) == b"whole"


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_an_impossible_file_name(name):
    with pytest.raises(DataError, match="no file can have this name"):
        open_content(name)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(DataNotFoundError, match="nowhere: there is no such file"):
        open_content(tmp_path / "nowhere")
    with pytest.raises(DataError, match="expected a readable file"):
        open_content(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_can_be_read_up_to_the_limit(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    for limit in (10, 9):
        monkeypatch.setattr(content, "SMALL", limit)
        writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"ten bytes.",))
        writer.start()
        if limit == 10:
            assert read(tmp_path / "pipe") == b"ten bytes."
        else:
            with pytest.raises(DataError, match="at most 9 bytes"):
                read(tmp_path / "pipe")
        writer.join()


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
@pytest.mark.parametrize(
    ("reader", "header"),
    [
        ("read_idx(path)", "00000801 0bfffff0"),
        ("read_idx(path)", "00000802 80000000 80000000"),
        ("read_csv(path)", ""),
        ("load('mnist', path.parent)", "00000803 0000ea60 0000001c 0000001c"),
    ],
)
def test_a_gzip_of_200_kB_does_not_unpack_to_200_MB(tmp_path, reader, header):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(bytes.fromhex(header)) + 192 * gzip.compress(bytes(2**20)))
    for name in ("train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (path.parent / name).write_bytes(b"")
    code = f"""
import pathlib, resource
from minicnn.data import load, read_csv, read_idx
from minicnn.errors import DataError
path = pathlib.Path({str(path)!r})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    {reader}
except DataError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    message, grown = result.stdout.splitlines()
    assert message.startswith(str(path))
    assert "expected" in message
    assert int(grown) < 150, "MiB of memory"
