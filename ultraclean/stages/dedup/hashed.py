"""Documents whose contents have the same 128-bit hash.

Not a stage: what `dedup.exact` and `dedup.url` share. The hash is BLAKE2b, 16 bytes; an empty content
has none, so a thousand documents whose text or address is missing are no copies of each other.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ultraclean.document import AT, KEY, Batch
from ultraclean.stages.dedup import kept
from ultraclean.text.buffers import utf8

if TYPE_CHECKING:
    from ultraclean.exchange import Sketches


def sketcher(
    label: str, column: str, contents: Callable[[pa.Array], pa.Array], priority: Sequence[str]
) -> Callable[[Batch], pa.RecordBatch]:
    """Sketches with `hash` binary[16] of `contents(column)`, null where it is empty, and ranks."""
    return functools.partial(_sketch, label, column, contents, tuple(priority))


def _sketch(
    label: str,
    column: str,
    contents: Callable[[pa.Array], pa.Array],
    priority: tuple[str, ...],
    batch: Batch,
) -> pa.RecordBatch:
    columns = {"hash": hashes(contents(batch[column]))}
    return pa.RecordBatch.from_pydict(columns | kept.ranks(label, batch, priority))


def hashes(column: pa.Array) -> pa.Array:
    """binary[16] per row, null where the text is null or empty."""
    text = utf8(column)
    content = memoryview(text.data.data)
    found = [
        hashlib.blake2b(content[start:stop], digest_size=16).digest() if stop > start else None
        for start, stop in zip(text.offsets[:-1].tolist(), text.offsets[1:].tolist(), strict=True)
    ]
    return pa.array(found, pa.binary(16))


def resolve(
    label: str, sketches: Sketches, priority: Sequence[str], max_cluster: int | None
) -> dict[str, Any]:
    """Leaves a verdict for every member of a group; returns the card."""
    columns = [AT, KEY, "hash", *kept.rank_names(priority)]
    card = kept.elect(sketches, by_hash, columns, bytes_per_row=128)
    counted = sketches.collect(sketches.step("empty", count_empty, columns=["hash"]))
    card["empty"] = 0 if counted is None else pc.sum(counted["n"]).as_py()
    return {**card, "alarms": kept.alarms(label, card, max_cluster)}


def by_hash(table: pa.Table) -> pa.Table:
    """The rows that have a content, grouped by its hash."""
    rows = table.filter(pc.is_valid(table["hash"]))
    halves = kept.byte_rows(rows["hash"]).view(np.uint64).reshape(-1, 2)
    for i, name in enumerate(kept.GROUP):
        rows = rows.append_column(name, pa.array(np.ascontiguousarray(halves[:, i])))
    return rows.drop_columns(["hash"])


def count_empty(table: pa.Table) -> pa.Table:
    return pa.table({"n": pa.array([table["hash"].null_count], pa.int64())})
