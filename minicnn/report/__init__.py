"""What a run leaves behind: a folder with the model, its numbers and figures, and a page to look at."""

from minicnn.report.folder import CHECKPOINT, MODEL, check_run, claimed, new_run
from minicnn.report.page import Page
from minicnn.report.read import read_run
from minicnn.report.run import Run, page_of, write_run

__all__ = [
    "CHECKPOINT",
    "MODEL",
    "Page",
    "Run",
    "check_run",
    "claimed",
    "new_run",
    "page_of",
    "read_run",
    "write_run",
]
