"""Repeated paragraphs, lines and n-grams, with ties, blank lines, and words that run together."""

from __future__ import annotations

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.filter.gopher_repetition import GopherRepetition

DIALECTS = ("dclm", "dolma")


def case() -> tuple[Stage, Batch]:
    varied = " ".join(f"w{number}" for number in range(60))
    texts = [
        varied,
        "a\n\nb\n\nb\n\na",
        "\n\na\nb\nb\na\n",
        f"{varied}\n{varied}\nc",
        f"{varied} ab c a bc ab c a bc ab c",
        f"{varied} " + "one two three four five " * 3,
        "一行。\n一行。\n另一行。\n\n一行。",
        "x y x y z w z w " + varied,
        " \n ",
        "",
        None,
    ]
    return GopherRepetition(), Batch.of(text=texts)
