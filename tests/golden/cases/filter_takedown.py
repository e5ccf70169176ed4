"""A list of each kind, and addresses in several spellings."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.filter.takedown import Takedown


def case() -> tuple[Stage, Batch]:
    folder = Path(tempfile.mkdtemp(prefix="golden-"))
    (folder / "ids").write_text("# ids\n3\n中\n")
    (folder / "urls").write_text("http://www.a.org/x/\nhttps://b.org/p/*\n")
    (folder / "domains").write_text("bad.org\n")
    urls = ["https://a.org/x#y", "a.org/xy", "http://b.org/p/q?r", "https://x.bad.org", None, ""]
    stage = Takedown(
        ids=str(folder / "ids"), urls=str(folder / "urls"), domains=str(folder / "domains")
    )
    return stage, Batch.of(id=["1", "2", "3", "4", "中", None], url=urls)
