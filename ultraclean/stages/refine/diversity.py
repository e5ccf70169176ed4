"""Measures how diverse the texts of a table are, and whether they are less so than those of another.

The guard against mode collapse of rounds in which what was written is written about again (MiniCPM4, arXiv
2506.07900, section 2.2, names the problem and no measure). Distinct n-grams (Li et al. 2016, arXiv
1510.03055), openings and compression (Shaib et al. 2024, arXiv 2403.00553) depend on how much is looked at,
so both tables are measured on samples of the same number of words, drawn by key. The card's `diverse`
says whether every measure reaches `min_share` of what the other table has: `rounds: {gain: NAME.diverse}`
stops there and keeps the round before; `collapsed` is the opposite, for `until`.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final

import numpy as np
from pydantic import Field

from ultraclean import storage
from ultraclean.document import KEY, Batch, random64, texts
from ultraclean.errors import DataError
from ultraclean.stage import Artifact, Rows, TableRef
from ultraclean.text.runs import words_of

ORDERS: Final = (1, 2, 3, 4)
N_OPENING: Final = 4


class Diversity(Artifact):
    stage: ClassVar[str] = "refine.diversity"
    main: ClassVar[str | None] = "table"
    paper: ClassVar[str] = "distinct-n (arXiv 1510.03055); compression ratio (arXiv 2403.00553)"

    table: Annotated[str, TableRef()] = Field(description="the table to measure")
    against: Annotated[str | None, TableRef()] = Field(
        default=None, description="the table to compare with, such as the first seeds"
    )
    min_share: float = Field(
        default=0.8, gt=0, description="each measure reaches so much of the other table's"
    )
    sample_words: int = Field(
        default=1_000_000, ge=100, description="words of each table that are looked at"
    )
    vector: str | None = Field(
        default=None,
        description="a column of vectors (`score.embedding`), whose spread is measured",
    )
    seed: int = Field(default=0, description="decides which documents are looked at")

    def make(
        self,
        inputs: Mapping[str, Rows],
        folder: str,
        run: Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]],
    ) -> dict[str, Any]:
        del run  # a sample of bounded size
        names = [self.table] if self.against is None else [self.table, self.against]
        samples = {name: self._sample(inputs[name]) for name in names}
        n_words = min(sum(len(words) for words, _ in sample) for sample in samples.values())
        found = {name: measures(sample, n_words) for name, sample in samples.items()}
        card: dict[str, Any] = {"kind": self.stage, "n_words": n_words, "measures": found}
        fallen = {}
        if self.against is not None:
            mine, other = found[self.table], found[self.against]
            shares = {name: mine[name] / other[name] for name in mine if other.get(name)}
            card["shares"] = {name: round(share, 4) for name, share in shares.items()}
            fallen = {name: share for name, share in shares.items() if share < self.min_share}
        told = ", ".join(f"{name} {share:.2f}" for name, share in fallen.items())
        card |= {
            "diverse": not fallen,
            "collapsed": bool(fallen),
            "reason": f"of {self.against} it has only: {told}" if fallen else "as diverse",
        }
        storage.write_json(storage.join(folder, "card.json"), card)
        return card

    def _sample(self, rows: Rows) -> list[tuple[list[str], list[float] | None]]:
        """(words, vector) of documents by the order of their random numbers, to `sample_words`."""
        columns = ["text", KEY, *([self.vector] if self.vector else [])]
        held: list[tuple[int, list[str], list[float] | None]] = []
        n_held = 0
        for batch in rows.batches(columns):
            for draw, text, vector in self._rows(rows.name, batch):
                words = words_of(text)
                held.append((draw, words, vector))
                n_held += len(words)
            if n_held > 2 * self.sample_words:
                held = _first(held, self.sample_words)
                n_held = sum(len(words) for _, words, _ in held)
        held = _first(held, self.sample_words)
        if not any(words for _, words, _ in held):
            raise DataError(f"{self.called}: the table {rows.name} has no words to measure")
        return [(words, vector) for _, words, vector in held]

    def _rows(self, table: str, batch: Batch) -> Iterator[tuple[int, str, list[float] | None]]:
        for column in ("text", self.vector):
            if column is not None and column not in batch:
                raise DataError(f"{self.called}: the table {table} has no column {column!r}")
        draws = random64(batch[KEY], self.seed).tolist()
        vectors = batch[self.vector].to_pylist() if self.vector else [None] * len(draws)
        yield from zip(draws, texts(batch["text"]), vectors, strict=True)


def _first(
    held: list[tuple[int, list[str], Any]], n_words: int
) -> list[tuple[int, list[str], Any]]:
    """The first documents by random number that together have `n_words`."""
    held = sorted(held, key=lambda one: one[0])
    kept, total = [], 0
    for one in held:
        if total >= n_words:
            break
        kept.append(one)
        total += len(one[1])
    return kept


def measures(
    sample: Sequence[tuple[list[str], list[float] | None]], n_words: int
) -> dict[str, float]:
    """Each from 0 to 1, more is more diverse; of the first `n_words` words of the sample.

    `distinct_n`: distinct n-grams over n-grams. `openings`: distinct first words over documents.
    `compressed`: size after compression. `spread`: 1 minus the mean cosine of two documents' vectors.
    """
    counted: dict[int, set[int]] = {order: set() for order in ORDERS}
    totals = dict.fromkeys(ORDERS, 0)
    openings: set[tuple[str, ...]] = set()
    vectors = []
    compressor = zlib.compressobj(6)
    n_docs = n_seen = n_plain = n_packed = 0
    for words, vector in sample:
        words = words[: n_words - n_seen]  # noqa: PLW2901
        if not words:
            continue
        n_seen, n_docs = n_seen + len(words), n_docs + 1
        openings.add(tuple(words[:N_OPENING]))
        if vector is not None:
            vectors.append(vector)
        plain = (" ".join(words) + "\n").encode()
        n_plain += len(plain)
        n_packed += len(compressor.compress(plain))
        for order in ORDERS:
            totals[order] += max(0, len(words) - order + 1)
            counted[order].update(
                _hash(words[at : at + order]) for at in range(len(words) - order + 1)
            )
    n_packed += len(compressor.flush())
    found = {
        f"distinct_{order}": len(counted[order]) / totals[order]
        for order in ORDERS
        if totals[order]
    }
    found |= {"openings": len(openings) / n_docs, "compressed": min(1.0, n_packed / n_plain)}
    if len(vectors) > 1:
        found["spread"] = _spread(np.array(vectors, dtype=np.float64))
    return {name: round(value, 6) for name, value in found.items()}


def _hash(words: Sequence[str]) -> int:
    # 64 bits: two of a million n-grams share a hash with a chance of one in 10^7.
    digest = hashlib.blake2b(" ".join(words).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def _spread(vectors: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """1 - the mean cosine over all pairs, by the length of the mean of unit vectors."""
    lengths = np.linalg.norm(vectors, axis=1)
    units = vectors[lengths > 0] / lengths[lengths > 0, None]
    n = len(units)
    if n < 2:
        return 0.0
    total = float(np.square(units.sum(axis=0)).sum())
    return max(0.0, 1.0 - (total - n) / (n * (n - 1)))
