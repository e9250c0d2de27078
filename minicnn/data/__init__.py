"""Data sets: loading real ones, drawing synthetic ones, splitting, and the IDX file format."""

from minicnn.data import synthetic
from minicnn.data.augment import Augmentation
from minicnn.data.dataset import Dataset
from minicnn.data.idx import read_idx, write_idx
from minicnn.data.loader import load, names
from minicnn.data.split import split

__all__ = ["Augmentation", "Dataset", "load", "names", "read_idx", "split", "synthetic", "write_idx"]
