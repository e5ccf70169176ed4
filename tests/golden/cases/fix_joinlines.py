"""Broken paragraphs in two scripts, a list, a hyphen of each kind, verse and code."""

from __future__ import annotations

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.fix.joinlines import Joinlines


def case() -> tuple[Stage, Batch]:
    texts = [
        "The house stands at the end of a long road that leads exam-\n"
        "ple by example to the well-known village. Nobody who lives\n"
        "there remembers when it was built.\nIt is old, and well-\nknown.\n",
        "数据清洗是训练大语言模型的重要一步，它决定了模型能够学到什么\n内容。我们先抽取网页的正文，再去掉重复的\n文档。",
        "- one item of a list that is long enough to be broken\n  into two lines\n- another\n",
        "Roses are red,\nviolets are blue\n",
        "```\na line of code that is longer than forty columns of text\nb\n```\n",
        "one line",
        "",
        None,
    ]
    return Joinlines(), Batch.of(text=texts)
