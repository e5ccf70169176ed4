"""Pages whose text is known, and how far a text agrees with it.

| pages | what is known | folds |
|---|---|---|
| article_extraction | the article's text, written by people | by site |
| pages_segments | segments that must be kept, and that must go | by site |
| readability | what Mozilla's Readability makes of a page | by page |
| documentation | the element that holds the text, by a selector for each package | by package |

F1 is the rule of the article-extraction benchmark (github.com/scrapinghub): four words in a row are
a shingle; precision and recall of a page are over the two bags of shingles; a system's F1 is that of
its mean precision and mean recall.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

WORD = re.compile(r"\w+")
N_FOLDS = 5


@dataclass(frozen=True)
class Gold:
    """A page and what is known of its text."""

    kind: str
    id: str
    site: str
    html: bytes
    text: str | None = None
    must: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()

    @property
    def fold(self) -> int:
        """Pages of one site are in one fold, so that none is known by its neighbours."""
        digest = hashlib.blake2b(self.site.encode(), digest_size=4).digest()
        return int.from_bytes(digest, "little") % N_FOLDS


def pages(data: Path) -> list[Gold]:
    """The gold pages of `../shared/data/web`."""
    found = []
    for row in _rows(data / "article_extraction.jsonl.gz"):
        found.append(
            Gold(
                "article_extraction", row["id"], site(row["url"]), row["html"].encode(), row["text"]
            )
        )
    for row in _rows(data / "pages_segments.jsonl.gz"):
        html = row["html"].encode() if "html" in row else base64.b64decode(row["html_base64"])
        keep, go = tuple(row["with"]), tuple(row["without"])
        found.append(Gold("pages_segments", row["id"], site(row["url"]), html, None, keep, go))
    for row in _rows(data / "readability.jsonl.gz"):
        name = re.sub(r"-?\d+$", "", row["id"]) or row["id"]
        text = readable(row["expected_html"])
        found.append(Gold("readability", row["id"], name, row["html"].encode(), text))
    return found


def _rows(path: Path) -> Iterable[dict[str, object] | dict[str, str]]:
    with gzip.open(path) as lines:
        return [json.loads(line) for line in lines]


def site(url: str) -> str:
    """The last two labels of the host, or three under `co.uk` and its like."""
    labels = (urlsplit(url).hostname or url).split(".")
    return ".".join(labels[-3:] if len(labels[-1]) == 2 and len(labels[-2]) < 4 else labels[-2:])


def readable(html: str) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    return str(extract_plain_text(html, main_content=False, alt_texts=False, list_bullets=False))


def shingles(text: str) -> Counter[tuple[str, ...]]:
    words = WORD.findall(text)
    return Counter(tuple(words[start : start + 4]) for start in range(max(1, len(words) - 3)))


def precision_recall(found: str, gold: str) -> tuple[float, float]:
    """Of one page."""
    ours, theirs = shingles(found), shingles(gold)
    both = sum((ours & theirs).values())
    return both / max(sum(ours.values()), 1), both / max(sum(theirs.values()), 1)


def f1(pairs: Iterable[tuple[float, float]]) -> tuple[float, float, float]:
    """(precision, recall, F1) of a system, from those of its pages."""
    rows = list(pairs)
    precision = sum(one for one, _ in rows) / len(rows)
    recall = sum(two for _, two in rows) / len(rows)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


DOCUMENTATION = {
    # package -> the element that holds a page's text
    "rust-web-doc": "//main",
    "libreoffice": "//*[@id='DisplayArea']",
    "cppreference": "//*[@id='mw-content-text']",
    "python-pandas-doc": "//main",
    "linux-doc-6.12": "//div[@class='body']",
    "ghc-doc": "//div[@role='main']",
    "postgresql-doc-15": "//body",
    "erlang-doc": "//div[@class='innertube']",
    "python3.11": "//div[@class='body']",
    "debian-handbook": "//body",
    "debian-reference": "//body",
    "anarchism": "//*[@id='content']|//article",
}
FURNITURE = (
    "//script|//style|//a[@class='headerlink']|//div[@class='navheader']|//div[@class='navfooter']"
    "|//ul[@class='docnav']|//*[@class='printfooter']|//nav|//p[@id='title']|//button"
    "|//*[@class='rust-logo']|//*[@class='out-of-band']|//*[@class='src']|//select"
    "|//*[@class='t-navbar']|//*[@class='editsection']|//footer|//*[@class='prev-next-area']"
)


def documentation(corpus: Path, per_package: int = 24) -> list[Gold]:
    """Pages of `debian_corpus.py`, evenly spread over each package."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    found: dict[str, list[tuple[str, bytes]]] = {name: [] for name in DOCUMENTATION}
    for file in sorted(corpus.glob("*.warc.gz")):
        with file.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                url = record.headers["WARC-Target-URI"]
                for name, pages_of in found.items():
                    if f"/{name}" in url:
                        digest = hashlib.blake2b(url.encode(), digest_size=4).hexdigest()
                        pages_of.append((digest, url, record.reader.read()))
                        pages_of.sort()
                        del pages_of[2 * per_package :]
    gold = []
    for name, rows in found.items():
        n = 0
        for _, url, html in rows:
            text = selected(html, DOCUMENTATION[name])
            if text and len(text) > 200 and n < per_package:
                n += 1
                gold.append(Gold("documentation", url, name, html, text))
    return gold


def selected(html: bytes, xpath: str) -> str:
    import lxml.html

    tree = lxml.html.document_fromstring(html, parser=lxml.html.HTMLParser(encoding="utf-8"))
    for element in tree.xpath(FURNITURE):
        element.drop_tree()
    return "\n".join(
        " ".join(t.split())
        for e in tree.xpath(xpath)[:1]
        for t in [readable(lxml.html.tostring(e, encoding="unicode"))]
    )
