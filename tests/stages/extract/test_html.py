"""extract.html: real pages, characters in every encoding, and pages that are planted to do harm."""

from __future__ import annotations

import functools
import gzip
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ultraclean.document import Batch
from ultraclean.guard import Guard
from ultraclean.stages.extract.html import Html, extract
from ultraclean.text.extractors import Settings, open_extractors
from ultraclean.text.page_characters import decode

PROSE = "Der Text einer Seite, mit Grüßen und ein paar Sätzen, die man lesen kann. "
PAGE = f"""<html><head><title>T</title><style>p {{}}</style></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/about">About us</a></li></ul></nav>
<article><h1>Eine Überschrift</h1><p>{PROSE * 4}</p><p>{PROSE * 3}</p></article>
<script>spin()</script><footer>Copyright</footer></body></html>"""
WORD = re.compile(r"\w+")


@pytest.fixture(scope="module", params=["blocks", "trafilatura", "resiliparse", "justext"])
def opened(request: pytest.FixtureRequest) -> Callable[[Batch], Batch]:
    return Html(extractor=request.param).open()


def test_a_page(opened: Callable[[Batch], Batch]) -> None:
    batch = Batch.of(html=[PAGE, PAGE.encode().decode()], id=["a", "b"])
    done = opened(batch)
    assert done.names == ["id", "text", "_error"]
    text = done["text"][0].as_py()
    assert "Eine Überschrift" in text
    assert text.count("Grüßen") == 7, text
    assert not any(word in text for word in ("Home", "spin", "Copyright", "<p>"))
    assert done["_error"].null_count == 2


def test_bytes_null_empty_and_earlier_errors(opened: Callable[[Batch], Batch]) -> None:
    pages = [
        PAGE.encode(),
        None,
        b"",
        b"<html><body></body></html>",
        PAGE.encode("utf-16"),
        b"\0\xff",
    ]
    batch = Batch.of(
        html=pa.array(pages, pa.binary()), _error=[None] * 4 + ["CorruptFile: x"] + [None]
    )
    done = opened(batch)
    assert "Grüßen" in done["text"][0].as_py()
    assert done["text"].to_pylist()[1:5] == [None] * 4
    errors = done["_error"].to_pylist()
    assert errors[:5] == [
        None,
        "EmptyExtraction: no text in 0 bytes of HTML",
        "EmptyExtraction: no text in 0 bytes of HTML",
        "EmptyExtraction: no text in 26 bytes of HTML",
        "CorruptFile: x",
    ]


def test_splitting_a_batch_gives_the_same_rows(opened: Callable[[Batch], Batch]) -> None:
    pages = [PAGE.replace("Text", f"Text {number}") for number in range(6)] + ["", "<p>short"]
    batch = Batch.of(html=pa.array(pages, pa.large_string()), id=list(range(8)))
    whole = opened(batch).data
    for cut in (1, 3, 7):
        parts = [opened(batch.slice(0, cut)).data, opened(batch.slice(cut, 8 - cut)).data]
        assert pa.Table.from_batches(parts).combine_chunks().equals(pa.Table.from_batches([whole]))
    assert opened(batch.slice(0, 0)).num_rows == 0


def test_columns() -> None:
    stage = Html(extractor="resiliparse", html="page", into="body", keep_html=True)
    assert stage.needs() == ("page",)
    assert stage.adds() == {"body": pa.string()}
    assert stage.open()(Batch.of(page=[PAGE])).names == ["page", "body", "_error"]


ENCODINGS = [
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "cp1252",
    "iso-8859-2",
    "koi8-r",
    "shift_jis",
    "gb18030",
]
ENCODINGS += ["euc-jp", "iso-2022-jp", "big5"]
SAMPLES = {
    "koi8-r": "Съешь ещё этих мягких французских булок",
    "shift_jis": "日本語のテキストです。",
    "euc-jp": "日本語のテキストです。",
    "iso-2022-jp": "日本語のテキストです。",
    "gb18030": "这是一个中文网页。",
    "big5": "這是一個中文網頁。",
    "iso-8859-2": "Příliš žluťoučký kůň",
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_characters(encoding: str) -> None:
    text = SAMPLES.get(encoding, "Grüße, naïve façade")
    page = f"<html><body><p>{text * 5}</p></body></html>"
    assert text in decode(page.encode(encoding), encoding)
    meta = f'<html><head><meta charset="{encoding}"></head><body><p>{text * 5}</p></body></html>'
    assert text in decode(meta.encode(encoding))


def test_odd_characters() -> None:
    assert decode("as it is ü") == "as it is ü"
    assert decode(b"caf\xe9", "iso-8859-1") == "café"
    assert decode(b"\x93quoted\x94", "iso-8859-1") == "“quoted”"
    assert decode(b"caf\xe9", "no-such-charset") == "café"
    assert "caf" in decode(b"caf\xc3\xa9 \xff" + b"x" * 100)
    assert decode("日本語".encode("euc-jp"), "EUC-JP") == "日本語"


def test_the_header_of_http_counts() -> None:
    page = "<p>" + "Съешь ещё этих булок. " * 20
    batch = Batch.of(
        html=[page.encode("koi8-r")],
        metadata=[json.dumps({"content_type": 'text/html; charset="koi8-r"'})],
    )
    text = Html(extractor="resiliparse").open()(batch)["text"][0].as_py()
    assert "Съешь ещё этих булок." in text


def f1(text: str, expected: str) -> float:
    def shingles(value: str) -> Counter[tuple[str, ...]]:
        words = WORD.findall(value)
        return Counter(tuple(words[start : start + 4]) for start in range(max(1, len(words) - 3)))

    ours, theirs = shingles(text), shingles(expected)
    both = sum((ours & theirs).values())
    return 2 * both / max(1, sum(ours.values()) + sum(theirs.values()))


@pytest.mark.parametrize(
    ("extractor", "least"),
    [("trafilatura", 0.92), ("resiliparse", 0.84), ("blocks", 0.92), ("justext", 0.7)],
)
def test_real_articles(shared_data: Path, extractor: Any, least: float) -> None:
    with gzip.open(shared_data / "web" / "article_extraction.jsonl.gz") as lines:
        rows = [json.loads(line) for line in lines][:30]
    done = Html(extractor=extractor).open()(Batch.of(html=[row["html"] for row in rows]))
    texts = done["text"].to_pylist()
    scores = [f1(text or "", row["text"]) for text, row in zip(texts, rows, strict=True)]
    assert sum(scores) / len(scores) > least


def test_fallbacks_find_text_where_the_fast_mode_finds_none() -> None:
    both = open_extractors(Settings(("trafilatura",)))
    assert both(("<div>Only a short line of words here</div>", None, None)).text == (
        "Only a short line of words here"
    )
    assert both(("<html><body></body></html>", None, None)).text == ""
    # a reference to half of a surrogate pair is a replacement, as in browsers, or nothing
    page = f"<p>{PROSE}&#xD800;&#0;</p>"
    for name in ("blocks", "trafilatura", "resiliparse", "justext"):
        text = open_extractors(Settings((name,)))((page, None, None)).text
        text.encode()
        assert name == "justext" or text.startswith("Der Text")


def test_unions() -> None:
    page = PAGE.replace("</article>", "<ul><li>Ein Punkt</li></ul></article>")
    batch = Batch.of(html=[page, "<p>short</p>", None])
    done = Html(extractor=("blocks", "trafilatura")).open()(batch)
    assert done.names == ["text", "extractor", "_error"]
    assert done["extractor"].to_pylist() == ["blocks", "blocks", None]
    unsure = Html(extractor=("justext", "blocks")).open()(batch)
    assert unsure["extractor"].to_pylist() == ["justext", "blocks", None]
    longest = Html(extractor=("justext", "resiliparse"), union="longest").open()(batch)
    assert longest["extractor"].to_pylist() == ["resiliparse", "resiliparse", None]
    lines = Html(extractor=("justext", "blocks"), union="lines").open()(batch)
    text = lines["text"][0].as_py()
    assert lines["extractor"][0].as_py() == "justext+blocks"
    assert text.count("Grüßen") == 7
    assert text.index("Überschrift") < text.index("Grüßen") < text.index("Ein Punkt")


def test_facts_of_a_page() -> None:
    head = '<meta property="article:published_time" content="2024-05-06T07:08:09Z"></head>'
    page = PAGE.replace("</head>", head)
    metadata = json.dumps({"content_type": "text/html", "content_language": "de-at"})
    batch = Batch.of(html=[page, ""], metadata=[metadata, None])
    stage = Html(extractor="blocks", about=True)
    done = stage.open()(batch)
    assert set(stage.adds()) == {"text", "title", "date", "language_hint"}
    assert done["title"].to_pylist() == ["T", None]
    assert done["date"].to_pylist() == ["2024-05-06T07:08:09+00:00", None]
    assert done["language_hint"].to_pylist() == ["de-AT", None]


RICH = f"""<article><h2>Überschrift</h2><p>{PROSE * 3}<b>Fett</b> und <a href="/x y">Verweis</a>.</p>
<p>{PROSE * 3}</p><ul><li>eins</li><li>zwei</li></ul><p>{PROSE * 3}</p>
<pre><code class="language-python">a = 1
if a:
    b = 2</code></pre><p>{PROSE * 2} Also gilt <math alttext="x^2"><mi>x</mi></math> immer.</p></article>"""


@pytest.mark.parametrize("extractor", ["blocks", "trafilatura", "resiliparse", "justext"])
def test_markdown_and_formulas(extractor: Any) -> None:
    done = Html(extractor=extractor, format="markdown").open()(Batch.of(html=[RICH]))
    text = done["text"][0].as_py()
    assert "Also gilt $x^2$ immer." in text
    if extractor in {"blocks", "resiliparse"}:  # the others drop the heading of so small a page
        assert "## Überschrift" in text
    if extractor == "blocks":
        assert "- eins\n- zwei" in text
    plain = Html(extractor=extractor, formulas=False).open()(Batch.of(html=[RICH]))
    assert "$" not in plain["text"][0].as_py()


def test_links() -> None:
    stage = Html(extractor="blocks", format="markdown", links=True)
    text = stage.open()(Batch.of(html=[RICH]))["text"][0].as_py()
    assert "**Fett** und [Verweis](/x%20y)." in text
    assert "```python\na = 1\nif a:\n    b = 2\n```" in text


def test_what_check_says() -> None:
    assert Html(links=True).problems() == [
        "links: only Markdown has targets of links; add format: markdown"
    ]
    assert Html(extractor=("blocks", "blocks")).problems() == [
        "extractor: the same one twice, or none"
    ]
    assert Html(extractor=()).problems() == ["extractor: the same one twice, or none"]
    assert Html(extractor="blocks", format="markdown", links=True).problems() == []
    assert Html(extractor="blocks").distributions() == ("Resiliparse",)
    assert "trafilatura" in Html(extractor=("blocks", "trafilatura")).distributions()


def test_an_extractor_that_is_not_used_need_not_be_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert Html(extractor="blocks").missing_extras() == []
    (missing,) = Html(extractor=("blocks", "justext")).missing_extras()
    assert "pip install" in str(missing) and missing.module == "justext"


PLANTED = """
import re
from ultraclean.text.extractors import Extracted
def extract(page):
    html = page[0]
    if html == "spin":
        re.fullmatch("(a|a)*b", "a" * 60)
    if html == "allocate":
        bytearray(8 * 2**30)
    return Extracted(html.upper())
def make():
    return extract
"""


def test_planted_pages_cost_only_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "planted_extractor.py").write_text(PLANTED)
    monkeypatch.syspath_prepend(tmp_path)
    import planted_extractor  # type: ignore[import-not-found]

    guard = Guard(planted_extractor.make, 0.2, 256)
    run = functools.partial(extract, Html(), guard.map)
    done = run(Batch.of(html=["one", "spin", "two", "allocate", "three"]))
    assert done["text"].to_pylist() == ["ONE", None, "TWO", None, "THREE"]
    assert done["_error"].to_pylist() == [
        None,
        "TimeLimit: more than 0.2 s, and tried alone more than 1 s",
        None,
        "MemoryLimit: more than 256 MB",
        None,
    ]
    guard.close()
