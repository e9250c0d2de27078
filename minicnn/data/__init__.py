"""Data sets: loading and drawing them, splitting, augmenting, and the file formats they come in."""

from minicnn.data import synthetic
from minicnn.data.augment import Augmentation
from minicnn.data.csv import read_csv, write_csv
from minicnn.data.dataset import Dataset
from minicnn.data.idx import read_idx, write_idx
from minicnn.data.loader import load, names
from minicnn.data.picture import read_picture
from minicnn.data.spec import DatasetSpec
from minicnn.data.split import k_folds, split
from minicnn.hints import module_names

__all__ = [
    "Augmentation",
    "Dataset",
    "DatasetSpec",
    "k_folds",
    "load",
    "names",
    "read_csv",
    "read_idx",
    "read_picture",
    "split",
    "synthetic",
    "write_csv",
    "write_idx",
]

__getattr__ = module_names(__name__)
