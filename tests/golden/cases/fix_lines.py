"""Line ends, blanks and empty lines of every kind."""

from __future__ import annotations

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.fix.lines import Lines

TEXTS = [
    "a\r\nb\rc\n",
    "a  \t\nb　\nc\xa0",
    "  indented  code",
    "a\n\n\n\n\nb",
    "\n\n a \n\n",
    "   ",
    "你好 。 \n😀 ",
    "",
    None,
]


def case() -> tuple[Stage, Batch]:
    return Lines(), Batch.of(id=list(range(len(TEXTS))), text=TEXTS)
