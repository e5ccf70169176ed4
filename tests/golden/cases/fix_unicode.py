"""Mojibake, entities, escapes, and text that must stay as it is."""

from __future__ import annotations

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.fix.unicode import Unicode

TEXTS = [
    "plain",
    "schÃ¶n",
    "donâ€™t",
    "“curled” ﬁ ，全角！",
    "a &amp; b &eacute;",
    "<b>a &amp; b</b>",
    "\x1b[31mred\x1b[0m",
    "bell\x07",
    "\x93quoted\x94",
    "ok\nÃ la carte\nok",
    "你好 😀 naïve",
    "",
    None,
]


def case() -> tuple[Stage, Batch]:
    return Unicode(), Batch.of(id=list(range(len(TEXTS))), text=TEXTS)
