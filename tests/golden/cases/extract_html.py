"""Pages with navigation, code, lists, odd characters, and some that have no text."""

from __future__ import annotations

import pyarrow as pa

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.extract.html import Html

PROSE = "A page has sentences, and this is one of them; it is repeated to be long enough. "
PAGES: list[bytes | None] = [
    f"<html><body><nav>Home</nav><article><h1>Title</h1><p>{PROSE * 5}</p></article></body>".encode(),
    f"<article><p>{PROSE * 3}</p><ul><li>one</li><li>two</li></ul></article>".encode(),
    f"<html><head><meta charset='gb2312'></head><p>{'这是一个中文网页。' * 30}</p>".encode(
        "gb2312"
    ),
    f"<p>{'Grüße, naïve façade. ' * 20}</p>".encode("cp1252"),
    f"<p>{'😀 emoji and text. ' * 20}</p><!-- comment --><script>x</script>".encode(),
    b"<p>Short.</p>",
    b"<html><body></body></html>",
    b"no markup at all",
    b"",
    None,
]


def case() -> tuple[Stage, Batch]:
    ids = [f"page{number}" for number in range(len(PAGES))]
    return Html(), Batch.of(id=ids, html=pa.array(PAGES, pa.binary()))
