"""Removes exact copies: documents whose column has the same 128-bit hash.

The hash is BLAKE2b, 16 bytes, of the UTF-8 text, after `normalise`. Unlike datatrove's exact
deduplication (one task sorts a bucket of 64-bit hashes, the first read document is kept) the kept
copy is chosen by stated columns, each removed copy points to it, and an empty text is kept: a
thousand documents whose text is missing are not copies of each other.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from ultraclean.document import AT, KEY, Batch
from ultraclean.stage import Barrier, Decision
from ultraclean.stages.dedup import kept

if TYPE_CHECKING:
    from ultraclean.exchange import Sketches


class Exact(Barrier):
    stage: ClassVar[str] = "dedup.exact"
    paper: ClassVar[str] = "BLAKE2b of the content; compare datatrove's ExactDedup"
    reasons: ClassVar[tuple[str, ...]] = ("exact_duplicate",)

    column: str = Field(default="text", description="what two copies have in common")
    normalise: Literal["none", "lower_space"] = Field(
        default="none",
        description="lower_space: lower case, each run of white space one space, none at the ends",
    )
    priority: tuple[str, ...] = Field(
        default=(),
        description="columns (numbers, dates) whose highest value marks the kept copy; then the lowest key",
    )
    max_cluster: int | None = Field(
        default=None, ge=2, description="a cluster with more documents raises an alarm"
    )

    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.column, *self.priority)))

    def sketch(self) -> Callable[[Batch], pa.RecordBatch]:
        return functools.partial(sketch_rows, self)

    def resolve(self, sketches: Sketches) -> dict[str, Any]:
        columns = [AT, KEY, "hash", *kept.rank_names(self.priority)]
        card = kept.elect(sketches, by_hash, columns, bytes_per_row=128)
        counted = sketches.collect(sketches.step("empty", count_empty, columns=["hash"]))
        card["empty"] = 0 if counted is None else pc.sum(counted["n"]).as_py()
        return {**card, "alarms": kept.alarms(self.called, card, self.max_cluster)}

    def apply(
        self, card: Mapping[str, Any], verdicts: pa.Table | None
    ) -> Callable[[Batch], Decision]:
        return kept.decisions(self.reasons[0], verdicts)


def sketch_rows(stage: Exact, batch: Batch) -> pa.RecordBatch:
    """`hash` binary[16], null where there is no text, and a rank per priority column."""
    from ultrakernels.shingles import text_buffers

    column = batch[stage.column]
    if stage.normalise == "lower_space":
        spaced = pc.replace_substring_regex(pc.utf8_lower(column), r"[\s\p{Z}\x{85}]+", " ")
        column = pc.utf8_trim_whitespace(spaced)
    offsets, data = text_buffers(column)
    content = memoryview(data.data)
    hashes = [
        hashlib.blake2b(content[start:stop], digest_size=16).digest() if stop > start else None
        for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    ]
    columns = {"hash": pa.array(hashes, pa.binary(16))}
    return pa.RecordBatch.from_pydict(columns | kept.ranks(stage.called, batch, stage.priority))


def by_hash(table: pa.Table) -> pa.Table:
    """The rows that have a text, grouped by its hash."""
    rows = table.filter(pc.is_valid(table["hash"]))
    halves = kept.byte_rows(rows["hash"]).view(np.uint64).reshape(-1, 2)
    for i, name in enumerate(kept.GROUP):
        rows = rows.append_column(name, pa.array(np.ascontiguousarray(halves[:, i])))
    return rows.drop_columns(["hash"])


def count_empty(table: pa.Table) -> pa.Table:
    return pa.table({"n": pa.array([table["hash"].null_count], pa.int64())})
