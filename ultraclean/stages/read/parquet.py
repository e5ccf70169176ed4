"""Reads Parquet by row groups, and of each only the columns that are needed.

Types may drift between files: every file is brought to the declared types by itself. Text may be
string, large_string, string_view, dictionary or binary. Arrow does not check UTF-8 when it reads,
so this does. A row group that cannot be decoded is one counted row, and the next ones are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ultraclean import storage
from ultraclean.document import ERROR, PATH, POSITION, Batch
from ultraclean.inputs import Input, Part, Shard
from ultraclean.stages.read.columns import (
    BATCH_BYTES,
    BATCH_ROWS,
    TYPES,
    BadValueError,
    Files,
    Rows,
    columns_of,
    metadata_of,
)


class Parquet(Files):
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
                        yield from self._failed(part, 0, f"no readable Parquet file ({error})")
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
                    for piece in _bounded(data):
                        yield self._batch(part.relative, position, piece)
                        position += piece.num_rows
            except (OSError, pa.ArrowException) as error:
                rows = f"rows {position:,} to {first + n_rows[index] - 1:,}"
                message = f"row group {index}, {rows}: {error}"
                yield from self._failed(part, position, message)

    def _columns(self, names: list[str]) -> list[str]:
        """The top-level columns to read, in the file's order."""
        if self.metadata:
            return names
        wanted = {self.text, self.id, self.url, *self.columns}
        wanted |= {name.split(".")[0] for name in wanted}
        return [name for name in names if name in wanted]

    def _failed(self, part: Part, position: int, message: str) -> Iterator[Batch]:
        rows = Rows(self.adds())
        rows.relative = part.relative
        rows.error(position, f"CorruptFile: {message}")
        yield from rows.take()

    def _batch(self, relative: str, position: int, data: pa.RecordBatch) -> Batch:
        return self._quick(relative, position, data) or self._slow(relative, position, data)

    def _quick(self, relative: str, position: int, data: pa.RecordBatch) -> Batch | None:
        """Whole columns at once; None where some row needs a closer look."""
        n_docs = data.num_rows
        arrays: dict[str, pa.Array] = {}
        sources = {"id": self.id, "text": self.text, "url": self.url}
        wanted = {ours: (theirs, pa.string()) for ours, theirs in sources.items()}
        wanted |= {name: (name, TYPES[kind]) for name, kind in self.columns.items()}
        for ours, (theirs, kind) in wanted.items():
            if theirs not in data.schema.names:
                if "." in theirs or ours == "text":
                    return None
                arrays[ours] = pa.nulls(n_docs, kind)
                continue
            array = _plain(data.column(theirs))
            if ours == "text" and (array.null_count or not _is_text(array.type)):
                return None
            if not (array.type == kind or (kind == pa.string() and _is_simple(array.type))):
                return None
            try:
                arrays[ours] = array.cast(kind)
                arrays[ours].validate(full=True)
            except pa.ArrowException:
                return None
        if arrays["id"].null_count:
            made_up = [f"{relative}#{position + index}" for index in range(n_docs)]
            arrays["id"] = pa.array(
                [own or made for own, made in zip(arrays["id"].to_pylist(), made_up, strict=True)]
                if arrays["id"].null_count < n_docs
                else made_up,
                pa.string(),
            )
        if self.metadata:
            rest = [
                name for name in data.schema.names if name not in {t for t, _ in wanted.values()}
            ]
            try:
                rows = data.select(rest).to_pylist() if rest else [{}] * n_docs
            except UnicodeDecodeError:
                return None
            arrays["metadata"] = pa.array([metadata_of(row) for row in rows], pa.string())
        arrays[PATH] = pa.array([relative] * n_docs, pa.string())
        arrays[POSITION] = pa.array(np.arange(position, position + n_docs, dtype=np.int64))
        arrays[ERROR] = pa.nulls(n_docs, pa.string())
        return Batch(pa.RecordBatch.from_pydict(arrays))

    def _slow(self, relative: str, position: int, data: pa.RecordBatch) -> Batch:
        """Row by row, so that each bad value is a row of its own."""
        rows = Rows(self.adds())
        rows.relative = relative
        columns = {
            name: _values(column)
            for name, column in zip(data.schema.names, data.columns, strict=True)
        }
        for index in range(data.num_rows):
            fields = {name: values[index] for name, values in columns.items()}
            given = fields.get(self.id)
            try:
                for name, value in fields.items():
                    if isinstance(value, UnicodeDecodeError):
                        raise BadValueError(
                            f"InvalidUtf8: byte 0x{value.object[value.start]:02x} at byte "
                            f"{value.start} of the field {name!r}"
                        )
                rows.add(position + index, 0, columns_of(fields, self))
            except BadValueError as error:
                rows.error(position + index, str(error), given if isinstance(given, str) else None)
        return next(rows.take())


def _n_bytes(metadata: pq.FileMetaData, index: int) -> int:
    group = metadata.row_group(index)
    columns = (group.column(column) for column in range(group.num_columns))
    return sum(column.total_compressed_size for column in columns)


def _bounded(data: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Halves of a batch that is larger than the row group's average promised."""
    if data.num_rows > 1 and data.nbytes > 2 * BATCH_BYTES:
        half = data.num_rows // 2
        yield from _bounded(data.slice(0, half))
        yield from _bounded(data.slice(half))
    elif data.num_rows:
        yield data


def _plain(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _is_text(kind: pa.DataType) -> bool:
    checks = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
    )
    return any(check(kind) for check in checks)


def _is_simple(kind: pa.DataType) -> bool:
    return _is_text(kind) or bool(pa.types.is_integer(kind))


def _values(array: pa.Array) -> list[Any]:
    """Python values; bytes are decoded, and what is no UTF-8 is its error."""
    array = _plain(array)
    if not _is_text(array.type):
        try:
            return list(array.to_pylist())
        except UnicodeDecodeError as error:
            return [error] * len(array)
    return [None if value is None else _decoded(value) for value in _bytes(array)]


def _bytes(array: pa.Array) -> list[bytes | None]:
    kind = array.type
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        array = array.cast(pa.binary_view()).cast(pa.large_binary())
    return list(array.cast(pa.large_binary()).to_pylist())


def _decoded(value: bytes) -> str | UnicodeDecodeError:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        return error
