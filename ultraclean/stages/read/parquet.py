"""Reads Parquet by row groups, and of each only the columns that are needed.

Types may drift between files: every file is brought to the declared types by itself. Text may be
string, large_string, string_view, dictionary or binary. Arrow does not check UTF-8 when it reads,
so this does. A row group that cannot be decoded is one counted row, and the next ones are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from ultraclean import storage
from ultraclean.document import Batch
from ultraclean.inputs import Input, Part, Shard
from ultraclean.stages.read.columns import BATCH_BYTES, BATCH_ROWS
from ultraclean.stages.read.tabular import Tabular, bounded


class Parquet(Tabular):
    """Parquet files. `_position` is the row's index in its file; parts are row-group indices."""

    stage: ClassVar[str] = "read.parquet"
    main: ClassVar[str | None] = "path"
    paper: ClassVar[str] = "parquet.apache.org"

    def split(self, found: Input, shard_bytes: int) -> list[Part]:
        """Runs of row groups of about `shard_bytes`: `start` and `stop` count row groups."""
        whole = [Part(found.path, found.relative, found.size, found.stamp)]
        if found.size <= shard_bytes:
            return whole
        try:
            with storage.open_read(found.path) as stream:
                metadata = pq.read_metadata(stream)
                sizes = [_n_bytes(metadata, index) for index in range(metadata.num_row_groups)]
        except (OSError, pa.ArrowException):
            return whole  # reading it explains what is wrong
        cuts, held = [0], 0
        for index, size in enumerate(sizes):
            if held and held + size > shard_bytes:
                cuts.append(index)
                held = 0
            held += size
        ends: list[int | None] = [*cuts[1:], None]
        return [
            Part(found.path, found.relative, found.size, found.stamp, start, stop)
            for start, stop in zip(cuts, ends, strict=True)
        ]

    def read(self, shard: Shard) -> Iterator[Batch]:
        for part in shard.parts:
            if part.size == 0:
                continue
            with storage.open_read(part.path) as stream:
                try:
                    # without pre-buffering, memory is bounded by pages and not by row groups
                    file = pq.ParquetFile(
                        stream,
                        pre_buffer=False,
                        buffer_size=2**20,
                        page_checksum_verification=True,
                    )
                except (OSError, pa.ArrowException) as error:
                    if part.start == 0:
                        yield from self.failed(part, 0, f"no readable Parquet file ({error})")
                    continue
                yield from self._row_groups(file, part)

    def _row_groups(self, file: pq.ParquetFile, part: Part) -> Iterator[Batch]:
        metadata = file.metadata
        n_groups = metadata.num_row_groups
        n_rows = [metadata.row_group(index).num_rows for index in range(n_groups)]
        columns = self._columns(file.schema_arrow.names)
        for index in range(part.start, n_groups if part.stop is None else part.stop):
            first = sum(n_rows[:index])
            position = first
            average = metadata.row_group(index).total_byte_size // max(1, n_rows[index])
            size = max(1, min(BATCH_ROWS, BATCH_BYTES // max(1, average)))
            try:
                for data in file.iter_batches(size, [index], columns):
                    for piece in bounded(data):
                        yield self.batch(part.relative, position, piece)
                        position += piece.num_rows
            except (OSError, pa.ArrowException) as error:
                rows = f"rows {position:,} to {first + n_rows[index] - 1:,}"
                message = f"row group {index}, {rows}: {error}"
                yield from self.failed(part, position, message)

    def _columns(self, names: list[str]) -> list[str]:
        """The top-level columns to read, in the file's order."""
        if self.metadata:
            return names
        wanted = self.top_fields()
        return [name for name in names if name in wanted]


def _n_bytes(metadata: pq.FileMetaData, index: int) -> int:
    group = metadata.row_group(index)
    columns = (group.column(column) for column in range(group.num_columns))
    return sum(column.total_compressed_size for column in columns)
