"""Our own extractor as Markdown, with formulas and what the pages say of themselves."""

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
    f"<html lang=de><title>T</title><meta name=date content=2020-02-03><p>{PROSE * 4}<math><mi>x</mi></math>"
    f"<h2>Head</h2><p>{PROSE * 3}<pre>a\n  b</pre><table><tr><td>1</td><td>2</td></tr></table>".encode(),
    b"<html><body></body></html>",
    b"no markup at all",
    b"",
    None,
]


def case() -> tuple[Stage, Batch]:
    ids = [f"page{number}" for number in range(len(PAGES))]
    return Html(extractor="blocks", format="markdown", about=True), Batch.of(
        id=ids, html=pa.array(PAGES, pa.binary())
    )
