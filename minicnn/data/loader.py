"""`load`: a data set by name, read from this machine or downloaded."""

import os
import shlex
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import platformdirs

from minicnn.checks import unknown_name, whole_number
from minicnn.data import synthetic
from minicnn.data.catalog import NAMES, SOURCES, Source
from minicnn.data.dataset import Dataset
from minicnn.data.download import fetch, read_verified
from minicnn.data.idx import parse_idx, read_idx
from minicnn.errors import ConfigError, DataError, DataNotFoundError, DTypeError, OutputError, ShapeError
from minicnn.files import check_path, remove_stale

VARIABLE = "MINICNN_DATA"  # the environment variable that names a folder with data sets

names = (*SOURCES, "synthetic")


def load(
    name: str,
    root: str | os.PathLike[str] | None = None,
    *,
    seed: int | None = None,
    sizes: tuple[int, int] | None = None,
) -> tuple[Dataset, Dataset]:
    """Return the training and the test part of a data set.

    The files are read from ``root`` if it is given; else from the folder in the environment variable
    ``MINICNN_DATA``, if the data set is there; else from the user's cache folder, to which missing and
    damaged files are downloaded, in half an hour at most. Only the cache is written to. The SHA-256 of every
    file is checked at each load.

    Any other name refers to custom images: IDX files named like MNIST's, in ``root`` or ``MINICNN_DATA``.
    Their classes are "0", "1", …

    Parameters
    ----------
    name : str
        One of `minicnn.data.names`: "fashion-mnist", "mnist" or "synthetic"; or any name for custom images.
    root : str or path, optional
        A folder with a folder ``name`` in it, or with the four IDX files themselves (with or without
        ``.gz``).
    seed : int, optional
        For "synthetic" only: which images are drawn; by default 0.
    sizes : (int, int), optional
        For "synthetic" only: how many images to draw; by default (20_000, 4_000).

    Returns
    -------
    train, test : Dataset
        Images uint8 (N, 28, 28, 1), labels int64 (N,). Custom images keep their size and dtype.

    Raises
    ------
    ConfigError
        If the name is unknown and there are no files of that name, or another argument does not fit it.
    DataNotFoundError
        If files are missing and could not be downloaded, or not written to the cache folder.
    DataError
        If a file in ``root`` or ``MINICNN_DATA`` is damaged or not the expected one.
    """
    if not isinstance(name, str):
        raise unknown_name(name, "load: the data set", names)
    if name == "synthetic":
        if root is not None:
            raise ConfigError(f"load: 'synthetic' is drawn, not read; got root={str(root)!r}: leave it out")
        return _draw(0 if seed is None else seed, (20_000, 4_000) if sizes is None else sizes)
    if seed is not None or sizes is not None:
        raise ConfigError(f"load: seed and sizes are for 'synthetic' only; got them with {name!r}: omit them")
    return _read_known(SOURCES[name], root) if name in SOURCES else _read_custom(name, root)


def name_in(folder: str | os.PathLike[str]) -> str | None:
    """Return the name of the data set whose IDX files are directly in a folder, or None without such files.

    A known data set is recognized by its test labels; any other has the name of the folder.
    """
    folder = _expanded(folder)
    labels = _find(folder, NAMES[3])
    return None if labels is None else _known(labels) or folder.resolve().name or None


def cache_folder() -> Path:
    """Return the user's cache folder for downloads, which need not exist yet."""
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
    # Even seeds for training, odd ones for testing: no test image is in any seed's training set.
    return synthetic.generate(train, 2 * seed), synthetic.generate(test, 2 * seed + 1)


def _known(labels: Path) -> str | None:
    """Return the name of the known data set that has these test labels, or None."""
    for source in SOURCES.values():
        with suppress(DataError):
            read_verified(labels, source.files[3])
            return source.name
    return None


def _read_known(source: Source, root: str | os.PathLike[str] | None) -> tuple[Dataset, Dataset]:
    """Read a known data set from root, MINICNN_DATA or the cache, in this order."""
    folder, origin = _folder(root)
    if folder is not None and (root is not None or _place(source.name, folder)):
        contents = _from_folder(source, folder, origin)
    else:
        contents = _from_cache(source)
    train_images, train_labels, test_images, test_labels = (
        parse_idx(BytesIO(content), file.name, file.size)
        for content, file in zip(contents, source.files, strict=True)
    )
    return (
        Dataset(train_images[..., None], train_labels, source.class_names, source.name),
        Dataset(test_images[..., None], test_labels, source.class_names, source.name),
    )


def _read_custom(name: str, root: str | os.PathLike[str] | None) -> tuple[Dataset, Dataset]:
    """Read custom IDX files from root or MINICNN_DATA."""
    folder, origin = _folder(root)
    place = None if folder is None else _place(name, folder)
    if folder is None or place is None:
        where = "" if folder is None else f"; no IDX files of that name are in {folder}, which is {origin}"
        raise ConfigError(f"{unknown_name(name, 'load: the data set', names)}{where}")
    paths = _paths(name, folder, origin)
    known = _known(paths[3])
    if known is not None:
        raise ConfigError(
            f"load: the data set in {place} is {known}; got the name {name!r}: call it {known!r}"
        )
    train = _dataset(paths[0], paths[1], (), name)
    return train, _dataset(paths[2], paths[3], train.class_names, name)


def _dataset(images: Path, labels: Path, class_names: tuple[str, ...], name: str) -> Dataset:
    """Read images (N, H, W) or (N, H, W, C) and their labels."""
    pixels = read_idx(images)
    try:
        return Dataset(pixels[..., None] if pixels.ndim == 3 else pixels, read_idx(labels), class_names, name)
    except (DataError, DTypeError, ShapeError) as error:
        raise type(error)(f"{images} with {labels.name}: {error}") from error


def _folder(root: str | os.PathLike[str] | None) -> tuple[Path | None, str]:
    """Return the user's folder with data sets, or None, and what named it."""
    if root is not None:
        return _expanded(check_path(root, "root")), "root (--data)"
    folder = os.environ.get(VARIABLE)
    return (_expanded(folder) if folder else None), VARIABLE


def _expanded(folder: str | os.PathLike[str]) -> Path:
    return Path(os.path.expanduser(folder))  # Path.expanduser raises if there is no such user


def _from_folder(source: Source, folder: Path, origin: str) -> list[bytes]:
    """Return the contents of the four files from the user's folder."""
    paths = _paths(source.name, folder, origin)
    try:
        return [read_verified(path, file) for path, file in zip(paths, source.files, strict=True)]
    except DataError as error:
        name, place = f"my-{source.name}", str(paths[0].parent)
        raise DataError(
            f"{error}. If the images are your own, give them another name: "
            f"--dataset {name} --data {shlex.quote(place)} (in Python, load({name!r}, {place!r}))"
        ) from error


def _paths(name: str, folder: Path, origin: str) -> list[Path]:
    """Return where the four files of a data set are in the user's folder."""
    place = _place(name, folder)
    paths = {file: _find(place, file) if place else None for file in NAMES}
    missing = [file for file, path in paths.items() if path is None]
    if missing:
        download = f", or leave {origin} unset to download" if name in SOURCES else ""
        looked = place or f"{folder / name} and {folder}"
        raise DataNotFoundError(
            f"{name}: expected {', '.join(missing)} (or the same with .gz) in {looked}, because "
            f"{origin} is {folder}; not found: put them there{download}"
        )
    return [path for path in paths.values() if path is not None]


def _place(name: str, folder: Path) -> Path | None:
    """Return the folder of a data set in a user's folder, or None: the first with any of its files."""
    places = (folder / name, folder)
    return next((place for place in places if any(_find(place, file) for file in NAMES)), None)


def _from_cache(source: Source) -> list[bytes]:
    """Return the contents of the four files from the cache; missing and damaged ones are downloaded."""
    try:
        folder = cache_folder() / source.name
        remove_stale(folder)
        contents = {}
        for file in source.files:
            path = _find(folder, file.name)
            with suppress(DataError):  # a damaged file is downloaded again
                if path is not None:
                    contents[file] = read_verified(path, file)
        missing = [file for file in source.files if file not in contents]
        try:
            contents.update(zip(missing, fetch(missing, folder, source.mirrors), strict=True))
        except DataNotFoundError as error:
            advice = _advice(source, f"it could not be downloaded to {folder}")
            raise DataNotFoundError(f"{advice}\nwhat the mirrors answered:\n{error}") from error
    except OutputError as error:
        problem = f"its download cannot be saved: {error.__cause__ or error}"
        raise DataNotFoundError(_advice(source, problem)) from error
    return [contents[file] for file in source.files]


def _advice(source: Source, problem: str) -> str:
    """Return four lines on what to do if a data set is not available."""
    folder = os.environ.get(VARIABLE)
    files = ", ".join(f"{file.name}.gz" for file in source.files)
    places = f"neither in {VARIABLE} ({folder}) nor in the cache" if folder else "not on this machine"
    return (
        f"{source.name} is {places}, and {problem}\n"
        f"- put {files} into a folder,\n"
        f"  and set the environment variable {VARIABLE} to it, or name it with --data (in Python, root=)\n"
        '- or use drawn images: minicnn train --dataset synthetic (in Python, load("synthetic"))'
    )


def _find(folder: Path, name: str) -> Path | None:
    """Return the file under one of its usual names, or None."""
    for variant in (f"{name}.gz", name, name.replace("-idx", ".idx")):
        path = folder / variant
        if os.path.isfile(path):  # Path.is_file raises if the folder is not accessible
            return path
    return None
