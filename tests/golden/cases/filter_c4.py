"""Lines that stay, lines that go for each cause, and documents that a line drops."""

from __future__ import annotations

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.filter.c4 import C4

DIALECTS = ("dclm", "dolma")


def case() -> tuple[Stage, Batch]:
    lines = "It has a line that ends here.[1][citation needed]\nIs this [edit] one kept?\u2028So it is!\r\n"
    texts = [
        lines * 2,
        "A title without an end\n" + lines * 2 + "Two words.\nThis one trails off...",
        lines * 2 + "Please enable JavaScript to see.\nWe use cookies, as all do.",
        lines * 2 + "A word of " + "x" * 1001 + " is long.",
        lines * 2 + "We write Lorem Ipsum now.\nAnd { a bracket here.",
        lines * 2 + "And { a bracket here.",
        "It is one line.",
        '"It is 😀 so." He said: "It is é." And "中文 是 这样."\n' * 3,
        "这里没有空格。\n也没有英文标点。",
        "",
        None,
    ]
    return C4(), Batch.of(text=texts)
