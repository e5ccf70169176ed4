"""Words of two lists, at the edges of words, in languages with and without a list."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.filter.badwords import Badwords


def case() -> tuple[Stage, Batch]:
    folder = Path(tempfile.mkdtemp())
    (folder / "en").write_text("bad\nbad word\nc++\nCapital\n", "utf-8")
    (folder / "zh.txt").write_text("傻瓜\n性\n", "utf-8")
    rows = {
        "A bad, BAD day": "en",
        "badly _bad bad_": "en",
        "I like c++.": None,
        "Capital capital": "en",
        "是傻瓜吗": "zh",
        "性 bad": "zh",
        "傻瓜 bad": "fr",
        "": "en",
    }
    batch = Batch.of(text=[*rows, None], language=[*rows.values(), "en"])
    return Badwords(lists=str(folder), no_list="drop", keep_fraction=0.3, seed=5), batch
