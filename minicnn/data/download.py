"""Fetching the files of a data set, and the check that a file is the one that was meant."""

import hashlib
from pathlib import Path

from minicnn.data.catalog import SOURCES, File
from minicnn.data.content import open_content
from minicnn.errors import DataError, DataNotFoundError, OutputError
from minicnn.files import replacing

VARIABLE = "MINICNN_DATA"  # the environment variable that names a folder with data sets
TIMEOUT = 30  # seconds without a byte after which a mirror is given up


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


def fetch(file: File, folder: Path, mirrors: tuple[str, ...]) -> bytes:
    """Download one file into a folder from the first mirror that has it right; return its content.

    The content is verified before the file gets its name (``file.name + ".gz"``), so whatever was
    there before stays until then, and half a download is never taken for a file.

    Raises
    ------
    DataNotFoundError
        When no mirror gave the file; the message has the reason for each.
    OutputError
        When the folder cannot be written.
    """
    target = folder / f"{file.name}.gz"
    reasons = []
    for mirror in mirrors:
        url = f"{mirror}{target.name}"
        try:
            return _fetch_from(url, file, target)
        except DataError as error:
            reasons.append(f"  {url}: {error}")
        except OutputError as error:
            raise OutputError(
                f"{error}, or put the files into a folder and name it with root= or {VARIABLE}"
            ) from error
    raise DataNotFoundError(
        "\n".join(
            [
                f"{folder.name}: no mirror gave {target.name}:",
                *reasons,
                f"put the files into a folder and name it with root= or the environment variable {VARIABLE}",
            ]
        )
    )


def _fetch_from(url: str, file: File, target: Path) -> bytes:
    """Download one address to ``target``; DataError when that address does not give the file."""
    # Imported here: they take longer than the rest of the package, and most loads download nothing.
    import pooch
    import requests

    with replacing(target) as part:
        try:
            pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT)(url, str(part), None)
        except requests.RequestException as error:
            # It is an OSError too, which ``replacing`` would take for a full disk.
            raise DataError(str(error)) from error
        return read_verified(part, file, "the answer")
