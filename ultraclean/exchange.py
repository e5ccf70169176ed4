"""Steps that see every row: map and shuffle over storage, with bounded memory and resume inside.

A barrier's `resolve` is a chain of steps. One step reads its inputs piece by piece, applies a
function to each piece (an Arrow table that fits in memory) and writes the result ordered by
partition, one file per task; the pieces of partition p, from all files, are one input of the next
step. The number of objects is the number of tasks, whatever the number of partitions.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ultraclean import storage
from ultraclean.document import AT

Mapper = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""Maps a picklable function over items on the executor; results in the order of items."""


@dataclass(frozen=True)
class Piece:
    """Rows of one partition: row groups of some files, read in this order."""

    groups: tuple[tuple[str, int], ...]
    n_rows: int

    def read(self, columns: Sequence[str] | None = None) -> pa.Table | None:
        """The rows as one table; None if there are none."""
        if not self.groups:
            return None
        tables = []
        for path, run in itertools.groupby(self.groups, key=lambda group: group[0]):
            with storage.open_read(path) as stream, pq.ParquetFile(stream) as file:
                tables.append(file.read_row_groups([group for _, group in run], columns))
        return pa.concat_tables(tables)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows as one table per row group."""
        for path, run in itertools.groupby(self.groups, key=lambda group: group[0]):
            with storage.open_read(path) as stream, pq.ParquetFile(stream) as file:
                for _, group in run:
                    yield file.read_row_group(group, columns)


@dataclass(frozen=True)
class Home:
    """Rows that were shuffled to the shards of their `_at`: small enough to send with a step."""

    groups: tuple[Piece, ...]
    n_shards: int

    def beside(self, table: pa.Table) -> pa.Table | None:
        """The rows that came home to the shards of `table` (and perhaps to their neighbours)."""
        numbers = np.unique(shard_group(self.n_shards, len(self.groups), table))
        found = [rows for n in numbers if (rows := self.groups[n].read()) is not None]
        return pa.concat_tables(found) if found else None


@dataclass
class Sketches:
    """All sketches of one barrier, and the steps that see them.

    A sketch row has the columns that `Barrier.sketch` made, plus `_at` and `_key`. `row_counts[i]`
    is the number of rows of shard i. `memory_bytes` bounds what one task should hold.
    """

    pieces: list[Piece]
    row_counts: list[int]
    folder: str
    run: Mapper
    memory_bytes: int = 512 * 2**20
    final: list[Piece] = field(default_factory=list)

    @property
    def n_docs(self) -> int:
        return sum(self.row_counts)

    def partitions_for(self, bytes_per_row: float, n_rows: int | None = None) -> int:
        """How many partitions keep one of them, `bytes_per_row` in memory, within the bound."""
        n_rows = self.n_docs if n_rows is None else n_rows
        return max(1, int(np.ceil(n_rows * bytes_per_row / self.memory_bytes)))

    def step(
        self,
        name: str,
        make: Callable[[Any], pa.Table],
        *,
        inputs: list[Piece] | None = None,
        by: Callable[[pa.Table], NDArray[np.int64]] | None = None,
        n_partitions: int = 1,
        columns: Sequence[str] | None = None,
        streamed: bool = False,
    ) -> list[Piece]:
        """`make` on every input piece, the result shuffled: returns one piece per partition.

        `by` gives each row of the result its partition, 0 to n_partitions - 1 (default: all 0).
        Rows of a partition come in the order (input piece, row). Both functions must be picklable
        (module-level, or `functools.partial` of one). A finished task is not run again on resume.
        Inputs default to the sketches, packed so that a task reads about `memory_bytes` at most;
        `columns` are those that `make` reads (default: all). `streamed`: `make` gets an iterator over
        the tables of a piece's row groups, so that a task can walk over more than fits in memory.
        """
        pieces = self._packed() if inputs is None else inputs
        tasks = [piece for piece in pieces if piece.n_rows]
        function = functools.partial(_run_task, make, by, n_partitions, columns, streamed)
        stem = storage.join(self.folder, name)
        # Not pickle: its bytes say which strings were one object, which a resumed run changes.
        told = repr((tasks, n_partitions, columns)).encode()
        mark = hashlib.blake2b(told, digest_size=6).hexdigest()
        items = [(piece, f"{stem}-{mark}-{i:05d}") for i, piece in enumerate(tasks)]
        groups: list[list[tuple[str, int]]] = [[] for _ in range(n_partitions)]
        counts = np.zeros(n_partitions, dtype=np.int64)
        for (_, target), written in zip(items, self.run(function, items), strict=True):
            for group, (partition, n_rows) in enumerate(written):
                groups[partition].append((f"{target}.parquet", group))
                counts[partition] += n_rows
        return [
            Piece(tuple(groups[partition]), int(counts[partition]))
            for partition in range(n_partitions)
        ]

    def collect(self, pieces: list[Piece]) -> pa.Table | None:
        """Small results, brought to the driver; None if there is not one row."""
        tables = [table for piece in pieces if (table := piece.read()) is not None]
        return pa.concat_tables(tables) if tables else None

    def home(self, name: str, pieces: list[Piece]) -> Home:
        """Shuffles rows (with `_at`) home to their shards, for a later step over the sketches."""
        n_shards = len(self.row_counts)
        n_groups = min(n_shards, 1024)
        by = functools.partial(shard_group, n_shards, n_groups)
        groups = self.step(name, identity, inputs=pieces, by=by, n_partitions=n_groups)
        return Home(tuple(groups), n_shards)

    def verdicts(self, name: str, pieces: list[Piece]) -> None:
        """Shuffles verdict rows (with `_at`) home to their shards; the last step of a `resolve`."""
        self.final = list(self.home(name, pieces).groups)

    def verdicts_of(self, shard: int) -> pa.Table | None:
        """Verdict rows of one shard, sorted by `_at`; None if the barrier left none."""
        if not self.final:
            return None
        n_groups = len(self.final)
        group = int(shard * n_groups // len(self.row_counts))
        return read_verdicts(self.final[group], shard)

    def in_groups(self, growth: int) -> list[Piece]:
        """The sketches in pieces of a few row groups, for sketches that hold lists or texts.

        A row group holds about 8 MB (`rowgroups.BYTES`), which a step makes `growth` times as much of;
        the counts of rows are then estimates.
        """
        n_together = max(1, self.memory_bytes // (growth * 8 * 2**20))
        groups = [
            (group, piece.n_rows / len(piece.groups))
            for piece in self.pieces
            for group in piece.groups
        ]
        return [
            Piece(tuple(group for group, _ in some), max(1, round(sum(n for _, n in some))))
            for start in range(0, len(groups), n_together)
            if (some := groups[start : start + n_together])
        ]

    def in_streams(self, n_streams: int) -> list[Piece]:
        """The sketches in `n_streams` pieces of about as many rows, in order: for steps that walk."""
        whole, taken = [], 0
        for piece in self.pieces:
            whole.append((taken * n_streams // max(1, self.n_docs), piece))
            taken += piece.n_rows
        streams = [[piece for number, piece in whole if number == i] for i in range(n_streams)]
        return [
            Piece(
                tuple(group for piece in some for group in piece.groups),
                sum(p.n_rows for p in some),
            )
            for some in streams
            if some
        ]

    def _packed(self) -> list[Piece]:
        """Sketch files packed together: few tasks, each about `memory_bytes` in memory."""
        packed: list[Piece] = []
        open_groups: list[tuple[str, int]] = []
        open_rows = 0
        most_rows = max(1, self.memory_bytes // 2048)
        for piece in self.pieces:
            if open_rows and (open_rows + piece.n_rows > most_rows or len(open_groups) >= 256):
                packed.append(Piece(tuple(open_groups), open_rows))
                open_groups, open_rows = [], 0
            open_groups.extend(piece.groups)
            open_rows += piece.n_rows
        if open_rows:
            packed.append(Piece(tuple(open_groups), open_rows))
        return packed


def identity(table: pa.Table) -> pa.Table:
    return table


def shard_of(at: NDArray[np.int64]) -> NDArray[np.int64]:
    return at >> np.int64(32)


def shard_group(n_shards: int, n_groups: int, table: pa.Table) -> NDArray[np.int64]:
    shard = shard_of(table[AT].to_numpy())
    return shard * np.int64(n_groups) // np.int64(n_shards)


def read_verdicts(piece: Piece, shard: int) -> pa.Table | None:
    """The verdict rows of one shard out of its group's piece, sorted by `_at`."""
    table = piece.read()
    if table is None:
        return None
    mine = shard_of(table[AT].to_numpy()) == shard
    return table.filter(pa.array(mine)).sort_by(AT)


def _run_task(
    make: Callable[[Any], pa.Table],
    by: Callable[[pa.Table], NDArray[np.int64]] | None,
    n_partitions: int,
    columns: Sequence[str] | None,
    streamed: bool,
    item: tuple[Piece, str],
) -> list[tuple[int, int]]:
    """One task: [(partition, rows)] of the row groups that it wrote, in file order."""
    piece, target = item
    record = f"{target}.json"
    if storage.exists(record):
        return [(int(p), int(n)) for p, n in storage.read_json(record)]
    given: Any = piece.tables(columns) if streamed else piece.read(columns)
    result = make(given).combine_chunks()
    written: list[tuple[int, int]] = []
    if result.num_rows:
        partition = np.zeros(result.num_rows, dtype=np.int64) if by is None else by(result)
        if partition.min() < 0 or partition.max() >= n_partitions:
            raise ValueError(f"a partition is outside 0 to {n_partitions - 1}")
        order = np.argsort(partition, kind="stable")
        result = result.take(pa.array(order))
        counts = np.bincount(partition, minlength=n_partitions)
        with (
            storage.atomic_write(f"{target}.parquet") as stream,
            pq.ParquetWriter(stream, result.schema, compression="zstd") as writer,
        ):
            start = 0
            for number in np.flatnonzero(counts):
                n_rows = int(counts[number])
                writer.write_table(result.slice(start, n_rows), row_group_size=n_rows)
                written.append((int(number), n_rows))
                start += n_rows
    storage.write_json(record, written)
    return written
