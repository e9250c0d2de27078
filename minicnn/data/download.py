"""Fetching the files of a data set, and the check that a file is the one that was meant."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urljoin

from minicnn.data.catalog import SOURCES, File
from minicnn.data.content import open_content
from minicnn.errors import DataError, DataNotFoundError
from minicnn.files import replacing
from minicnn.text import printable

# A mirror is given up when fewer than LEAST bytes came in PATIENCE seconds, or a file takes LIMIT seconds;
# a download, of all files from all mirrors, after TOTAL seconds.
LEAST = 2**16
PATIENCE = 30
LIMIT = 10 * 60
TOTAL = 30 * 60
REDIRECTS = 5
CHUNK = 2**10
TICK = 0.1  # seconds between two looks at what has come


def read_verified(path: Path, file: File, source: str | None = None) -> bytes:
    """Read a file and return its decompressed content; ``source`` names it instead of its path.

    The digest is of the content, not of the compressed file: mirrors compress the same content
    differently.

    Raises
    ------
    DataError
        When the file cannot be read, is damaged, or is not the one that ``file`` describes.
    """
    source = str(path) if source is None else source
    with open_content(path, file.size, source) as opened:
        content = opened.read(file.size + 1)  # one more, so that a longer content is noticed
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        known = [f"{s.name}'s {f.name}" for s in SOURCES.values() for f in s.files if f.sha256 == found]
        raise DataError(
            f"{source}: expected {file.name} with SHA-256 {file.sha256} (of the decompressed content); "
            f"found {found}{f', which is {known[0]}' if known else ''}: replace the file with the original"
        )
    return content


def fetch(files: Sequence[File], folder: Path, mirrors: Sequence[str]) -> list[bytes]:
    """Download files into a folder, each from the first mirror that has it right; return their contents.

    A content is verified before its file gets its name (``file.name + ".gz"``), so whatever was there
    before stays until then, and half a download is never taken for a file. Whatever a mirror does, the next
    one has its turn; a mirror that failed is asked last for the files to come.

    Raises
    ------
    DataNotFoundError
        When no mirror gave a file; the message has a line for each, with its reason.
    OutputError
        When the folder cannot be written.
    """
    end = time.monotonic() + TOTAL
    mirrors = list(mirrors)
    return [_from_mirrors(file, folder, mirrors, end) for file in files]


def _from_mirrors(file: File, folder: Path, mirrors: list[str], end: float) -> bytes:
    """Download one file; those of ``mirrors`` that fail are moved to its end."""
    reasons = []
    for mirror in tuple(mirrors):
        url = f"{mirror}{file.name}.gz"
        try:
            return _from_mirror(url, file, folder / f"{file.name}.gz", min(LIMIT, end - time.monotonic()))
        except DataError as error:
            reasons.append(f"  {url}: {error}")
            mirrors.remove(mirror)
            mirrors.append(mirror)
    raise DataNotFoundError("\n".join(reasons))


def _from_mirror(url: str, file: File, target: Path, seconds: float) -> bytes:
    """Download one address to ``target``; DataError when that address does not give the file."""
    with replacing(target) as part:
        # What cannot be made smaller, gzip makes larger by less than a thousandth.
        part.write_bytes(_download(url, file.size + file.size // 1000 + 2**10, seconds))
        return read_verified(part, file, "the answer")


def _download(url: str, most: int, seconds: float) -> bytes:
    """Return what an address answers, if it is at most so many bytes and comes in time; else DataError.

    A thread of its own waits for it: nothing else ends the search for a name, or headers that come byte by
    byte. One that is given up ends with its connection, or with the process.
    """
    body, answer, given_up = bytearray(), Future(), Event()

    def receive() -> None:
        try:
            for chunk in _stream(url):
                body.extend(chunk)
                if len(body) > most:
                    raise DataError(f"expected at most {most:,} bytes; there are more")
                if given_up.is_set():
                    return
            answer.set_result(bytes(body))
        except Exception as error:  # whatever a server's answer sets off
            answer.set_exception(error)

    Thread(target=receive, daemon=True).start()
    try:
        return _wait(answer, body, url, seconds)
    except DataError:
        raise
    except Exception as error:
        cause = error
        while cause.__context__ is not None:  # what happened first tells most
            cause = cause.__context__
        raise DataError(printable(f"{type(error).__name__}: {cause}"[:200])) from error
    finally:
        given_up.set()


def _wait(answer: Future, body: bytearray, url: str, seconds: float) -> bytes:
    """Wait for an answer, whose bytes are added to ``body`` as they come, and show how many there are."""
    from tqdm import tqdm

    start = checked = time.monotonic()
    before = 0
    with tqdm(desc=url.rpartition("/")[2], unit="B", unit_scale=True, leave=False, disable=None) as bar:
        while not wait([answer], TICK).done:
            now, count = time.monotonic(), len(body)
            bar.update(count - bar.n)
            if now - start > seconds:
                raise DataError(f"it was not whole after {max(seconds, 0):.3g} seconds")
            if now - checked > PATIENCE:
                if count - before < LEAST:
                    raise DataError(f"{count - before:,} bytes came in {PATIENCE} seconds, which is too slow")
                checked, before = now, count
    return answer.result()


def _stream(url: str) -> Iterator[bytes]:
    """Give what an address answers, as it comes and piece by piece."""
    import requests  # here, because it takes longer to import than the rest, and most loads download nothing

    with requests.Session() as session:
        for _ in range(REDIRECTS + 1):
            wanted = requests.Request("GET", url, {"Accept-Encoding": "identity"})
            settings = session.merge_environment_settings(url, {}, True, None, None)
            # Not session.send, which reads the whole body of a redirect before it follows it.
            adapter = session.get_adapter(url)
            with adapter.send(session.prepare_request(wanted), timeout=PATIENCE, **settings) as answer:
                if not answer.is_redirect:
                    if answer.status_code != 200:
                        raise DataError(f"{answer.status_code} {answer.reason}"[:200])
                    # Not iter_content, which unpacks what a server has packed once more.
                    yield from answer.raw.stream(CHUNK, decode_content=False)
                    return
                url = urljoin(url, answer.headers["location"])
    raise DataError(f"it leads on to other addresses more than {REDIRECTS} times")
