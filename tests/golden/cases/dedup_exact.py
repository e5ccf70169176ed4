"""Copies up to case and white space; the highest `year` is kept."""

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.dedup.exact import Exact


def case() -> tuple[Stage, Batch]:
    rows = [
        ("Hello  world", 2001),
        ("hello\u3000World\r\n", 2003),
        ("HELLO WORLD", 2002),
        ("hello, world", 2009),
        ("", 2000),
        (None, 2000),
        (" \t", 2000),
        ("我们 今天", None),
        ("我们  今天", 1999),
        ("Größe 😀", None),
        ("größe 😀 ", None),
    ]
    text, year = zip(*rows, strict=True)
    return Exact(normalise="lower_space", priority=("year",)), Batch.of(text=text, year=year)
