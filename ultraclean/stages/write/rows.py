"""What the sinks share: the columns that users get, and rows regrouped by their own sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ultraclean.document import AT, ERROR, PATH, POSITION, Batch

PRIVATE: Final = frozenset({AT, PATH, POSITION, ERROR})
"""Columns that say where a row was in one run; `_key`, its identity, is written."""


def selected(batch: Batch, columns: Sequence[str] | None) -> pa.RecordBatch:
    """The columns to write, without schema metadata."""
    names = list(columns) if columns else [name for name in batch.names if name not in PRIVATE]
    return batch.data.select(names).replace_schema_metadata(None)


def row_groups(
    batches: Iterator[pa.RecordBatch], max_rows: int, max_bytes: int
) -> Iterator[pa.Table]:
    """Tables of one chunk whose ends depend on the rows alone, not on how they were batched.

    Batches without rows give the schema. Later batches are cast to the schema of the first.
    """
    schema: pa.Schema | None = None
    held: list[pa.RecordBatch] = []
    n_rows, n_bytes, n_groups = 0, 0, 0
    for batch in batches:
        schema = schema or batch.schema
        batch = _as_schema(batch, schema)  # noqa: PLW2901
        sizes = np.concatenate([[0], np.cumsum(row_bytes(batch))])
        start = 0
        while start < batch.num_rows:
            # the first row at which the group is full, by rows or by bytes
            by_bytes = int(np.searchsorted(sizes, sizes[start] + max_bytes - n_bytes))
            stop = min(start + max_rows - n_rows, max(by_bytes, start + 1))
            full = stop <= batch.num_rows
            stop = min(stop, batch.num_rows)
            held.append(batch.slice(start, stop - start))
            n_rows += stop - start
            n_bytes += int(sizes[stop] - sizes[start])
            start = stop
            if full:
                yield pa.Table.from_batches(held, schema).combine_chunks()
                held, n_rows, n_bytes = [], 0, 0
                n_groups += 1
    if schema is not None and (held or n_groups == 0):
        yield pa.Table.from_batches(held, schema).combine_chunks()


def row_bytes(batch: pa.RecordBatch) -> NDArray[np.int64]:
    """About the bytes of each row, int64[n_rows]; a function of the row's values alone."""
    total = np.zeros(batch.num_rows, dtype=np.int64)
    for column in batch.columns:
        kind = column.type
        lengths = None
        if pa.types.is_large_list(kind) or pa.types.is_list(kind):
            lengths = pc.multiply(pc.list_value_length(column), 16)
        elif any(
            check(kind)
            for check in (
                pa.types.is_string,
                pa.types.is_binary,
                pa.types.is_large_string,
                pa.types.is_large_binary,
            )
        ):
            lengths = pc.binary_length(column)
        if lengths is None:
            total += 8
        else:
            known = pc.fill_null(pc.cast(lengths, pa.int64()), 0)
            total += np.asarray(known.to_numpy(zero_copy_only=False), dtype=np.int64)
    return total


def _as_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if batch.schema.equals(schema):
        return batch
    arrays = [batch.column(field.name).cast(field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
