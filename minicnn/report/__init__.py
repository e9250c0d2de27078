"""What a run leaves behind: a folder with the model, its numbers and figures, and a page to look at."""

from minicnn.report.page import Page
from minicnn.report.read import read_run
from minicnn.report.run import MODEL, Run, check_run, page_of, write_run

__all__ = ["MODEL", "Page", "Run", "check_run", "page_of", "read_run", "write_run"]
