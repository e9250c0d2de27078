"""Downloading the files of a data set, and checking that a file is the expected one."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urljoin

from minicnn.data.catalog import SOURCES, File
from minicnn.data.content import open_content
from minicnn.errors import DataError, DataNotFoundError
from minicnn.files import replacing
from minicnn.text import printable

# A mirror fails if fewer than LEAST bytes come in PATIENCE seconds, or a file takes LIMIT seconds;
# a download, of all files from all mirrors, after TOTAL seconds.
LEAST = 2**16
PATIENCE = 30
LIMIT = 10 * 60
TOTAL = 30 * 60
REDIRECTS = 5
CHUNK = 2**10
TICK = 0.1  # seconds between two updates of the progress bar


def read_verified(path: Path, file: File, source: str | None = None) -> bytes:
    """Read a file and return its decompressed content; messages call it ``source``, by default its path.

    Raises DataError if it is damaged or not the one that ``file`` describes. The digest is of the content,
    because mirrors compress the same content differently.
    """
    source = str(path) if source is None else source
    with open_content(path, file.size, source) as opened:
        content = opened.read(file.size + 1)  # one more, to notice a longer content
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        known = [f"{s.name}'s {f.name}" for s in SOURCES.values() for f in s.files if f.sha256 == found]
        raise DataError(
            f"{source}: expected {file.name} with SHA-256 {file.sha256} (of the decompressed content); "
            f"found {found}{f', which is {known[0]}' if known else ''}: replace the file with the original"
        )
    return content


def fetch(files: Sequence[File], folder: Path, mirrors: Sequence[str]) -> list[bytes]:
    """Download files into a folder, each from the first mirror with a correct copy; return their contents.

    A file gets its name (``file.name + ".gz"``) only once it is complete and verified. A mirror that failed
    is asked last for the next files.

    Raises DataNotFoundError with a line for each mirror if none gave a file, and OutputError if the folder
    cannot be written.
    """
    end = time.monotonic() + TOTAL
    mirrors = list(mirrors)
    return [_from_mirrors(file, folder, mirrors, end) for file in files]


def _from_mirrors(file: File, folder: Path, mirrors: list[str], end: float) -> bytes:
    """Download one file; those of ``mirrors`` that fail are moved to its end."""
    reasons = []
    # What cannot be compressed, gzip makes larger by less than a thousandth.
    most = file.size + file.size // 1000 + 2**10
    for mirror in tuple(mirrors):
        url = f"{mirror}{file.name}.gz"
        try:
            with replacing(folder / f"{file.name}.gz") as part:
                part.write_bytes(_download(url, most, min(LIMIT, end - time.monotonic())))
                return read_verified(part, file, "the answer")
        except DataError as error:
            reasons.append(f"  {url}: {error}")
            mirrors.remove(mirror)
            mirrors.append(mirror)
    raise DataNotFoundError("\n".join(reasons))


def _download(url: str, most: int, seconds: float) -> bytes:
    """Return the body of a response; DataError if it has more than ``most`` bytes or takes too long.

    It is read in a thread, because nothing else limits the time of a DNS lookup or of headers that come byte
    by byte.
    """
    body, response, given_up = bytearray(), Future(), Event()

    def receive() -> None:
        try:
            for chunk in _stream(url):
                body.extend(chunk)
                if len(body) > most:
                    raise DataError(f"expected at most {most:,} bytes; there are more")
                if given_up.is_set():
                    return
            response.set_result(bytes(body))
        except Exception as error:  # any error that a server's response causes
            response.set_exception(error)

    Thread(target=receive, daemon=True).start()
    try:
        _wait(response, body, url, seconds)
        return response.result()
    except DataError:
        raise
    except Exception as error:
        cause = error
        while cause.__context__ is not None:  # the first error is the most helpful
            cause = cause.__context__
        raise DataError(printable(f"{type(error).__name__}: {cause}"[:200])) from error
    finally:
        given_up.set()


def _wait(response: Future[Any], body: bytearray, url: str, seconds: float) -> None:
    """Show a progress bar until the response is complete; DataError if it is too slow."""
    from tqdm import tqdm

    start = checked = time.monotonic()
    before = 0
    with tqdm(desc=url.rpartition("/")[2], unit="B", unit_scale=True, leave=False, disable=None) as bar:
        while not wait([response], TICK).done:
            now, count = time.monotonic(), len(body)
            bar.update(count - bar.n)
            if now - start > seconds:
                raise DataError(f"it was not complete after {max(seconds, 0):.3g} seconds")
            if now - checked > PATIENCE:
                if count - before < LEAST:
                    raise DataError(f"{count - before:,} bytes came in {PATIENCE} seconds, which is too slow")
                checked, before = now, count


def _stream(url: str) -> Iterator[bytes]:
    """Yield the body of a response in chunks, as it comes."""
    import requests  # slow to import, and most loads download nothing

    with requests.Session() as session:
        for _ in range(REDIRECTS + 1):
            request = session.prepare_request(requests.Request("GET", url, {"Accept-Encoding": "identity"}))
            settings = session.merge_environment_settings(url, {}, True, None, None)
            # session.send would read the whole body of a redirect before it follows it.
            with session.get_adapter(url).send(request, timeout=PATIENCE, **settings) as response:
                if not response.is_redirect:
                    if response.status_code != 200:
                        raise DataError(f"{response.status_code} {response.reason}"[:200])
                    # iter_content would decompress what a server has compressed once more.
                    yield from response.raw.stream(CHUNK, decode_content=False)
                    return
                url = urljoin(url, response.headers["location"])
    raise DataError(f"it redirects more than {REDIRECTS} times")
