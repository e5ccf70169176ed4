"""Writes Parquet: zstd, row groups of fixed rows and bytes.

The same rows give the same bytes, however they were batched: rows are regrouped by their own sizes
before they reach the writer, and the schema carries no metadata. `_key` stays, so that a row can be
found again; the columns that say where a row was in this run do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from ultraclean import storage
from ultraclean.document import Batch
from ultraclean.stage import Sink, Written
from ultraclean.stages.write.rows import row_groups, selected


class Parquet(Sink):
    """Parquet files for users."""

    stage: ClassVar[str] = "write.parquet"

    columns: tuple[str, ...] | None = Field(
        default=None, description="columns to write, in this order; by default all but our own"
    )
    row_group_rows: int = Field(default=65536, ge=1, description="most rows of a row group")
    row_group_bytes: int = Field(
        default=64 * 2**20, ge=1, description="a row group ends with the row that reaches this size"
    )
    level: int = Field(default=3, ge=1, le=22, description="zstd level")

    @property
    def extension(self) -> str:
        return ".parquet"

    def needs(self) -> tuple[str, ...]:
        return self.columns or ()

    def write(self, path: str, batches: Iterator[Batch]) -> Written:
        n_docs = 0
        with storage.atomic_write(path) as stream:
            writer: Any = None
            chosen = (selected(batch, self.columns) for batch in batches)
            for group in row_groups(chosen, self.row_group_rows, self.row_group_bytes):
                if writer is None:
                    writer = self._writer(stream, group.schema)
                writer.write_table(group, row_group_size=max(1, group.num_rows))
                n_docs += group.num_rows
            if writer is None:
                writer = self._writer(stream, pa.schema([]))
            writer.close()
            n_bytes = stream.tell()
        return Written(path, n_docs, n_bytes)

    def _writer(self, stream: IO[bytes], schema: pa.Schema) -> Any:
        return pq.ParquetWriter(
            stream,
            schema,
            compression="zstd",
            compression_level=self.level,
            store_schema=False,
            version="2.6",
        )
