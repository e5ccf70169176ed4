"""Prose in two languages, lists, symbols, and texts without words."""

from __future__ import annotations

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.filter.gopher_quality import GopherQuality

PROSE = "The house that they have is to be seen with care, and it is old. "

DIALECTS = ("dclm", "dolma")


def case() -> tuple[Stage, Batch]:
    texts = [
        PROSE * 5,
        PROSE,
        "- " + "\r\n • ".join([PROSE] * 6),
        "the of words with care # # " * 12,
        "the of words with... care and… " * 12,
        "the house of 1234 5678 -- ？ " * 15,
        "中文的句子。 有 空格 的 文字！ " * 20,
        "Das Haus und der Garten sind alt\u3000" * 8,
        "😀 e\u0301 the of and " * 20,
        "\n\u2028 ",
        "",
        None,
    ]
    return GopherQuality(), Batch.of(text=texts)
