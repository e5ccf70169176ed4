"""Takes passages out of documents that occur elsewhere in the corpus word for word.

Lee et al. 2022 (arXiv 2107.06499, ExactSubstr): whatever belongs to a run of 50 tokens that occurs more
than once goes. The spans are those of their tool (google-research/deduplicate-text-datasets,
`self-similar` and `collect`: a frequency threshold of n there is `min_count: n + 1` here, with n of 0
meaning 2), but found without a suffix array: every window of `length` gets a 128-bit hash, windows
meet by hash in partitions of bounded memory, and those that occur often enough are joined to spans. A
suffix array of the corpus must be merged in one machine's memory (their C4 took 600 GB) and sorts
repeated text in quadratic time; this is linear, in any number of parts, with the same result. Before
that, one position in about twenty is asked whether it could occur again at all (`ultrakernels.windows`),
so what is shuffled is little more than the repeated text.

Deliberately different: no separators are in the sequence, so a match never counts half of one (theirs
finds a run that is up to 5 bytes short at the end of a document); a span of bytes never cuts a
character; `keep: first` leaves one copy of what they strike out everywhere.
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

from ultraclean import storage
from ultraclean.document import AT, KEY, Batch
from ultraclean.errors import DataError
from ultraclean.stage import Decision
from ultraclean.stages.dedup import kept, recurring, removal
from ultraclean.stages.dedup.recurring import Occurrences
from ultraclean.stages.dedup.removal import Cut, Ordered
from ultraclean.text import units
from ultraclean.text.buffers import utf8

if TYPE_CHECKING:
    from ultraclean.exchange import Home, Sketches

_BLOCK = 2**21
"""Windows that are hashed at once, about 40 bytes each, so that a long document needs no more memory."""


class Substring(Ordered):
    stage: ClassVar[str] = "dedup.substring"
    main: ClassVar[str | None] = "length"
    paper: ClassVar[str] = "Lee et al. 2022 (arXiv 2107.06499), ExactSubstr"
    reasons: ClassVar[tuple[str, ...]] = removal.REASONS

    length: int = Field(default=50, ge=2, description="units in a row that must be the same")
    unit: units.Unit = Field(
        default="words",
        description="words: runs of letters and digits, other characters one by one, white space makes "
        "no difference; bytes: of UTF-8 (100 bytes are about 50 of GPT-2's tokens as two bytes each); "
        "tokens: of `tokenizer`",
    )
    tokenizer: str | None = Field(default=None, description="path of a tokenizer.json, for tokens")
    min_count: int = Field(default=2, ge=2, description="occurrences from which a run is removed")
    keep: Literal["first", "none"] = Field(
        default="none", description="none: all occurrences go, as published; first: one stays"
    )

    def files(self) -> tuple[str, ...]:
        return () if self.tokenizer is None else (self.tokenizer,)

    def distributions(self) -> tuple[str, ...]:
        return ("tokenizers",) if self.unit == "tokens" else ()

    def problems(self) -> list[str]:
        if (self.unit == "tokens") != (self.tokenizer is not None):
            return ["`tokenizer` and `unit: tokens` go together"]
        if self.tokenizer is None or not storage.is_local(self.tokenizer):
            return []
        try:
            self.splitter()
        except (DataError, OSError) as error:
            return [str(error)]
        return []

    def splitter(self) -> units.Splitter:
        if self.unit != "tokens":
            return units.Bytes() if self.unit == "bytes" else units.Words()
        with storage.open_read(str(self.tokenizer)) as stream:
            content = stream.read()
        try:
            return units.Tokens(content.decode())
        except Exception as error:  # the package raises bare Exception
            raise DataError(f"{self.tokenizer}: not a tokenizer.json: {error}") from None

    def sketch(self) -> Callable[[Batch], pa.RecordBatch]:
        return functools.partial(sketch_rows, self, self.splitter())

    def resolve(self, sketches: Sketches) -> dict[str, Any]:
        inputs = sketches.in_groups(growth=32)
        n_units = recurring.total(sketches, "n_units")
        columns = [AT, KEY, "content", *kept.rank_names(self.priority)]
        read = functools.partial(
            recurring.recurring, sketches, columns=columns, inputs=inputs, by_document=False
        )
        # An anchor occurs at least as often as any window that has it.
        anchors = read(
            "anchors",
            functools.partial(anchors_of, self),
            n_pieces=n_units // 8,
            min_count=self.min_count,
        )
        explode = functools.partial(windows_of, self, anchors)
        often = read("windows", explode, n_pieces=n_units, min_count=self.min_count)
        take_out = functools.partial(removed, self, anchors, often)
        verdicts = sketches.step("removed", take_out, inputs=inputs, columns=[AT, KEY, "content"])
        sketches.verdicts("verdicts", verdicts)
        lost = sketches.collect(sketches.step("lost", count_lost, inputs=verdicts))
        return {
            "documents": sketches.n_docs,
            "units": n_units,
            "documents_cut": sum(piece.n_rows for piece in verdicts),
            "spans": 0 if lost is None else pc.sum(lost["spans"]).as_py(),
            "units_removed": 0 if lost is None else pc.sum(lost["units"]).as_py(),
        }

    def apply(
        self, card: Mapping[str, Any], verdicts: pa.Table | None
    ) -> Callable[[Batch], Decision]:
        return functools.partial(cut_rows, self, self.splitter(), verdicts)


def sketch_rows(stage: Substring, splitter: units.Splitter, batch: Batch) -> pa.RecordBatch:
    """`content`: the text, or 4 bytes per token; `n_units`; and ranks."""
    column = batch[stage.column]
    found = splitter.units(column)
    if stage.unit == "tokens":
        raw = found.ids.astype(np.uint32)
        content = pa.Array.from_buffers(
            pa.large_binary(),
            batch.num_rows,
            [None, pa.py_buffer(found.doc * 4), pa.py_buffer(raw)],
        )
    else:
        content = pc.fill_null(column.cast(pa.large_string()), "").cast(pa.large_binary())
    columns = {"content": content, "n_units": pa.array(np.diff(found.doc))}
    return pa.RecordBatch.from_pydict(columns | kept.ranks(stage.called, batch, stage.priority))


def units_of(stage: Substring, table: pa.Table) -> units.Units:
    """The units of the sketched texts."""
    content = table["content"].combine_chunks()
    if stage.unit != "tokens":
        return stage.splitter().units(content.cast(pa.large_string()))
    raw = utf8(content.cast(pa.large_binary()).view(pa.large_string()))
    first, last = int(raw.offsets[0]), int(raw.offsets[-1])
    ids = raw.data[first:last].copy().view(np.uint32).astype(np.uint64)
    return units.Units(ids, (raw.offsets - first) // 4)


Block = tuple[int, NDArray[np.uint64], NDArray[np.int64]]


def blocks(found: units.Units, length: int) -> Iterator[Block]:
    """(first window, ids, offsets of documents) of `_BLOCK` windows, with what their ends reach into."""
    for start in range(0, len(found.ids), _BLOCK):
        ids = found.ids[start : start + _BLOCK + length - 1]
        offsets = np.unique(np.clip(found.doc - start, 0, len(ids)))
        yield start, ids, offsets


def _placed(found: units.Units, at: NDArray[np.int64], hashes: NDArray[np.uint64]) -> Occurrences:
    row = np.searchsorted(found.doc, at, side="right") - 1
    return Occurrences(row, at - found.doc[row], hashes)


def anchors_of(stage: Substring, table: pa.Table) -> Occurrences:
    """Where the anchors of all windows are."""
    from ultrakernels import windows as kernel

    found = units_of(stage, table)
    places, hashes = [np.zeros(0, np.int64)], [np.zeros((0, 2), np.uint64)]
    for start, ids, offsets in blocks(found, stage.length):
        shorter, anchors = kernel.anchor_hashes(ids, offsets, stage.length)
        here = np.unique(anchors[:_BLOCK])
        here = here[here >= 0]
        places.append(here + start)
        hashes.append(np.stack([shorter[here], np.zeros(len(here), np.uint64)], axis=1))
    return _placed(found, np.concatenate(places), np.concatenate(hashes))


def windows_of(stage: Substring, anchors: Home, table: pa.Table) -> Occurrences:
    """The windows whose anchor occurs often enough."""
    from ultrakernels import windows as kernel

    found = units_of(stage, table)
    places, kept_hashes = [np.zeros(0, np.int64)], [np.zeros((0, 2), np.uint64)]
    lookup = recurring.Lookup(anchors, table)
    for start, ids, offsets in blocks(found, stage.length):
        shorter, anchor = kernel.anchor_hashes(ids, offsets, stage.length)
        there = np.flatnonzero(anchor[:_BLOCK] >= 0)
        distinct, inverse = np.unique(anchor[there], return_inverse=True)
        asked = np.stack([shorter[distinct], np.zeros(len(distinct), np.uint64)], axis=1)
        often = there[(lookup.locate(asked) >= 0)[inverse]]
        if len(often):
            hashes, _ = kernel.windows(ids, offsets, stage.length)
            places.append(often + start)
            kept_hashes.append(hashes[often])
    return _placed(found, np.concatenate(places), np.concatenate(kept_hashes))


def removed(stage: Substring, anchors: Home, often: Home, table: pa.Table) -> pa.Table:
    """(`_at`, `first`, `end`, `same_as`): the spans of units that go, of the documents that lose some."""
    explode = functools.partial(windows_of, stage, anchors)
    judged = recurring.judge(explode, often, stage.keep == "first", table)
    row, place = judged.row, judged.place
    new = np.ones(len(row), dtype=bool)
    new[1:] = (row[1:] != row[:-1]) | (place[1:] > place[:-1] + stage.length)
    starts = np.flatnonzero(new)
    ends = np.append(starts[1:], len(row)) - 1 if len(row) else starts
    rows, first = recurring.lists(row[starts], place[starts], pa.int64())
    _, end = recurring.lists(row[starts], place[ends] + stage.length, pa.int64())
    key = table[KEY].combine_chunks().take(pa.array(row, pa.int64()))
    other = pc.if_else(pc.equal(key, judged.best_key), pa.scalar(None, key.type), judged.best_key)
    same_as = other.take(pa.array(np.unique(row, return_index=True)[1], pa.int64()))
    at = table[AT].combine_chunks().take(pa.array(rows, pa.int64()))
    return pa.table({AT: at, "first": first, "end": end, "same_as": same_as})


def count_lost(table: pa.Table) -> pa.Table:
    first, end = (pc.list_flatten(table[name].combine_chunks()) for name in ("first", "end"))
    n_units = pc.sum(pc.subtract(end, first)).as_py() or 0
    return pa.table({"spans": pa.array([len(first)]), "units": pa.array([n_units], pa.int64())})


def cut_rows(
    stage: Substring, splitter: units.Splitter, verdicts: pa.Table | None, batch: Batch
) -> Decision:
    from ultrakernels import order

    cuts: dict[int, Cut] = {}
    numbers = {"n_spans": np.zeros(batch.num_rows)}
    if verdicts is not None and verdicts.num_rows:
        where = order.locate(verdicts[AT].to_numpy(), batch[AT].to_numpy())
        rows = np.flatnonzero(where >= 0)
        mine = verdicts.take(pa.array(where[rows])).select(["first", "end", "same_as"]).to_pylist()
        column = batch[stage.column].take(pa.array(rows)).to_pylist()
        for row, text, verdict in zip(rows.tolist(), column, mine, strict=True):
            runs = list(zip(verdict["first"], verdict["end"], strict=True))
            spans = splitter.spans(text, runs)
            if spans:
                cuts[row] = Cut(_without(text, spans), spans, verdict["same_as"])
                numbers["n_spans"][row] = len(spans)
    return removal.decided(stage, batch, cuts, numbers)


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    at = 0
    parts = []
    for start, stop in spans:
        parts.append(text[at:start])
        at = max(at, stop)
    left = "".join([*parts, text[at:]])
    return left.rstrip() if at >= len(text) else left
