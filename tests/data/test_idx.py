"""IDX files: round trips, and errors that name the damaged file."""

import gzip
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minicnn.data import read_idx, write_idx
from minicnn.errors import DataError, DataNotFoundError, DTypeError, OutputError, ShapeError

DTYPES = ["u1", "i1", "<i2", ">i2", "<i4", ">i4", "<f4", ">f4", "<f8", ">f8"]
ARRAY = np.arange(24, dtype=np.int32).reshape(2, 3, 4) - 5


@given(
    array=st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))
    ),
    suffix=st.sampled_from(["", ".gz"]),
)
def test_round_trip(tmp_path_factory, array, suffix):
    path = tmp_path_factory.mktemp("idx") / f"array{suffix}"
    write_idx(path, array)
    result = read_idx(path)
    assert result.dtype == array.dtype.newbyteorder("=")
    assert result.flags.writeable
    np.testing.assert_array_equal(result, array)


def test_the_bytes_by_hand(tmp_path):
    # Magic (int16, two axes), sizes 2 and 1, then 1 and −2 with the high byte first.
    content = bytes.fromhex("00000b02 00000002 00000001 0001 fffe")
    path = tmp_path / "by-hand"
    path.write_bytes(content)
    np.testing.assert_array_equal(read_idx(str(path)), [[1], [-2]])
    write_idx(path, np.array([[1], [-2]], np.int16))
    assert path.read_bytes() == content


def test_the_last_axis_runs_fastest_for_transposed_arrays_too(tmp_path):
    write_idx(tmp_path / "t", ARRAY.T)
    np.testing.assert_array_equal(read_idx(tmp_path / "t"), ARRAY.T)


def test_gzip_is_recognized_by_its_content(tmp_path):
    write_idx(tmp_path / "a.gz", ARRAY)
    write_idx(tmp_path / "a", ARRAY)
    assert (tmp_path / "a.gz").read_bytes()[:2] == b"\x1f\x8b"
    (tmp_path / "a.gz").rename(tmp_path / "compressed")
    (tmp_path / "a").rename(tmp_path / "plain.gz")
    np.testing.assert_array_equal(read_idx(tmp_path / "compressed"), ARRAY)
    np.testing.assert_array_equal(read_idx(tmp_path / "plain.gz"), ARRAY)


def test_the_same_array_gives_the_same_compressed_bytes(tmp_path, monkeypatch):
    write_idx(tmp_path / "a.gz", ARRAY)
    monkeypatch.setattr("time.time", lambda: 0.0)
    write_idx(tmp_path / "b.gz", ARRAY)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def plain(code=0x0C, shape=(2, 3, 4), data=24 * 4):
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + bytes(data)


WHOLE = gzip.compress(plain(), mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (gzip.compress(b""), "it is empty"),
        (plain()[:3], "it begins with 00 00 0c"),
        (b"\1" + plain()[1:], "it begins with 01 00 0c 03"),
        (plain(code=0x0A), "it begins with 00 00 0a 03"),
        (plain(shape=(), data=4), "it begins with 00 00 0c 00"),
        (plain(shape=(1,) * 33, data=4), "it begins with 00 00 0c 21"),
        (b"<html>no such file</html>", "it begins with 3c 68 74 6d"),
        (plain()[:15], "expected a header of 16 bytes; got 15"),
        (
            plain()[:-1],
            r"expected 112 bytes for shape \(2, 3, 4\) of int32; it holds 111 at most, so it is cut",
        ),
        (
            gzip.compress(plain()[:-1]),
            r"expected 112 bytes for shape \(2, 3, 4\) of int32; got 111, so it is cut",
        ),
        (plain() + b"\0", r"expected 112 bytes .*; it is followed by other bytes"),
        (gzip.compress(plain() + b"\0"), r"expected 112 bytes .*; it is followed by other bytes"),
        (plain(shape=(0, *3 * [2**32 - 1]), data=0), r"the shape \(0, 4294967295, .*\) is impossible"),
        (WHOLE[:-9], "expected whole gzip data; Compressed file ended"),
        (WHOLE[:-4], "expected whole gzip data"),
        (WHOLE[:5], "expected whole gzip data"),
        (WHOLE[:-8] + b"\0\0\0\0" + WHOLE[-4:], "expected whole gzip data; CRC check failed"),
        (WHOLE[:10] + b"\xff\xff" + WHOLE[12:], "expected whole gzip data; Error -3"),
        (WHOLE + b"more", "expected whole gzip data; Not a gzipped file"),
    ],
)
def test_rejects_a_damaged_file_by_name(tmp_path, content, message):
    path = tmp_path / "damaged-idx"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"damaged-idx: .*{message}"):
        read_idx(path)


def test_the_undamaged_file_is_read(tmp_path):
    (tmp_path / "whole").write_bytes(WHOLE)
    np.testing.assert_array_equal(read_idx(tmp_path / "whole"), np.zeros((2, 3, 4)))


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(DataNotFoundError, match="nowhere: there is no such file"):
        read_idx(tmp_path / "nowhere")


def test_a_folder_is_rejected(tmp_path):
    with pytest.raises(DataError, match="expected a readable file"):
        read_idx(tmp_path)


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        ([1, 2], DTypeError, "got list: use np.asarray"),
        (np.zeros(2, np.int64), DTypeError, "uint8, int8, int16, int32, float32, float64; got int64"),
        (np.zeros(2, bool), DTypeError, "got bool"),
        (np.array(["a"]), DTypeError, "got <U1"),
        (np.float32(1), DTypeError, "got float32: use np.asarray"),
        (np.zeros((), np.uint8), ShapeError, r"1 to 32 axes .* got shape \(\)"),
        (np.zeros((1,) * 33, np.uint8), ShapeError, "1 to 32 axes"),
        (np.zeros((0, 2**32), np.uint8), ShapeError, r"below 2\*\*32; got shape \(0, 4294967296\)"),
    ],
)
def test_rejects_arrays_that_idx_cannot_hold(tmp_path, array, error, message):
    with pytest.raises(error, match=message):
        write_idx(tmp_path / "a", array)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        write_idx(tmp_path / "file" / "a.gz", ARRAY)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_idx(path, ARRAY)

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_idx(path, np.zeros(3, np.uint8))
    assert list(tmp_path.iterdir()) == [path]
    np.testing.assert_array_equal(read_idx(path), ARRAY)


@given(data=st.data(), packed=st.booleans())
def test_any_bytes_give_an_array_or_our_error(tmp_path_factory, data, packed):
    content = bytearray(plain(code=data.draw(st.sampled_from([0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E]))))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 19))] = data.draw(st.integers(0, 255))
    content = bytes(content[: data.draw(st.integers(0, len(content)))])
    if packed:
        content = bytearray(gzip.compress(content))
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(content)
    with suppress(DataError):
        assert isinstance(read_idx(path), np.ndarray)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("shape", [(2**31, 2**31), (2**32 - 1,), (2**32 - 1,) * 32, (60_000, 28, 29)])
def test_a_header_that_promises_too_much_is_rejected_before_anything_is_allocated(
    tmp_path, monkeypatch, pack, shape
):
    path = tmp_path / "file"
    path.write_bytes(pack(plain(code=0x0E, shape=shape, data=100)))
    monkeypatch.setattr(np, "empty", None)
    with pytest.raises(DataError, match=r"it holds [\d,]+ at most, so it is cut short or damaged"):
        read_idx(path)
