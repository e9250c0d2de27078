"""`load` finds, verifies and downloads the files; a server on this machine plays the mirrors."""

import gc
import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import pytest

from minicnn.cli import main
from minicnn.data import download, load, loader, names, write_idx
from minicnn.data.catalog import SOURCES, File, Source
from minicnn.errors import ConfigError, DataError, DataNotFoundError

ARRAYS = {
    "train-images-idx3-ubyte": np.arange(5 * 6 * 7, dtype=np.uint8).reshape(5, 6, 7),
    "train-labels-idx1-ubyte": np.uint8([0, 1, 2, 1, 0]),
    "t10k-images-idx3-ubyte": np.arange(2 * 6 * 7, dtype=np.uint8).reshape(2, 6, 7)[:, ::-1],
    "t10k-labels-idx1-ubyte": np.uint8([2, 1]),
}
FIRST = "train-images-idx3-ubyte"
CACHE_FOLDER = loader.cache_folder
# urllib3 leaves a connection to the garbage collector when it cannot read the answer's headers.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(scope="module", autouse=True)
def no_connection_is_left_to_other_tests():
    yield
    gc.collect()


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
        mirror, name = unquote(self.path).strip("/").split("/")
        if name.removesuffix(".gz") not in self.server.contents:
            self.send_error(404)
            return
        self.server.requests.append((mirror, name))
        whole = gzip.compress(self.server.contents[name.removesuffix(".gz")])
        if mirror in WRONG:
            self.answer(WRONG[mirror])
        elif mirror in REDIRECTS:
            self.answer(b"", 302, Location=REDIRECTS[mirror].format(name=name, port=self.server.server_port))
        elif mirror in HEADERS:
            body = WRONG["bomb" if mirror == "coded bomb" else "corrupted"]
            self.answer(body, length=None, **HEADERS[mirror])
        elif mirror in RAW:
            self.wfile.write(RAW[mirror])
        elif mirror == "halved":
            self.answer(whole[: len(whole) // 2])
        elif mirror == "cut":
            self.answer(whole[:20], length=len(whole))  # and the connection closes
        elif mirror == "missing":
            self.send_error(404)
        elif mirror == "moved without an address":
            self.answer(b"", 302)
        elif mirror == "moved with an endless page":
            self.answer(b"", 302, length=10**12, Location=f"/good/{name}")
            self.endlessly(bytes(2**16), 0)
        elif mirror == "endless":
            self.answer(b"", length=None)
            self.endlessly(bytes(2**16), 0)
        elif mirror == "slow":
            self.answer(b"", length=10**6)
            self.endlessly(b"x", 0.05)
        elif mirror == "slow headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nName: ")
            self.endlessly(b"x", 0.05)
        elif mirror == "go on":
            self.endlessly(b"HTTP/1.1 100 Continue\r\n\r\n", 0.01)
        elif mirror == "stalled":
            self.answer(whole[:20], length=len(whole))
            self.server.test_is_over.wait(20)
        elif mirror == "silent":
            self.server.test_is_over.wait(20)
        else:
            self.answer(whole)

    def answer(self, body, status=200, length=..., **headers):
        self.send_response(status)
        length = len(body) if length is ... else length
        if length is not None:
            headers["Content-Length"] = str(length)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def endlessly(self, data, pause):
        while not self.server.test_is_over.wait(pause):
            self.wfile.write(data)
            self.server.sent += len(data)

    def handle(self):
        with suppress(ConnectionError):  # the other side has had enough
            super().handle()

    def finish(self):
        with suppress(ConnectionError):
            super().finish()

    def log_message(self, *args):
        pass


BOMB = gzip.compress(bytes(10**7))
WRONG = {
    "corrupted": gzip.compress(b"something else"),
    "page": b"<html>please log in</html>",
    "nothing": b"",
    "bomb": BOMB,
    "bomb in a bomb": gzip.compress(BOMB),
}
HEADERS = {
    "length abc": {"Content_Length": "abc"},
    "length negative": {"Content_Length": "-5"},
    "length twice": {"Content_Length": "5, 6"},
    "length huge": {"Content_Length": "9" * 400},
    "no length": {},
    "coded bomb": {"Content_Encoding": "gzip"},
    "coded": {"Content_Encoding": "gzip"},
    "coded in an unknown way": {"Content_Encoding": "x" * 100},
    "chunked": {"Transfer_Encoding": "chunked"},
}
REDIRECTS = {
    "to itself": "/to itself/{name}",
    "to nothing": "",
    "to no host": "http://",
    "to a long host": f"http://{'a' * 70}.example/",
    "to a bad port": "http://127.0.0.1:99999/",
    "to no port": "http://127.0.0.1:x/",
    "to a bad address": "http://[::1/",
    "to a file": "file:///etc/passwd",
    "to text": "\x7f\xff{{}}",
}
RAW = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "closed": b"",
    "long header": b"HTTP/1.1 200 OK\r\nName: " + b"x" * 10**5,
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"Name: x\r\n" * 200 + b"\r\n",
    "bad status": b"HTTP/1.1 abc OK\r\n\r\n",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "negative chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    "escapes": b"HTTP/1.1 500 \x1b[31mred\x07\r\n\r\n",
}
HANGING = ["slow", "slow headers", "go on", "stalled", "silent"]
BAD = [
    *WRONG,
    *HEADERS,
    *REDIRECTS,
    *RAW,
    *HANGING,
    "halved",
    "cut",
    "missing",
    "moved without an address",
    "endless",
]
ELSEWHERE = [
    "http://127.0.0.1:1/",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:x/",
    f"http://{'a' * 70}.example/",
    f"http://{'a.' * 2000}example/",
    "http://[::1/",
    "http://",
    "nothing://127.0.0.1/",
    "",
    "https://127.0.0.1:{port}/good/",  # which speaks no TLS
]


@pytest.fixture
def server(contents, monkeypatch):
    """The mirrors; ``server.requests`` lists what was requested from which."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirrors) as server:
        server.daemon_threads = True
        server.contents, server.requests, server.sent = contents, [], 0
        server.test_is_over = threading.Event()
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
        port = server.server_port
        urls = tuple(
            mirror.format(port=port) if mirror in ELSEWHERE else f"http://127.0.0.1:{port}/{quote(mirror)}/"
            for mirror in mirrors
        )
        monkeypatch.setitem(SOURCES, "mnist", Source("mnist", ("a", "b", "c"), files, urls))

    monkeypatch.delenv("MINICNN_DATA", raising=False)
    use("good")
    return use


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Give a mirror that hangs little time, and the others enough even on a busy machine."""
    fetch = download._download

    def patiently(url, *arguments):
        hangs = unquote(url).split("/")[-2:-1] in [[name] for name in HANGING]
        monkeypatch.setattr(download, "PATIENCE", 0.3 if hangs else 30)
        return fetch(url, *arguments)

    monkeypatch.setattr(download, "_download", patiently)
    monkeypatch.setattr(download, "TICK", 0.01)


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


def test_a_root_without_the_data_set_gives_way_to_nothing(tmp_path, source, put, cache):
    put(cache)
    with pytest.raises(DataNotFoundError, match=r"because root \(--data\) is"):
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


def test_the_home_folder_of_an_unknown_user_does_not_exist():
    with pytest.raises(DataNotFoundError, match=r"because root \(--data\) is ~nobody-of-this-name/data"):
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


def test_an_empty_root_names_both_places(tmp_path, source):
    with pytest.raises(DataNotFoundError) as caught:
        load("mnist", tmp_path)
    assert f"in {tmp_path / 'mnist'} and {tmp_path}, because root (--data) is {tmp_path}" in str(caught.value)
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


def test_the_file_of_another_data_set_is_recognized(tmp_path, source, put, contents, monkeypatch):
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


@pytest.mark.parametrize("bad", BAD)
def test_goes_on_to_the_next_mirror(source, server, cache, bad):
    source(bad, "good")
    check(load("mnist"))
    assert files(cache) == WHOLE_SET
    if bad not in HANGING:
        assert server.requests[0] == (bad, f"{FIRST}.gz")
    # One that failed is not asked again while the other one has what is wanted.
    assert {name for mirror, name in server.requests if mirror == bad} <= {f"{FIRST}.gz"}
    assert [name for mirror, name in server.requests if mirror == "good"] == [f"{name}.gz" for name in ARRAYS]


@pytest.mark.parametrize("bad", ELSEWHERE)
def test_goes_on_after_an_address_that_cannot_be(source, server, cache, bad):
    source(bad, "good")
    check(load("mnist"))
    assert files(cache) == WHOLE_SET


def test_a_redirect_is_followed_without_reading_its_body(source, server, cache):
    source("moved with an endless page")
    check(load("mnist"))
    assert {mirror for mirror, _ in server.requests} == {"moved with an endless page", "good"}
    assert server.sent < 2**27


def test_a_mirror_that_fails_later_is_reported_and_the_next_one_used(source, server, cache, contents):
    source("good", "halved")
    broken = contents | {"t10k-images-idx3-ubyte": b"something else"}
    server.contents = broken
    with pytest.raises(DataNotFoundError):
        load("mnist")
    assert [mirror for mirror, _ in server.requests] == ["good", "good", "good", "halved"]
    assert files(cache) == sorted(f"{name}.gz" for name in list(ARRAYS)[:2])


def test_when_all_mirrors_fail_each_reason_is_reported(source, server, cache):
    expected = {
        "missing": "404 Not Found",
        "corrupted": f"found {hashlib.sha256(b'something else').hexdigest()}",
        "page": "found ",
        "bomb in a bomb": "bytes of content; there are more",
        "endless": "bytes; there are more",
        "halved": "expected whole gzip data",
        "cut": "IncompleteRead",
        "slow": "bytes came in 0.3 seconds, which is too slow",
        "to itself": "it redirects more than 5 times",
        "escapes": r"500 \x1b[31mred\x07",
        "http://127.0.0.1:1/": "Connection refused",
    }
    source(*expected)
    with pytest.raises(DataNotFoundError) as caught:
        load("mnist")
    reasons = str(caught.value).split("what the mirrors answered:\n")[1].splitlines()
    for line, (mirror, reason) in zip(reasons, expected.items(), strict=True):
        assert quote(mirror, ":/") in line
        assert reason in line
        assert len(line) < 400
    assert files(cache) == []


def test_a_mirror_has_so_many_seconds_however_it_uses_them(source, server, cache, monkeypatch):
    monkeypatch.setattr(download, "LEAST", 0)
    monkeypatch.setattr(download, "LIMIT", 0.3)
    source("slow")
    with pytest.raises(DataNotFoundError, match=r"it was not complete after 0\.3 seconds"):
        load("mnist")


def test_all_mirrors_together_have_so_many_seconds(source, server, cache, monkeypatch):
    monkeypatch.setattr(download, "LEAST", 0)
    monkeypatch.setattr(download, "TOTAL", 0.3)
    source("slow", "slow headers")
    with pytest.raises(DataNotFoundError) as caught:
        load("mnist")
    seconds = [
        float(found) for found in re.findall(r"not complete after ([0-9.]+) seconds", str(caught.value))
    ]
    assert len(seconds) == 2
    assert sum(seconds) <= 0.3 + 0.1 * len(seconds)  # each is rounded


def test_a_download_that_was_given_up_ends(source, server, cache, monkeypatch):
    monkeypatch.setattr(download, "CHUNK", 1)
    source("slow")
    before = threading.active_count()
    with pytest.raises(DataNotFoundError):
        load("mnist")
    for _ in range(1000):
        if threading.active_count() <= before:
            break
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_a_proxy_that_rejects_is_a_reason(source, server, cache, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name)
    with pytest.raises(DataNotFoundError, match=r"ProxyError: .*Connection refused"):
        load("mnist")


def test_the_mirrors_of_the_real_data_sets_are_asked_by_https():
    for source in SOURCES.values():
        assert len(source.mirrors) >= 2
        assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in source.mirrors)


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


def test_a_second_call_fetches_only_missing_files(source, server, cache, put):
    put(cache)
    (cache / "t10k-images-idx3-ubyte.gz").unlink()
    check(load("mnist"))
    assert server.requests == [("good", "t10k-images-idx3-ubyte.gz")]


def test_an_interrupted_download_leaves_nothing(source, cache, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load("mnist")
    assert files(cache) == []


def test_the_cache_is_the_folder_of_the_user(monkeypatch):
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda project: f"/caches/{project}")
    assert loader.cache_folder() == Path("/caches/minicnn")


# Several processes

DOWNLOADER = """
import json, pathlib, sys
from minicnn.data import load, loader
from minicnn.data.catalog import SOURCES, File, Source
files, mirror, cache = json.loads(sys.argv[1])
SOURCES["mnist"] = Source("mnist", ("a", "b", "c"), tuple(File(*file) for file in files), (mirror,))
loader.cache_folder = lambda: pathlib.Path(cache)
train, test = load("mnist")
print(train.images.sum(), test.images.sum())
"""


@pytest.fixture
def start(contents, server, cache):
    """``start("good")`` starts a process that downloads from this mirror."""
    processes = []

    def start(mirror):
        files = [(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in contents.items()]
        arguments = [files, f"http://127.0.0.1:{server.server_port}/{mirror}/", str(cache.parent)]
        command = [sys.executable, "-c", DOWNLOADER, json.dumps(arguments)]
        environment = {name: value for name, value in os.environ.items() if name != "MINICNN_DATA"}
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def wait_for(server, requests):
    for _ in range(3000):
        if len(server.requests) >= requests:
            return
        time.sleep(0.01)
    pytest.fail("nothing was asked for")


def test_two_processes_that_download_at_once_both_end_right(start, cache, server):
    sums = f"{ARRAYS[FIRST].sum()} {ARRAYS['t10k-images-idx3-ubyte'].sum()}\n"
    assert [process.communicate()[0] for process in [start("good"), start("good")]] == [sums, sums]
    assert files(cache) == WHOLE_SET


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL and flock")
@pytest.mark.parametrize("whole", [False, True])
def test_what_a_killed_download_left_is_removed_by_the_next_start(source, start, cache, server, put, whole):
    process = start("stalled")
    wait_for(server, 1)
    process.kill()
    process.wait()
    (left,) = files(cache)
    assert left not in WHOLE_SET
    if whole:
        put(cache)  # by another process, so that nothing is to be downloaded
    check(load("mnist"))
    assert files(cache) == WHOLE_SET


# What to do without a network


@pytest.fixture
def advice(source, cache, capsys):
    """What ``minicnn data`` says to do."""
    source("missing", "http://127.0.0.1:1/")
    assert main(["data", "--dataset", "mnist"]) == 2
    return capsys.readouterr().err.split("what the mirrors answered:")[0]


def test_the_advice_has_five_lines_at_most_and_comes_before_all_else(advice, cache):
    assert advice.startswith("minicnn: mnist is not on this machine, and it could not be downloaded to ")
    assert len(advice.splitlines()) <= 5
    for text in ("urllib3", "HTTPConnection", "refused", "404"):
        assert text not in advice


@pytest.mark.parametrize("way", ["variable", "--data", "root="])
@pytest.mark.parametrize("suffix", [".gz", ""])
def test_the_advice_is_right(tmp_path, advice, contents, monkeypatch, capsys, way, suffix):
    names = re.findall(r"[\w-]+-ubyte\.gz", advice)
    folder = tmp_path / "a folder"
    folder.mkdir()
    for name in names:
        content = contents[name.removesuffix(".gz")]
        (folder / name).write_bytes(gzip.compress(content) if suffix else content)
    options = []
    if way == "variable":
        monkeypatch.setenv(re.search(r"the environment variable (\w+)", advice)[1], str(folder))
    elif way == "--data":
        options = [re.search(r"with (--\w+)", advice)[1], str(folder)]
    else:
        assert way in advice
        check(load("mnist", root=folder))
        return
    assert main(["data", "--dataset", "mnist", *options]) == 0
    assert capsys.readouterr().out.startswith("mnist: 5 training and 2 test images")


def test_the_advice_to_draw_images_is_right(advice, monkeypatch, capsys):
    draw = loader.synthetic.generate
    monkeypatch.setattr(loader.synthetic, "generate", lambda n, seed: draw(n // 200, seed))
    assert main(["data", *re.search(r"--dataset \w+", advice)[0].split()]) == 0
    assert capsys.readouterr().out.startswith("synthetic: 100 training and 20 test images")
    assert eval(re.search(r"load\(.*?\)", advice)[0])[0].name == "synthetic"


def test_a_variable_without_the_data_set_is_named_in_the_advice(tmp_path, source, cache, monkeypatch):
    source("missing")
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataNotFoundError) as caught:
        load("mnist")
    assert str(caught.value).startswith(
        f"mnist is neither in MINICNN_DATA ({tmp_path / 'nowhere'}) nor in the cache"
    )


@pytest.mark.parametrize("problem", ["a file in its place", "no home folder"])
def test_a_cache_that_cannot_be_written_gets_the_same_advice(
    tmp_path, source, cache, server, monkeypatch, problem
):
    monkeypatch.chdir(tmp_path)
    if problem == "no home folder":
        monkeypatch.setattr(loader, "cache_folder", CACHE_FOLDER)
        monkeypatch.setattr("platformdirs.user_cache_dir", lambda project: f"~/.cache/{project}")
    else:
        cache.parent.write_text("a file where the folder should be")
    with pytest.raises(DataNotFoundError, match="its download cannot be saved: ") as caught:
        load("mnist")
    assert len(str(caught.value).splitlines()) == 4
    assert "MINICNN_DATA" in str(caught.value)
    assert server.requests == []
    assert not Path("~").exists()


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
        (["mnist"], r"got \['mnist'\]"),
    ],
)
def test_an_unknown_name_gets_the_known_ones(name, message, monkeypatch):
    monkeypatch.delenv("MINICNN_DATA", raising=False)
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
def test_arguments_that_do_not_fit_the_name(name, options, message):
    with pytest.raises(ConfigError, match=message):
        load(name, **options)


def test_importing_the_package_does_not_import_the_download():
    code = "import sys, minicnn.data; print([m for m in ('requests', 'urllib3') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


# The real files


@pytest.mark.skipif(
    not os.environ.get("MINICNN_DATA"), reason="MINICNN_DATA names no folder with the real data"
)
@pytest.mark.parametrize(
    ("name", "counts", "mean"),
    [
        ("fashion-mnist", [6000] * 10, 72.94),  # mean gray of the training images: 0.2860 · 255
        ("mnist", [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949], 33.32),  # 0.1307 · 255
    ],
)
def test_the_real_data_sets(name, counts, mean):
    train, test = load(name)
    assert (train.images.shape, test.images.shape) == ((60_000, 28, 28, 1), (10_000, 28, 28, 1))
    np.testing.assert_array_equal(train.class_counts(), counts)
    assert train.images.mean() == pytest.approx(mean, abs=0.01)
    assert len(train.class_names) == len(set(train.class_names)) == 10
