"""`load`: a data set by its name, from this machine where it is there, else downloaded."""

import os
from io import BytesIO
from pathlib import Path

import platformdirs

from minicnn.checks import unknown_name, whole_number
from minicnn.data import synthetic
from minicnn.data.catalog import SOURCES, File, Source
from minicnn.data.dataset import Dataset
from minicnn.data.download import fetch, read_verified
from minicnn.data.idx import parse_idx
from minicnn.errors import ConfigError, DataError, DataNotFoundError, OutputError
from minicnn.files import check_path, remove_stale

VARIABLE = "MINICNN_DATA"  # the environment variable that names a folder with data sets

names = (*SOURCES, "synthetic")


def load(
    name: str,
    root: str | os.PathLike | None = None,
    *,
    seed: int | None = None,
    sizes: tuple[int, int] | None = None,
) -> tuple[Dataset, Dataset]:
    """Return the training and the test part of a data set.

    The files of a real data set are taken from ``root`` if it is given, and from nowhere else then;
    else from the folder in the environment variable ``MINICNN_DATA``, if the data set is there; else
    from the user's cache folder, to which what is missing or damaged is downloaded. The first two
    are never written to. Every file is checked by its SHA-256 at each load.

    Parameters
    ----------
    name : str
        One of `minicnn.data.names`: "fashion-mnist", "mnist" or "synthetic".
    root : str or path, optional
        A folder with a folder ``name`` in it, or with the four IDX files themselves (with or without
        ``.gz``).
    seed : int, optional
        For "synthetic" only: which images are drawn; 0 when left out.
    sizes : (int, int), optional
        For "synthetic" only: how many images to draw; (20_000, 4_000) when left out.

    Returns
    -------
    train, test : Dataset
        Images uint8 (N, 28, 28, 1), labels int64 (N,).

    Raises
    ------
    ConfigError
        When the name is unknown, or an argument makes no sense with it.
    DataNotFoundError
        When files are missing and could not be, or were not to be, downloaded.
    DataError
        When a file in ``root`` or ``MINICNN_DATA`` is damaged or another one than it should be.
    OutputError
        When the cache folder cannot be written.
    """
    if name == "synthetic":
        if root is not None:
            raise ConfigError(f"load: 'synthetic' is drawn, not read; got root={str(root)!r}: leave it out")
        return _draw(0 if seed is None else seed, (20_000, 4_000) if sizes is None else sizes)
    if name not in SOURCES:
        raise unknown_name(name, "load: the data set", names)
    if seed is not None or sizes is not None:
        raise ConfigError(f"load: seed and sizes are for 'synthetic' only; got them with {name!r}: omit them")
    return _read(SOURCES[name], root)


def cache_folder() -> Path:
    """Return the user's cache folder for downloads; it need not exist yet.

    Raises
    ------
    OutputError
        When there is none, as the user has no home folder.
    """
    folder = Path(platformdirs.user_cache_dir("minicnn"))
    if not folder.is_absolute():
        raise OutputError(f"there is no home folder to download to, only {folder}: set HOME")
    return folder


def _draw(seed: int, sizes: tuple[int, int]) -> tuple[Dataset, Dataset]:
    """Draw the synthetic data set."""
    try:
        train, test = sizes
    except (TypeError, ValueError) as error:
        raise ConfigError(f"load: sizes must be two numbers, (training, test); got {sizes!r}") from error
    whole_number(seed, "seed", 0)
    # Even seeds to train, odd ones to test: no seed's training images are another one's test images.
    return synthetic.generate(train, 2 * seed), synthetic.generate(test, 2 * seed + 1)


def _read(source: Source, root: str | os.PathLike | None) -> tuple[Dataset, Dataset]:
    """Read a real data set from root, MINICNN_DATA or the cache, in this order of precedence."""
    folder = os.environ.get(VARIABLE)
    if root is not None:
        contents = _from_folder(source, check_path(root, "root"), "root (--data)")
    elif folder and _place(source, Path(folder)):
        contents = _from_folder(source, Path(folder), VARIABLE)
    else:
        contents = _from_cache(source)
    arrays = [
        parse_idx(BytesIO(content), file.name, file.size)
        for content, file in zip(contents, source.files, strict=True)
    ]
    train_images, train_labels, test_images, test_labels = arrays
    return (
        Dataset(train_images[..., None], train_labels, source.class_names, source.name),
        Dataset(test_images[..., None], test_labels, source.class_names, source.name),
    )


def _from_folder(source: Source, folder: Path, origin: str) -> list[bytes]:
    """Return the contents of the four files from a folder that is the user's; nothing is written."""
    place = _place(source, folder)
    missing = [file.name for file in source.files if place is None or not _find(place, file)]
    if missing:
        looked = place or f"{folder / source.name} and {folder}"
        raise DataNotFoundError(
            f"{source.name}: expected {', '.join(missing)} (or the same with .gz) in {looked}, because "
            f"{origin} is {folder}; not found: put them there, or leave {origin} unset to download"
        )
    return [read_verified(_find(place, file), file) for file in source.files]


def _place(source: Source, folder: Path) -> Path | None:
    """Return where in a user's folder the data set is: the first place with any of its files, or None."""
    folder = Path(os.path.expanduser(folder))  # Path.expanduser raises where there is no such user
    places = (folder / source.name, folder)
    return next((place for place in places if any(_find(place, file) for file in source.files)), None)


def _from_cache(source: Source) -> list[bytes]:
    """Return the contents of the four files from the cache, fetching those that are not there or bad."""
    try:
        folder = cache_folder() / source.name
        remove_stale(folder)
        contents = {file: _cached(file, folder) for file in source.files}
        missing = [file for file, content in contents.items() if content is None]
        contents.update(zip(missing, fetch(missing, folder, source.mirrors), strict=True))
    except DataNotFoundError as error:
        problem = f"it could not be downloaded to {folder}"
        raise DataNotFoundError(f"{_advice(source, problem)}\nwhat the mirrors answered:\n{error}") from error
    except OutputError as error:
        raise OutputError(_advice(source, f"its download cannot be kept: {error}")) from error
    return list(contents.values())


def _advice(source: Source, problem: str) -> str:
    """Say in four lines what to do when a data set is not to be had."""
    folder = os.environ.get(VARIABLE)
    files = ", ".join(f"{file.name}.gz" for file in source.files)
    places = f"neither in {VARIABLE} ({folder}) nor in the cache" if folder else "not on this machine"
    return "\n".join(
        [
            f"{source.name} is {places}, and {problem}",
            f"- put {files} into a folder,",
            f"  and set the environment variable {VARIABLE} to it, or name it with --data (in Python, root=)",
            '- or take drawn images, which need no files: --dataset synthetic (in Python, load("synthetic"))',
        ]
    )


def _cached(file: File, folder: Path) -> bytes | None:
    """Return the content of a file in the cache, or None when it is missing or damaged."""
    path = _find(folder, file)
    if path is None:
        return None
    try:
        return read_verified(path, file)
    except DataError:
        return None  # fetched again; a download that broke off elsewhere is no reason to stop


def _find(folder: Path, file: File) -> Path | None:
    """Return the file under one of the names that are in use for it, or None."""
    for name in (f"{file.name}.gz", file.name, file.name.replace("-idx", ".idx")):
        path = folder / name
        if os.path.isfile(path):  # not Path.is_file, which raises where a folder may not be entered
            return path
    return None
