"""The folder of a run: the model, its numbers and figures, and a page that shows them."""

from minicnn.report.folder import CHECKPOINT, MODEL, check_run, new_run, run_folder
from minicnn.report.page import Page
from minicnn.report.read import read_run
from minicnn.report.run import Run, page_of, write_run

__all__ = [
    "CHECKPOINT",
    "MODEL",
    "Page",
    "Run",
    "check_run",
    "new_run",
    "page_of",
    "read_run",
    "run_folder",
    "write_run",
]
