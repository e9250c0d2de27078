"""`load` finds, verifies and downloads the files; a server on this machine plays the mirrors."""

import gzip
import hashlib
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pooch
import pytest

from minicnn.data import download, load, loader, names, write_idx
from minicnn.data.catalog import SOURCES, File, Source
from minicnn.errors import ConfigError, DataError, DataNotFoundError, OutputError

ARRAYS = {
    "train-images-idx3-ubyte": np.arange(5 * 6 * 7, dtype=np.uint8).reshape(5, 6, 7),
    "train-labels-idx1-ubyte": np.uint8([0, 1, 2, 1, 0]),
    "t10k-images-idx3-ubyte": np.arange(2 * 6 * 7, dtype=np.uint8).reshape(2, 6, 7)[:, ::-1],
    "t10k-labels-idx1-ubyte": np.uint8([2, 1]),
}
FIRST = "train-images-idx3-ubyte"
PATIENCE = 2  # seconds for a mirror that stalls: the good one answers within them on a busy machine too


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    """The four files, plain."""
    folder = tmp_path_factory.mktemp("originals")
    for name, array in ARRAYS.items():
        write_idx(folder / name, array)
    return {name: (folder / name).read_bytes() for name in ARRAYS}


class Mirrors(BaseHTTPRequestHandler):
    """Each folder of the server is a mirror with its own way to answer."""

    def do_GET(self):
        mirror, name = self.path.strip("/").split("/")
        self.server.requests.append((mirror, name))
        whole = gzip.compress(self.server.contents[name.removesuffix(".gz")])
        if mirror == "missing":
            self.send_error(404)
            return
        answers = {
            "corrupted": gzip.compress(b"something else"),
            "page": b"<html>please log in</html>",
            "halved": whole[: len(whole) // 2],
        }
        self.send_response(200)
        self.send_header("Content-Length", str(len(answers.get(mirror, whole))))
        self.end_headers()
        if mirror == "cut":
            self.wfile.write(whole[:20])  # and the connection closes
        elif mirror == "stalled":
            self.wfile.write(whole[:20])
            self.wfile.flush()
            self.server.test_is_over.wait(10)
        else:
            self.wfile.write(answers.get(mirror, whole))

    def log_message(self, *args):
        pass


@pytest.fixture
def server(contents, monkeypatch):
    """The mirrors; ``server.requests`` tells what was asked of which."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirrors) as server:
        server.daemon_threads = True
        server.contents, server.requests, server.test_is_over = contents, [], threading.Event()
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.test_is_over.set()
        server.shutdown()


@pytest.fixture
def source(contents, server, monkeypatch):
    """``source("missing", "good")``: "mnist" becomes a tiny data set with these mirrors."""

    def use(*mirrors):
        files = tuple(
            File(name, len(content), hashlib.sha256(content).hexdigest())
            for name, content in contents.items()
        )
        urls = tuple(f"http://127.0.0.1:{server.server_port}/{mirror}/" for mirror in mirrors)
        monkeypatch.setitem(SOURCES, "mnist", Source("mnist", ("a", "b", "c"), files, urls))

    monkeypatch.delenv("MINICNN_DATA", raising=False)
    use("good")
    return use


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of the data set in a cache that does not exist yet."""
    monkeypatch.setattr(loader, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "mnist"


@pytest.fixture
def put(contents):
    """``put(folder, ".gz")`` writes the four files, compressed or plain."""

    def write(folder, suffix=".gz"):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / f"{name}{suffix}").write_bytes(gzip.compress(content) if suffix else content)
        return folder

    return write


def check(parts):
    """Both parts are the tiny data set."""
    for part, images, labels in zip(
        parts, ("train-images", "t10k-images"), ("train-labels", "t10k-labels"), strict=True
    ):
        np.testing.assert_array_equal(part.images[..., 0], ARRAYS[f"{images}-idx3-ubyte"])
        np.testing.assert_array_equal(part.labels, ARRAYS[f"{labels}-idx1-ubyte"])
        assert (part.class_names, part.name) == (("a", "b", "c"), "mnist")


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


WHOLE_SET = sorted(f"{name}.gz" for name in ARRAYS)


# Where the files are looked for


@pytest.mark.parametrize("suffix", [".gz", ""])
@pytest.mark.parametrize("inner", ["mnist", "."])
@pytest.mark.parametrize("way", ["root", "variable"])
def test_reads_a_folder_of_the_user(tmp_path, source, server, cache, put, monkeypatch, suffix, inner, way):
    put(tmp_path / "mine" / inner, suffix)
    if way == "variable":
        monkeypatch.setenv("MINICNN_DATA", str(tmp_path / "mine"))
    check(load("mnist", str(tmp_path / "mine") if way == "root" else None))
    assert server.requests == []
    assert not cache.exists()


def test_reads_the_names_with_a_dot(tmp_path, source, put):
    put(tmp_path, "")
    for path in list(tmp_path.iterdir()):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    check(load("mnist", tmp_path))


def test_root_goes_before_the_variable_and_the_variable_before_the_cache(
    tmp_path, source, put, cache, monkeypatch
):
    put(cache)
    check(load("mnist"))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / WHOLE_SET[0]).write_bytes(b"")
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path / "bad"))
    with pytest.raises(DataNotFoundError, match="because MINICNN_DATA is"):
        load("mnist")
    check(load("mnist", put(tmp_path / "mine")))


def test_a_variable_without_the_data_set_gives_way_to_the_cache(tmp_path, source, put, cache, monkeypatch):
    put(cache)
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path / "empty"))
    check(load("mnist"))


def test_a_variable_without_the_data_set_is_named_when_the_download_fails(
    tmp_path, source, cache, monkeypatch
):
    source("missing")
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path / "empty"))
    with pytest.raises(DataNotFoundError, match=r"MINICNN_DATA is .*empty: there is no mnist in it"):
        load("mnist")


def test_a_root_without_the_data_set_gives_way_to_nothing(tmp_path, source, put, cache):
    put(cache)
    with pytest.raises(DataNotFoundError, match="because root is"):
        load("mnist", tmp_path / "empty")


def test_an_empty_variable_counts_as_unset(source, put, cache, monkeypatch):
    put(cache)
    monkeypatch.setenv("MINICNN_DATA", "")
    check(load("mnist"))


def test_tilde_is_the_home_folder(tmp_path, source, put, monkeypatch):
    put(tmp_path / "data")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    check(load("mnist", "~/data"))


def test_the_home_folder_of_nobody_is_a_folder_that_is_not_there():
    with pytest.raises(DataNotFoundError, match="because root is ~nobody-of-this-name/data"):
        load("mnist", "~nobody-of-this-name/data")


def test_what_is_missing_in_root_is_named_and_not_downloaded(tmp_path, source, server, put, cache):
    put(cache)  # is not looked at either
    put(tmp_path / "mine")
    (tmp_path / "mine" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataNotFoundError) as caught:
        load("mnist", tmp_path / "mine")
    assert f"expected t10k-labels-idx1-ubyte (or the same with .gz) in {tmp_path / 'mine'}," in str(
        caught.value
    )
    assert server.requests == []


def test_an_empty_root_tells_both_places(tmp_path, source):
    with pytest.raises(DataNotFoundError) as caught:
        load("mnist", tmp_path)
    assert f"in {tmp_path / 'mnist'} and {tmp_path}, because root is {tmp_path}" in str(caught.value)
    assert all(name in str(caught.value) for name in ARRAYS)


def test_a_wrong_file_in_root_is_named_and_left_alone(tmp_path, source, server, put, contents):
    put(tmp_path)
    wrong = gzip.compress(b"something else")
    (tmp_path / f"{FIRST}.gz").write_bytes(wrong)
    with pytest.raises(DataError) as caught:
        load("mnist", tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / FIRST}.gz: expected {FIRST} with SHA-256 ")
    assert hashlib.sha256(contents[FIRST]).hexdigest() in message
    assert f"found {hashlib.sha256(b'something else').hexdigest()}: replace the file" in message
    assert (tmp_path / f"{FIRST}.gz").read_bytes() == wrong
    assert server.requests == []
    assert files(tmp_path) == WHOLE_SET


def test_the_file_of_another_data_set_is_recognised(tmp_path, source, put, contents, monkeypatch):
    digest = hashlib.sha256(b"another").hexdigest()
    other = Source("another-set", (), (File("some-file", 7, digest),), ())
    monkeypatch.setitem(SOURCES, "another-set", other)
    put(tmp_path)
    (tmp_path / f"{FIRST}.gz").write_bytes(b"another")
    with pytest.raises(DataError, match=f"found {digest}, which is another-set's some-file"):
        load("mnist", tmp_path)


# The download


def test_downloads_into_the_cache_once(source, server, cache):
    check(load("mnist"))
    assert files(cache) == WHOLE_SET
    assert sorted(server.requests) == sorted(("good", name) for name in WHOLE_SET)
    server.requests.clear()
    check(load("mnist"))
    assert server.requests == []


@pytest.mark.parametrize("bad", ["missing", "corrupted", "page", "halved", "cut", "stalled"])
def test_goes_on_to_the_next_mirror(source, server, cache, monkeypatch, bad):
    if bad == "stalled":
        monkeypatch.setattr(download, "TIMEOUT", PATIENCE)
    source(bad, "good")
    check(load("mnist"))
    assert files(cache) == WHOLE_SET
    assert server.requests[:2] == [(bad, f"{FIRST}.gz"), ("good", f"{FIRST}.gz")]


def test_when_all_mirrors_fail_each_reason_is_told(source, server, cache, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", PATIENCE)
    source("missing", "corrupted", "page", "halved", "cut", "stalled")
    with pytest.raises(DataNotFoundError) as caught:
        load("mnist")
    first, *reasons, last = str(caught.value).splitlines()
    assert first == f"mnist: no mirror gave {FIRST}.gz:"
    expected = {
        "missing": "404 Client Error",
        "corrupted": f"found {hashlib.sha256(b'something else').hexdigest()}",
        "page": "found ",
        "halved": "expected whole gzip data",
        "cut": "IncompleteRead",
        "stalled": "Read timed out",
    }
    for line, (mirror, reason) in zip(reasons, expected.items(), strict=True):
        assert line.startswith(f"  http://127.0.0.1:{server.server_port}/{mirror}/{FIRST}.gz: ")
        assert reason in line
    assert (
        last == "put the files into a folder and name it with root= or the environment variable MINICNN_DATA"
    )
    assert files(cache) == []


def test_a_download_shows_its_progress_and_gives_up_a_silent_mirror(source, cache, monkeypatch):
    given = []

    class Downloader(pooch.HTTPDownloader):
        def __init__(self, **options):
            given.append(options)
            super().__init__(**options)

    monkeypatch.setattr(pooch, "HTTPDownloader", Downloader)
    check(load("mnist"))
    assert given == 4 * [{"progressbar": True, "timeout": download.TIMEOUT}]


def test_the_mirrors_of_the_real_data_sets():
    assert {name: source.mirrors for name, source in SOURCES.items()} == {
        "fashion-mnist": (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        "mnist": (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
    }


def test_a_mirror_that_nobody_serves(source, server, cache):
    source("good")
    server.shutdown()
    server.server_close()
    with pytest.raises(DataNotFoundError, match="refused"):
        load("mnist")
    assert files(cache) == []


def test_a_damaged_file_in_the_cache_is_fetched_again(source, server, cache, put):
    put(cache)
    (cache / f"{FIRST}.gz").write_bytes(b"half a downl")
    check(load("mnist"))
    assert server.requests == [("good", f"{FIRST}.gz")]
    server.requests.clear()
    check(load("mnist"))
    assert server.requests == []


def test_a_damaged_file_stays_until_a_good_one_has_come(source, cache, put):
    put(cache)
    (cache / f"{FIRST}.gz").write_bytes(b"half a downl")
    source("corrupted")
    with pytest.raises(DataNotFoundError):
        load("mnist")
    assert (cache / f"{FIRST}.gz").read_bytes() == b"half a downl"
    assert files(cache) == WHOLE_SET


def test_a_second_call_fetches_only_what_is_missing(source, server, cache, put):
    put(cache)
    (cache / "t10k-images-idx3-ubyte.gz").unlink()
    check(load("mnist"))
    assert server.requests == [("good", "t10k-images-idx3-ubyte.gz")]


def test_an_interrupted_download_leaves_nothing(source, cache, monkeypatch):
    class Interrupted:
        def __init__(self, **options):
            pass

        def __call__(self, url, path, pooch):
            Path(path).write_bytes(b"half a downl")
            raise KeyboardInterrupt

    monkeypatch.setattr("pooch.HTTPDownloader", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        load("mnist")
    assert files(cache) == []


def test_a_cache_that_cannot_be_written(source, cache, server):
    cache.parent.write_text("a file where the folder should be")
    with pytest.raises(
        OutputError, match="or put the files into a folder and name it with root= or MINICNN_DATA"
    ):
        load("mnist")
    assert server.requests == []


def test_the_cache_is_the_folder_of_the_user(monkeypatch):
    monkeypatch.setattr("pooch.os_cache", lambda project: Path("caches") / project)
    assert loader.cache_folder() == Path("caches/minicnn")


# Names and arguments


def test_the_names():
    assert names == ("fashion-mnist", "mnist", "synthetic")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "fashion_mnist",
            "one of fashion-mnist, mnist, synthetic; got 'fashion_mnist'; did you mean 'fashion-mnist'",
        ),
        ("MNIST", "got 'MNIST'; did you mean 'mnist'"),
        ("imagenet-22k", "got 'imagenet-22k'$"),
        (None, "got None"),
    ],
)
def test_an_unknown_name_gets_the_known_ones(name, message):
    with pytest.raises(ConfigError, match=message):
        load(name)


def test_synthetic_takes_sizes_and_seed():
    train, test = load("synthetic", seed=3, sizes=(30, 20))
    assert (len(train), len(test)) == (30, 20)
    again = load("synthetic", seed=3, sizes=(30, 20))[0]
    np.testing.assert_array_equal(train.images, again.images)
    # No image of the test part is in the training part, for this seed and the next.
    for other in (train, load("synthetic", seed=4, sizes=(30, 20))[0]):
        assert not (test.images[:, None] == other.images[None, :]).all(axis=(2, 3, 4)).any()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mnist", {"seed": 0}, "seed and sizes are for 'synthetic' only; got them with 'mnist'"),
        ("mnist", {"sizes": (10, 10)}, "seed and sizes are for 'synthetic' only"),
        ("synthetic", {"root": "."}, "'synthetic' is drawn, not read; got root='.'"),
        ("synthetic", {"sizes": (10,)}, r"sizes must be two numbers, \(training, test\); got \(10,\)"),
        ("synthetic", {"sizes": 10}, "sizes must be two numbers"),
        ("synthetic", {"sizes": (10, 0)}, "n must be a whole number of at least 1, got 0"),
        ("synthetic", {"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ("synthetic", {"seed": 0.5}, "seed must be a whole number of at least 0, got 0.5"),
    ],
)
def test_arguments_that_make_no_sense(name, options, message):
    with pytest.raises(ConfigError, match=message):
        load(name, **options)


def test_importing_the_package_does_not_import_the_download():
    code = "import sys, minicnn.data; print([m for m in ('pooch', 'requests') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


# The real files


@pytest.mark.skipif(
    not os.environ.get("MINICNN_DATA"), reason="MINICNN_DATA names no folder with the real data"
)
@pytest.mark.parametrize(
    ("name", "counts", "mean"),
    [
        ("fashion-mnist", [6000] * 10, 72.94),  # mean grey of the training images: 0.2860 · 255
        ("mnist", [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949], 33.32),  # 0.1307 · 255
    ],
)
def test_the_real_data_sets(name, counts, mean):
    train, test = load(name)
    assert (train.images.shape, test.images.shape) == ((60_000, 28, 28, 1), (10_000, 28, 28, 1))
    np.testing.assert_array_equal(train.class_counts(), counts)
    assert train.images.mean() == pytest.approx(mean, abs=0.01)
    assert len(train.class_names) == len(set(train.class_names)) == 10
