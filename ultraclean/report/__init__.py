"""The report of a run: one HTML file that needs nothing else and runs nothing that a text could plant."""

from __future__ import annotations

from ultraclean import storage
from ultraclean.report.facts import gather
from ultraclean.report.folder import RunFolder
from ultraclean.report.page import render

__all__ = ["write_report"]


def write_report(run_folder: str) -> str:
    """Writes report.html of a finished run (any fsspec path); returns its path."""
    page = render(gather(RunFolder(run_folder)))
    path = storage.join(run_folder, "report.html")
    storage.write_bytes(path, page.encode())
    return path
