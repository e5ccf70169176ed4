"""Parquet whose bytes depend on the rows alone, not on the batches in which they came."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ultraclean import storage

ROWS = 16_384
BYTES = 8 * 2**20


class Regrouper:
    """Collects batches and gives them back as groups of `rows`, or fewer where they hold much text.

    A group ends at the row with which it reaches either bound, so the cuts depend on the rows only.
    """

    def __init__(self, schema: pa.Schema, rows: int = ROWS, n_bytes: int = BYTES) -> None:
        self.schema = schema
        self.rows, self.n_bytes = rows, n_bytes
        self.n_rows = 0
        self._held: list[pa.RecordBatch] = []
        self._n_rows = self._n_bytes = 0

    def add(self, batch: pa.RecordBatch) -> Iterator[pa.Table]:
        start = 0
        self.n_rows += batch.num_rows
        sizes = np.cumsum(row_bytes(batch))
        while start < batch.num_rows:
            before = int(sizes[start - 1]) if start else 0
            room = before + self.n_bytes - self._n_bytes
            by_bytes = int(np.searchsorted(sizes, room)) + 1 - start
            take = min(self.rows - self._n_rows, by_bytes, batch.num_rows - start)
            self._held.append(batch.slice(start, take))
            self._n_rows += take
            self._n_bytes += int(sizes[start + take - 1]) - before
            start += take
            if self._n_rows >= self.rows or self._n_bytes >= self.n_bytes:
                yield from self.rest()

    def rest(self) -> Iterator[pa.Table]:
        if self._held:
            yield pa.Table.from_batches(self._held, self.schema).combine_chunks()
            self._held, self._n_rows, self._n_bytes = [], 0, 0


class HashedFile:
    """A Parquet file (zstd) that appears whole or not at all, hashed while it is written."""

    def __init__(self, path: str, schema: pa.Schema) -> None:
        self._stack = ExitStack()
        self._stream = _Hashing(self._stack.enter_context(storage.atomic_write(path)))
        self._n_groups = 0
        self._writer = pq.ParquetWriter(
            self._stream, schema, compression="zstd", compression_level=3
        )

    def write(self, group: pa.Table) -> None:
        self._writer.write_table(group, row_group_size=max(1, group.num_rows))
        self._n_groups += 1

    def close(self) -> None:
        self._writer.close()
        self._stack.close()

    def abandon(self) -> None:
        """Leaves nothing at the path."""
        error = InterruptedError("abandoned")
        with suppress(InterruptedError):
            self._stack.__exit__(type(error), error, None)

    def facts(self) -> dict[str, Any]:
        digest = self._stream.hash.hexdigest()
        return {"n_bytes": self._stream.n_bytes, "n_groups": self._n_groups, "digest": digest}


class Output:
    """One Parquet file of a unit: regrouped, hashed while it is written, atomic, absent if empty."""

    def __init__(self, path: str, schema: pa.Schema) -> None:
        self.path = path
        self.schema = schema
        self.n_rows = 0
        self._regroup = Regrouper(schema)
        self._file: HashedFile | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        self.n_rows += batch.num_rows
        for group in self._regroup.add(batch):
            self._write(group)

    def _write(self, group: pa.Table) -> None:
        if self._file is None:
            self._file = HashedFile(self.path, self.schema)
        self._file.write(group)

    def close(self) -> None:
        for group in self._regroup.rest():
            self._write(group)
        if self._file is not None:
            self._file.close()

    def abandon(self) -> None:
        if self._file is not None:
            self._file.abandon()

    def entry(self) -> dict[str, Any] | None:
        """Path, rows, bytes and digest for the record; None if there was no row."""
        if self._file is None:
            return None
        return {"path": self.path, "n_rows": self.n_rows, **self._file.facts()}


class _Hashing:
    """A write-only stream that hashes and counts what passes."""

    closed = False

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.hash = hashlib.blake2b(digest_size=16)
        self.n_bytes = 0

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        self.hash.update(view)
        self.n_bytes += len(view)
        self._stream.write(view)
        return len(view)

    def tell(self) -> int:
        return self.n_bytes

    def flush(self) -> None:
        self._stream.flush()

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True


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
