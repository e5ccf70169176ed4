"""What the sinks share: the columns that users get, and rows regrouped by their own sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa

from ultraclean.document import AT, ERROR, PATH, POSITION, Batch
from ultraclean.rowgroups import Regrouper

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
    regrouper: Regrouper | None = None
    n_groups = 0
    for batch in batches:
        regrouper = regrouper or Regrouper(batch.schema, max_rows, max_bytes)
        for group in regrouper.add(_as_schema(batch, regrouper.schema)):
            yield group
            n_groups += 1
    if regrouper is not None:
        yield from regrouper.rest()
        if not n_groups and not regrouper.n_rows:
            yield regrouper.schema.empty_table()


def _as_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if batch.schema.equals(schema):
        return batch
    arrays = [batch.column(field.name).cast(field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
