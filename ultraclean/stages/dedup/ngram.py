"""Removes paragraphs or documents most of whose n-grams were read before, in one pass.

DCLM's Bloom filter deduplication (Li et al. 2024, arXiv 2406.11794, appendix; its `bff`, after AI2's):
`remove: old_both` is the mode of the paper, `paragraph` and `document` are its others, `ngram: null`
compares whole paragraphs as dolma does. Documents are judged in the order in which they are read, and only
what stays is remembered; so the pass is one task per stream, and `streams` (DCLM's `total-shards`) are
independent of each other. No pointers to what was read before: use `dedup.repeats`, `dedup.substring` or
`dedup.minhash` for these. Deliberately different: the order is fixed, where theirs is that of threads;
the filter's size follows from the n-grams that are there, `exact` keeps them all, and the false-positive
rate that the filter ended with is in the record.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from ultraclean.document import AT, Batch, texts
from ultraclean.errors import MissingExtra
from ultraclean.stage import Decision, at_most
from ultraclean.stages.dedup import recurring, removal
from ultraclean.stages.dedup.removal import Cut, Removal
from ultraclean.text import pieces, units
from ultraclean.text.buffers import utf8

if TYPE_CHECKING:
    from ultraclean.exchange import Sketches


class Ngram(Removal):
    stage: ClassVar[str] = "dedup.ngram"
    paper: ClassVar[str] = "DCLM (arXiv 2406.11794) and its bff; dolma (arXiv 2402.00159)"
    reasons: ClassVar[tuple[str, ...]] = (*removal.REASONS, "mostly_seen")

    ngram: int | None = Field(
        default=13,
        ge=2,
        le=100,
        description="words in an n-gram; null: a whole paragraph or document",
    )
    min_ngram: int | None = Field(
        default=None,
        ge=1,
        description="words from which something shorter than an n-gram is compared whole; none: never",
    )
    threshold: float = Field(
        default=0.8, ge=0, lt=1, description="goes if more than this share of its n-grams was seen"
    )
    remove: Literal["old_both", "paragraph", "document"] = Field(
        default="old_both",
        description="what is judged; old_both: paragraphs, and a document by those of all its paragraphs",
    )
    words: Literal["units", "unicode"] = Field(
        default="units",
        description="units: letters and digits, other characters one by one; unicode: the word bounds "
        "of UAX 29, as bff has them, which needs the package regex",
    )
    filter: Literal["bloom", "exact"] = Field(
        default="bloom",
        description="exact: no false positives, 16 to 32 bytes of memory per n-gram",
    )
    fp_rate: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="largest share of new n-grams that the filter may know",
    )
    streams: int = Field(
        default=1, ge=1, description="parts that are judged by themselves, each by one task"
    )

    def missing_extras(self) -> list[MissingExtra]:
        import importlib.util

        if self.words == "units" or importlib.util.find_spec("regex"):
            return []
        return [MissingExtra(self.stage, "regex", "pip install regex")]

    def distributions(self) -> tuple[str, ...]:
        return ("regex",) if self.words == "unicode" else ()

    def sketch(self) -> Callable[[Batch], pa.RecordBatch]:
        return functools.partial(sketch_rows, self)

    def resolve(self, sketches: Sketches) -> dict[str, Any]:
        from ultrakernels import bff

        n_grams = recurring.total(sketches, "n_grams")
        size = bff.bloom_size(-(-n_grams // self.streams), self.fp_rate)
        judged = sketches.step(
            "stream",
            functools.partial(judge, self, size),
            inputs=sketches.in_streams(self.streams),
            columns=[AT, "grams", "sizes"],
            streamed=True,
        )
        sketches.verdicts("verdicts", judged)
        told = sketches.collect(sketches.step("rates", rates, inputs=judged))
        rate = 0.0 if told is None else pc.max(told["rate"]).as_py()
        alarms = []
        if self.filter == "bloom" and rate > 2 * self.fp_rate:
            alarms = [f"{self.called}: the filter ended with a false-positive rate of {rate:.3g}"]
        return {
            "documents": sketches.n_docs,
            "n_grams": n_grams,
            "seen": 0 if told is None else pc.sum(told["seen"]).as_py(),
            "false_positive_rate": rate if self.filter == "bloom" else 0.0,
            "filter_bytes": 8 * size[0] if self.filter == "bloom" else None,
            "alarms": alarms,
        }

    def apply(
        self, card: Mapping[str, Any], verdicts: pa.Table | None
    ) -> Callable[[Batch], Decision]:
        return functools.partial(cut_rows, self, verdicts)


# --- n-grams ----------------------------------------------------------------------------------------


def parts_of(stage: Ngram, column: pa.Array) -> tuple[NDArray[np.int64], pa.Array]:
    """(parts per document int64[n_docs], all parts): lines, or the documents themselves."""
    if stage.remove == "document":
        return np.ones(len(column), dtype=np.int64), pa.array(texts(column), pa.large_string())
    found = pieces.cut(column, "line")
    return found.counts, found.strings


def grams_of(stage: Ngram, parts: pa.Array) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """(hashes uint64[n], bounds int64[n_parts + 1]) of the n-grams of each part."""
    from ultrakernels import windows as kernel
    from ultrakernels.span_hashes import span_hashes

    if stage.ngram is None:
        text = utf8(pc.utf8_trim_whitespace(parts))
        full = np.diff(text.offsets) > 0
        hashes = span_hashes(text.data, text.offsets[:-1], text.offsets[1:])[:, 0]
        return hashes[full], np.append(0, np.cumsum(full)).astype(np.int64)
    found = _unicode(parts) if stage.words == "unicode" else units.Words().units(parts)
    counts = np.diff(found.doc)
    bounds = np.append(0, np.cumsum(np.maximum(counts - stage.ngram + 1, 0)))
    hashes, anchors = kernel.windows(found.ids, found.doc, stage.ngram)
    grams = [hashes[anchors >= 0, 0]]
    owners = [np.repeat(np.arange(len(counts)), np.diff(bounds))]
    for size in range(stage.min_ngram or stage.ngram, stage.ngram):
        rows = np.flatnonzero(counts == size)
        if len(rows):
            ids = found.ids[(found.doc[rows][:, None] + np.arange(size)).ravel()]
            every = np.arange(0, len(ids) + 1, size)
            grams.append(_short(ids, every, size))
            owners.append(rows)
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    n_grams = np.bincount(owner, minlength=len(counts))
    return np.concatenate(grams)[order], np.append(0, np.cumsum(n_grams)).astype(np.int64)


def _short(ids: NDArray[np.uint64], bounds: NDArray[np.int64], size: int) -> NDArray[np.uint64]:
    from ultrakernels.span_hashes import run_hashes

    return run_hashes(np.stack([ids, ids], axis=1), bounds, size)[::size, 0]


def _unicode(parts: pa.Array) -> units.Units:
    import regex  # type: ignore[import-untyped]
    from ultrakernels.span_hashes import span_hashes

    bounds = regex.compile(r"(?wV1)\b")
    found = [[word for word in bounds.split(part) if word.strip()] for part in texts(parts)]
    words = utf8(pa.array([word for some in found for word in some], pa.large_string()))
    hashes = span_hashes(words.data, words.offsets[:-1], words.offsets[1:])[:, 0]
    doc = np.cumsum([0, *map(len, found)]).astype(np.int64)
    return units.Units(np.ascontiguousarray(hashes), doc)


# --- sketches and the pass ----------------------------------------------------------------------------


def sketch_rows(stage: Ngram, batch: Batch) -> pa.RecordBatch:
    """`grams`: 8 bytes per n-gram; `sizes`: 4 bytes per part, its number of n-grams; `n_grams`."""
    n_parts, parts = parts_of(stage, batch[stage.column])
    grams, bounds = grams_of(stage, parts)
    first = np.append(0, np.cumsum(n_parts))
    return pa.RecordBatch.from_pydict(
        {
            "grams": _blob(np.ascontiguousarray(grams), bounds[first] * 8),
            "sizes": _blob(np.diff(bounds).astype(np.int32), first * 4),
            "n_grams": pa.array(np.diff(bounds[first])),
        }
    )


def _blob(values: NDArray[Any], offsets: NDArray[np.int64]) -> pa.Array:
    buffers = [None, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


def _values(column: pa.ChunkedArray, kind: Any) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """(all values, how many of them each row has) of a column of blobs."""
    array = column.combine_chunks()
    content = b"".join(array.to_pylist())
    width = np.dtype(kind).itemsize
    return np.frombuffer(content, kind), pc.binary_length(array).to_numpy() // width


def judge(stage: Ngram, size: tuple[int, int], tables: Iterator[pa.Table]) -> pa.Table:
    """One stream: (`_at`, places of parts that go, n-grams seen and all) of documents with any seen."""
    from ultrakernels import bff

    n_words, n_functions = size
    exact = bff.Exactly() if stage.filter == "exact" else None
    words = np.zeros(n_words if exact is None else 0, dtype=np.uint64)
    made: list[pa.Table] = []
    for table in tables:
        grams, _ = _values(table["grams"], np.uint64)
        sizes, n_parts = _values(table["sizes"], np.int32)
        bounds = np.append(0, np.cumsum(sizes, dtype=np.int64))
        if exact is not None:
            gone, seen = exact.judge(grams, bounds, stage.threshold)
        else:
            gone, seen = bff.judge_bloom(grams, bounds, words, n_functions, stage.threshold)
        row = np.repeat(np.arange(table.num_rows), n_parts)
        first = np.append(0, np.cumsum(n_parts))
        n_seen = np.bincount(row, seen, table.num_rows).astype(np.int64)
        n_all = np.bincount(row, sizes, table.num_rows).astype(np.int64)
        parts = np.flatnonzero(gone)
        n_gone = np.bincount(row[parts], minlength=table.num_rows)
        places = pa.LargeListArray.from_arrays(
            pa.array(np.append(0, np.cumsum(n_gone)), pa.int64()),
            pa.array(parts - first[row[parts]], pa.int64()),
        )
        told = {AT: table[AT], "places": places, "seen": n_seen, "all": n_all}
        any_seen = n_seen > 0
        any_seen[0] |= not made  # so that every stream tells its rate
        made.append(pa.table(told).filter(pa.array(any_seen)))
    rate = 0.0
    if exact is None and len(words):
        set_bits = _bits(words)
        rate = float((set_bits / (64 * len(words))) ** n_functions)
    result = pa.concat_tables(made)
    return result.append_column("rate", pa.array(np.full(result.num_rows, rate)))


def _bits(words: NDArray[np.uint64]) -> int:
    step = 2**20
    return sum(
        int(np.bitwise_count(words[start : start + step]).sum())
        for start in range(0, len(words), step)
    )


def rates(table: pa.Table) -> pa.Table:
    rate = pc.max(table["rate"]).as_py() or 0.0
    seen = pc.sum(table["seen"]).as_py() or 0
    return pa.table({"rate": pa.array([rate], pa.float64()), "seen": pa.array([seen], pa.int64())})


def cut_rows(stage: Ngram, verdicts: pa.Table | None, batch: Batch) -> Decision:
    from ultrakernels import order

    column = batch[stage.column]
    cuts: dict[int, Cut] = {}
    share = np.zeros(batch.num_rows)
    removed = np.zeros(batch.num_rows)
    if verdicts is not None and verdicts.num_rows:
        where = order.locate(verdicts[AT].to_numpy(), batch[AT].to_numpy())
        rows = np.flatnonzero(where >= 0)
        mine = verdicts.take(pa.array(where[rows]))
        share[rows] = mine["seen"].to_numpy() / np.maximum(mine["all"].to_numpy(), 1)
        some = column.take(pa.array(rows))
        found = pieces.cut(some, "line")
        for i, places in enumerate(mine["places"].to_pylist()):
            row = int(rows[i])
            whole = stage.remove == "document" or (
                stage.remove == "old_both" and share[row] > stage.threshold
            )
            if places and stage.remove != "document":
                cuts[row] = Cut(*found.without(i, places))
                removed[row] = len(places)
            if whole and row not in cuts and share[row] > stage.threshold:
                cuts[row] = Cut(some[i].as_py(), [])
    numbers = {"seen_fraction": share, "n_removed": removed}
    limit = None if stage.remove == "paragraph" else stage.threshold
    more = [at_most("mostly_seen", "seen_fraction", limit)]
    return removal.decided(stage, batch, cuts, numbers, more)
