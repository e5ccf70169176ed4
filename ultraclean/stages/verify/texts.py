"""The texts of a verification: where each document belongs, shuffled words, evaluation files.

A document's place in [0, 1) is a hash of its text. So exact copies always lie on the same side of
a cut, and two verifications over one default mix cut it alike.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ultraclean import storage
from ultraclean.document import Batch, texts
from ultraclean.errors import DataError
from ultraclean.stage import Rows

NGRAM: Final = 13
"""Words in a row that make a document and an evaluation text overlap, as in GPT-3 and after."""
LONGEST: Final = 2_000
"""Characters of an evaluation text: many documents say more than a few long ones."""
GUARD_LONGEST: Final = 500
"""Of a text for the guards, which are given fewer bytes: one odd document must not decide."""


def place(text: str) -> float:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


@dataclass(frozen=True)
class Survey:
    """What a table holds: places of its documents and their bytes, empty ones left out."""

    name: str
    places: NDArray[np.float64]
    n_bytes: NDArray[np.int64]
    bytes_per_token: float
    met: frozenset[float]
    """Places of documents that overlap the evaluation."""
    sets_met: tuple[str, ...]

    @property
    def n_met(self) -> int:
        return sum(where in self.met for where in self.places.tolist())

    @property
    def n_tokens(self) -> float:
        """Tokens, about, exact copies counted once."""
        _, first = np.unique(self.places, return_index=True)
        return float(self.n_bytes[first].sum()) / self.bytes_per_token


@dataclass(frozen=True)
class Look:
    """What `look` needs to know; picklable, as a table is a list of paths."""

    rows: Rows
    tokenizer: str
    evaluation: Mapping[str, list[str]]
    sample: int = 200


def look(given: Look) -> Survey:
    """One pass over a table, on a worker."""
    from ultraclean.stages.verify.trial import load_tokenizer

    tokenizer = load_tokenizer(given.tokenizer)
    overlap = Overlap(given.evaluation)
    places, sizes = [], []
    sampled_bytes = sampled_tokens = 0
    met: set[float] = set()
    for batch in given.rows.batches(["text"]):
        met |= overlap.places(batch)
        for text in texts(batch["text"]):
            if not text.strip():
                continue
            places.append(place(text))
            sizes.append(len(text.encode("utf-8", "surrogatepass")))
            if len(places) <= given.sample:
                sampled_bytes += sizes[-1]
                sampled_tokens += len(tokenizer.encode(text, add_special_tokens=False).ids) + 2
    if not places:
        name = given.rows.name
        raise DataError(f"the table {name} holds no text, so there is nothing to verify")
    return Survey(
        given.rows.name,
        np.array(places),
        np.array(sizes, np.int64),
        sampled_bytes / sampled_tokens,
        frozenset(met),
        tuple(sorted(overlap.found)),
    )


def documents(rows: Rows) -> Iterator[str]:
    for batch in rows.batches(["text"]):
        yield from (text for text in texts(batch["text"]) if text.strip())


def shuffled(text: str) -> str:
    """The same words in another order, the same every time; of scripts without spaces, characters."""
    words = text.split()
    sparse = len(words) * 20 < len(text)
    pieces = [one for one in text if not one.isspace()] if sparse else words
    random.Random(place(text)).shuffle(pieces)
    return ("" if sparse else " ").join(pieces)


# --- evaluation -----------------------------------------------------------------------------------


def evaluation_texts(files: Mapping[str, str], most_bytes: int) -> dict[str, list[str]]:
    """Some texts of each set, chosen by their places, each cut to LONGEST characters."""
    found = {}
    for name, path in files.items():
        wanted = _within(sorted(_texts_of(path), key=place), most_bytes)
        if not wanted:
            raise DataError(
                f"evaluation.{name}: {path} has no line with a `text`, or `context` and "
                "`continuation`; give natural text, a JSON object a line"
            )
        found[name] = wanted
    return found


def _within(found: Iterable[str], most_bytes: int, longest: int = LONGEST) -> list[str]:
    """The first texts that make up so many bytes, cut to size; at least one if there is any."""
    chosen: list[str] = []
    size = 0
    for text in found:
        if size >= most_bytes:
            break
        chosen.append(text[:longest])
        size += len(chosen[-1].encode("utf-8", "surrogatepass"))
    return chosen


def some(rows: Rows, keep: Callable[[float], bool], most_bytes: int) -> list[str]:
    """Texts of a table for the guards: those with the lowest kept places."""
    found = (text for _, text in _lowest(rows, keep, most_bytes))
    return _within(found, most_bytes, GUARD_LONGEST)


def _lowest(rows: Rows, keep: Callable[[float], bool], most: int) -> list[tuple[float, str]]:
    import heapq

    pairs = ((where, text) for text in documents(rows) if keep(where := place(text)))
    unique: dict[float, str] = {}
    for where, text in heapq.nsmallest(max(50, most // 100), pairs):
        unique.setdefault(where, text)
    return sorted(unique.items())


def _texts_of(path: str) -> Iterator[str]:
    inputs = storage.find(path)
    if not inputs:
        raise DataError(f"evaluation: no file at {path}")
    for found in inputs:
        content = storage.read_bytes(found.path)
        if found.path.endswith(".gz"):
            content = gzip.decompress(content)
        elif found.path.endswith(".zst"):
            import zstandard

            content = zstandard.ZstdDecompressor().decompressobj().decompress(content)
        for number, line in enumerate(content.split(b"\n"), 1):
            if line.strip():
                yield from _text_of(line, f"{found.path}:{number}")


def _text_of(line: bytes, where: str) -> Iterator[str]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where} is not JSON: {error}") from None
    if not isinstance(row, dict):
        raise DataError(f"{where} is not a JSON object")
    text = row.get("text")
    if text is None and "continuation" in row:
        text = f"{row.get('context', '')} {row['continuation']}"
    if isinstance(text, str) and text.strip():
        yield text.encode("utf-8", "replace").decode()  # a lone surrogate has no bytes


# --- overlap --------------------------------------------------------------------------------------


@dataclass
class Overlap:
    """Finds documents that share NGRAM words in a row with an evaluation text."""

    evaluation: Mapping[str, list[str]]
    found: set[str] = field(default_factory=set)
    """Evaluation sets met."""

    def __post_init__(self) -> None:
        from ultraclean.text.contamination import Item, Words

        self._sets = [name for name, those in self.evaluation.items() for _ in those]
        items = [Item(0, 0, "", text) for those in self.evaluation.values() for text in those]
        self._index = Words(items, NGRAM, NGRAM)

    def places(self, batch: Batch) -> set[float]:
        """The places of the documents of a batch that overlap."""
        column = pa.array(texts(batch["text"]), pa.large_string())
        hits = self._index.find(column)
        for gram in hits.gram.tolist():
            self.found |= {self._sets[one.item] for one in self._index.places[gram]}
        return {place(column[doc].as_py()) for doc in hits.doc.tolist()}
