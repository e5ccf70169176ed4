"""Texts full of one thing each: digits, brackets, URLs, bullets, long words, boilerplate."""

from __future__ import annotations

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.filter.heuristics import Heuristics


def case() -> tuple[Stage, Batch]:
    texts = [
        'A line of plain words, and it ends.\nAnother one "ends" so.\n\nIs it the last one?',
        "12 34 (56) [78] {9}",
        "see http://a.org/b%20c?d=e and https://porn.example/x, or www.c.org",
        "• one\n ‣ two\r\n● three\n\n- four",
        "# ## #a... … [...]\nread more\nmore…",
        "Our Privacy Policy.\n\nWe use cookies.\n\nAnd more.",
        "lorem ipsum",
        "x" * 1001 + " y",
        "的" * 30 + "😀 中文。",
        " \t\x85\u3000\n",
        "",
        None,
    ]
    stage = Heuristics(
        max_digit_fraction=0.15, max_urls=1, max_word_chars=1000, max_boilerplate_fraction=0.4
    )
    return stage, Batch.of(text=texts)
