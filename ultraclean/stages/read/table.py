"""Reads the rows of other tables of the pipeline; of several, their union.

Rows keep their `_key`. A union has the columns that all its tables share, and `_source`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from ultraclean import storage
from ultraclean.document import SOURCE, Batch
from ultraclean.inputs import Input, Shard
from ultraclean.stage import Source, TableRef


class Table(Source):
    """The rows of one table, or the union of several."""

    stage: ClassVar[str] = "read.table"
    main: ClassVar[str | None] = "tables"

    tables: Annotated[str | tuple[str, ...], TableRef()] = Field(
        description="a table of this pipeline, or a list of them"
    )

    def inputs(self) -> list[Input]:
        return []  # the engine gives the shards of the tables

    def read(self, shard: Shard) -> Iterator[Batch]:
        for part in shard.parts:
            with storage.open_read(part.path) as stream, pq.ParquetFile(stream) as file:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group, use_threads=False)
                    for data in table.replace_schema_metadata(None).to_batches(4096):
                        yield self._sourced(Batch(data), part.relative)

    def _sourced(self, batch: Batch, table: str) -> Batch:
        if isinstance(self.tables, str) or len(self.tables) == 1:
            return batch
        return batch.with_columns({SOURCE: pa.array([table] * batch.num_rows, pa.string())})
