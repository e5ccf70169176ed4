"""The documents that everything is measured on: English, German, Chinese and technical text.

English and Chinese come from the data beside the project (`../shared/data`), German and technical
text from Debian's documentation, whose HTML is turned to text by resiliparse. What is not there is
said and left out.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "bench"
SHARED = ROOT.parent / "shared" / "data"

ENGLISH = ("openstax", "bbc", "reuters", "imdb")
CHINESE = ("zh_lctt", "zh_tidb", "zh_oiwiki", "zh_react")
GERMAN_PAGES = ("libreoffice/help/de/",)
TECHNICAL_PAGES = ("postgresql-doc", "linux-doc", "libboost", "python3.11", "erlang", "rust-web")
PER_KIND = 700  # pages of one kind at most, so that no package makes up a corpus


@dataclass(frozen=True)
class Corpus:
    """Some documents of one kind."""

    name: str
    texts: list[str]

    @cached_property
    def column(self) -> pa.Array:
        return pa.array(self.texts, pa.string())

    @cached_property
    def n_bytes(self) -> int:
        return sum(len(text.encode()) for text in self.texts)

    def first(self, n_bytes: int) -> Corpus:
        """The first documents of together about `n_bytes`."""
        taken, size = [], 0
        for text in self.texts:
            taken.append(text)
            size += len(text.encode())
            if size >= n_bytes:
                break
        return Corpus(self.name, taken)


def corpora(debian: Path | None, n_bytes: int, names: Iterable[str] | None = None) -> list[Corpus]:
    """The corpora that can be had here, each of at most `n_bytes`."""
    found = []
    for name, files in (("english", ENGLISH), ("chinese", CHINESE)):
        paths = [SHARED / "text" / f"{file}.jsonl.gz" for file in files]
        if all(path.is_file() for path in paths):
            found.append(Corpus(name, _bounded(_spread(paths), n_bytes)))
        else:
            print(f"{name}: left out, {SHARED} is not there", file=sys.stderr)
    for name, places in (("german", GERMAN_PAGES), ("technical", TECHNICAL_PAGES)):
        if debian is not None and any(debian.glob("debian-*.warc.gz")):
            found.append(Corpus(name, _bounded(_debian(name, places, debian), n_bytes)))
        else:
            print(
                f"{name}: left out, no Debian corpus (tests/bench/debian_corpus.py)",
                file=sys.stderr,
            )
    return [one for one in found if names is None or one.name in names]


def _bounded(texts: Iterable[str], n_bytes: int) -> list[str]:
    taken, size = [], 0
    for text in texts:
        taken.append(text)
        size += len(text.encode())
        if size >= n_bytes:
            break
    return taken


def _spread(paths: list[Path]) -> Iterator[str]:
    """One document of each file in turn, until all are used up."""
    streams = [_texts(path) for path in paths]
    while streams:
        for stream in list(streams):
            text = next(stream, None)
            if text is None:
                streams.remove(stream)
            else:
                yield text


def _texts(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


def _debian(name: str, places: tuple[str, ...], folder: Path) -> list[str]:
    """Text of Debian's pages; kept in the build folder, since extraction takes a while."""
    kept = BUILD / f"{name}.jsonl.gz"
    if not kept.is_file():
        texts = list(_extracted(places, folder))
        kept.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(kept, "wt", encoding="utf-8") as out:
            out.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    return list(_texts(kept))


def _extracted(places: tuple[str, ...], folder: Path) -> Iterator[str]:
    from fastwarc.warc import ArchiveIterator
    from resiliparse.extract.html2text import extract_plain_text

    counts = dict.fromkeys(places, 0)
    most = PER_KIND * 8 // len(places)
    for path in sorted(folder.glob("debian-*.warc.gz")):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream, parse_http=True):
                url = str(record.headers.get("WARC-Target-URI"))
                place = next((one for one in places if one in url), None)
                if place is None or counts[place] >= most:
                    continue
                html = record.reader.read().decode("utf-8", "replace")
                text = extract_plain_text(html, main_content=True)
                if len(text) > 200:
                    counts[place] += 1
                    yield text
