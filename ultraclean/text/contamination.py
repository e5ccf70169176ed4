"""Evaluation items as an index of word n-grams, and where they are found in a column of texts.

Two ways to say what a word is. `ultraclean`: runs of letters and digits, ASCII in lower case, one word
per character where a script writes no spaces; punctuation and spaces never matter. `datatrove`: the
n-grams of datatrove 0.10.1's NGramsDecontIndexer, made of spaCy's tokens of a simplified text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ultraclean.text.buffers import utf8
from ultraclean.text.characters import _ranges as ranges
from ultraclean.text.words import spacy_words


@dataclass(frozen=True)
class Item:
    """One item of an evaluation: the `line` of its file (from 1), its question and its answer."""

    benchmark: int
    line: int
    query: str
    answer: str


@dataclass(frozen=True)
class Place:
    """Where an n-gram stands in an item: `length` words from word `start`."""

    item: int
    start: int
    length: int


@dataclass(frozen=True, eq=False)
class Hits:
    """N-grams found in a column: parallel int64 arrays, in the order of documents and words."""

    doc: NDArray[np.int64]
    word: NDArray[np.int64]
    gram: NDArray[np.int64]
    n_words: NDArray[np.int64]
    """Words per document, int64[n_docs]."""


class Index(Protocol):
    """N-grams of items; `places[gram]` are their places, `item_words` the words of each item."""

    places: list[list[Place]]
    item_words: list[int]

    def find(self, column: pa.Array) -> Hits: ...

    def words(self, text: str) -> list[str]:
        """The words of a text as the index counts them."""


class Words:
    """The index of words as in `ultrakernels.shingles`.

    An item is looked for by each run of `ngram` words of its question and answer in a row. A side
    that is shorter, but has at least `shortest` words, is looked for whole; of an item that gives
    nothing so far, both sides in a row. What has fewer words than `shortest` is not looked for.
    """

    def __init__(self, items: Sequence[Item], ngram: int, shortest: int) -> None:
        from ultrakernels.ngram_matches import gram_hashes, word_hashes

        self.item_words = []
        places: dict[int, list[Place]] = {}
        prefixes: set[int] = set()
        self._shortest = min(shortest, ngram)
        for number, item in enumerate(items):
            words = word_hashes(f"{item.query}\n{item.answer}")
            self.item_words.append(len(words))
            n_query = len(word_hashes(item.query))
            for start, length in _runs(n_query, len(words), ngram, self._shortest):
                run = words[start : start + length]
                gram = int(gram_hashes(run, length)[0])
                places.setdefault(gram, []).append(Place(number, start, length))
                prefixes.add(int(gram_hashes(run[: self._shortest], self._shortest)[0]))
        ordered = sorted(places)
        self.places = [places[gram] for gram in ordered]
        self._grams = np.array(ordered, dtype=np.uint64)
        self._prefixes = np.array(sorted(prefixes), dtype=np.uint64)
        lengths = sorted({found[0].length for found in self.places})
        self._lengths = np.array(lengths, dtype=np.int64)

    def find(self, column: pa.Array) -> Hits:
        from ultrakernels.ngram_matches import ngram_matches

        text = utf8(column)
        return Hits(
            *ngram_matches(
                text.data, text.offsets, self._shortest, self._prefixes, self._lengths, self._grams
            )
        )

    def words(self, text: str) -> list[str]:
        from ultrakernels.shingles import reference_words

        return reference_words(text)


def _runs(n_query: int, n_words: int, ngram: int, shortest: int) -> list[tuple[int, int]]:
    """(start, length) of the runs of words by which an item is looked for."""
    runs = [(start, ngram) for start in range(n_words - ngram + 1)]
    sides = [(0, n_query), (n_query, n_words - n_query)]
    runs += [side for side in sides if shortest <= side[1] < ngram]
    return runs or ([(0, n_words)] if n_words >= shortest else [])


class Tokens:
    """The index that datatrove makes: n-grams of the answer, and those across question and answer."""

    def __init__(self, items: Sequence[Item], ngram: int) -> None:
        self._ngram = ngram
        self.item_words = []
        places: dict[str, list[Place]] = {}
        sides = [text for item in items for text in (item.query, item.answer)]
        tokens = list(_tokens(sides))
        for number, (query, answer) in enumerate(zip(tokens[::2], tokens[1::2], strict=True)):
            self.item_words.append(len(query) + len(answer))
            both = query + answer
            # an n-gram of the question alone is none, so that texts which are asked about stay
            first = max(0, len(query) - ngram + 1)
            for start in range(first, len(both) - ngram + 1):
                gram = " ".join(both[start : start + ngram])
                places.setdefault(gram, []).append(Place(number, start, ngram))
        self.places = list(places.values())
        self._number = {gram: number for number, gram in enumerate(places)}

    def find(self, column: pa.Array) -> Hits:
        hits: list[tuple[int, int, int]] = []
        n_words = []
        for doc, tokens in enumerate(_tokens(["" if t is None else t for t in column.to_pylist()])):
            n_words.append(len(tokens))
            for word in range(len(tokens) - self._ngram + 1):
                gram = self._number.get(" ".join(tokens[word : word + self._ngram]))
                if gram is not None:
                    hits.append((doc, word, gram))
        rows = np.array(hits, dtype=np.int64).reshape(-1, 3)
        return Hits(rows[:, 0], rows[:, 1], rows[:, 2], np.array(n_words, dtype=np.int64))

    def words(self, text: str) -> list[str]:
        return next(iter(_tokens([text])))


def _tokens(texts: list[str]) -> Iterator[list[str]]:
    column = pa.array([simplified(text) for text in texts], pa.large_string())
    words = spacy_words(column)
    return (words.of(row) for row in range(len(texts)))


NUMBER: Final = re.compile(r"\d+(?:[.,،٫⎖⎗⎘]\d+)?")
DIVIDING: Final = ranges("""
    0-8 B-1F 21-2F 3A-40 5B-60 7B-9F AB B4 BB 2013-2014 2019 201C-201E 2026 2236 2501 25BA 3001-3002
    3008-300B 300C-300D 3010-3011 FF01 FF05 FF08-FF09 FF0C FF0E FF11 FF1A-FF1B FF1F FF5E
""")
"""What datatrove makes spaces of before it looks for n-grams."""
_TO_SPACES: Final = {ord(char): " " for char in DIVIDING}


def simplified(text: str) -> str:
    """Lower case, numbers as 0, no punctuation, single spaces, no diacritics: as datatrove does it."""
    text = NUMBER.sub("0", text.lower()).translate(_TO_SPACES)
    text = re.sub(r"\s+", " ", text.strip())
    marked = unicodedata.normalize("NFD", text)
    return "".join(char for char in marked if unicodedata.category(char) != "Mn").strip()


# --- what the places of n-grams say of a document ------------------------------------------------


@dataclass(frozen=True)
class Match:
    """An item found in a document: how much of it, and where in the document its first words are."""

    doc: int
    item: int
    n_words: int
    """Words of the item that found n-grams cover."""
    fraction: float
    """The same as a share of the item's words."""
    word: int
    """The first found word in the document."""
    spans: tuple[tuple[int, int], ...]
    """Runs of found words in the document."""


def matches(index: Index, hits: Hits) -> list[Match]:
    """The items of each document, the most complete first, then by number."""
    in_item: dict[tuple[int, int], list[tuple[int, int]]] = {}
    in_doc: dict[tuple[int, int], list[tuple[int, int]]] = {}
    columns = (hits.doc.tolist(), hits.word.tolist(), hits.gram.tolist())
    for doc, word, gram in zip(*columns, strict=True):
        for place in index.places[gram]:
            key = (doc, place.item)
            in_item.setdefault(key, []).append((place.start, place.start + place.length))
            in_doc.setdefault(key, []).append((word, word + place.length))
    found = []
    for (doc, item), spans in in_item.items():
        covered = sum(stop - start for start, stop in joined(spans))
        there = joined(in_doc[doc, item])
        share = covered / index.item_words[item]
        found.append(Match(doc, item, covered, share, there[0][0], there))
    return sorted(found, key=lambda match: (match.doc, -match.fraction, match.item))


def joined(spans: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Overlapping or touching spans as one."""
    out: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], stop))
        else:
            out.append((start, stop))
    return tuple(out)


def covered_words(found: Sequence[Match]) -> dict[int, int]:
    """Words of each document that are part of any item."""
    spans: dict[int, list[tuple[int, int]]] = {}
    for match in found:
        spans.setdefault(match.doc, []).extend(match.spans)
    return {doc: sum(stop - start for start, stop in joined(some)) for doc, some in spans.items()}
