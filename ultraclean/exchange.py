"""Steps that see every row: map and shuffle over storage, with bounded memory and resume inside.

A barrier's `resolve` is a chain of steps. One step reads its inputs piece by piece, applies a
function to each piece (an Arrow table that fits in memory) and writes the result ordered by
partition, one file per task: an Arrow stream per partition, one after the other, so that a partition
is a range of bytes and reading it touches nothing else of the file. The ranges of partition p, from
all files, are one input of the next step. The number of objects is the number of tasks, whatever
the number of partitions; the driver holds tasks x partitions ranges.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ultraclean import storage
from ultraclean.document import AT
from ultraclean.memory import give_back, peak_bytes, reset_peak

Mapper = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""Maps a picklable function over items on the executor; results in the order of items."""


UNPACKED = 12
"""Memory of a task per byte of a step's output: unpacked, sorted by partition, and written again."""
GROUP_BYTES = 4 * 8 * 2**20
"""What a row group of sketches costs a task at most: 8 MiB (`rowgroups`), read, sorted and written."""


class Readable(Protocol):
    """An input of a step: rows that can be read as one table; its `repr` says which."""

    @property
    def n_rows(self) -> int: ...

    def read(self, columns: Sequence[str] | None = None) -> pa.Table | None: ...

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows in tables of a bounded size, where it has them."""
        ...


@dataclass(frozen=True)
class Piece:
    """Rows of one partition, read in this order: row groups of Parquet files, then ranges of bytes."""

    groups: tuple[tuple[str, int], ...]
    n_rows: int
    ranges: tuple[tuple[str, int, int], ...] = ()
    """(file of a step, first byte, byte after the last): one Arrow stream each."""

    @property
    def n_bytes(self) -> int:
        """Bytes of the ranges, as they are stored."""
        return sum(stop - start for _, start, stop in self.ranges)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table | None:
        """The rows as one table; None if there are none."""
        tables = []
        for path, run in itertools.groupby(self.groups, key=lambda group: group[0]):
            with storage.open_read(path) as stream, pq.ParquetFile(stream) as file:
                groups = [group for _, group in run]
                tables.append(file.read_row_groups(groups, columns, use_threads=False))
        tables += [_columns(table, columns) for table in self._streams()]
        return pa.concat_tables(tables) if tables else None

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows as one table per row group."""
        for path, run in itertools.groupby(self.groups, key=lambda group: group[0]):
            with storage.open_read(path) as stream, pq.ParquetFile(stream) as file:
                for _, group in run:
                    yield file.read_row_group(group, columns)
        yield from (_columns(table, columns) for table in self._streams())

    def _streams(self) -> Iterator[pa.Table]:
        if self.ranges:
            fs, _ = storage.filesystem(self.ranges[0][0])
            paths, starts, stops = (list(part) for part in zip(*self.ranges, strict=True))
            for content in fs.cat_ranges(paths, starts, stops, on_error="raise"):
                yield pa.ipc.open_stream(pa.py_buffer(content)).read_all()

    def __add__(self, other: Piece) -> Piece:
        return Piece(
            self.groups + other.groups, self.n_rows + other.n_rows, self.ranges + other.ranges
        )


def _columns(table: pa.Table, columns: Sequence[str] | None) -> pa.Table:
    return table if columns is None else table.select(columns)


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

    def match(self, table: pa.Table) -> tuple[pa.Table | None, NDArray[np.int64]]:
        """(rows at home, and for each row of `table` which of them has its `_at`, -1 for none)."""
        from ultrakernels import order

        found = self.beside(table)
        if found is None:
            return None, np.full(table.num_rows, -1, dtype=np.int64)
        at = found[AT].to_numpy()
        places = np.argsort(at, kind="stable")
        place = order.locate(at[places], table[AT].to_numpy())
        return found, np.where(place < 0, -1, places[place])


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
    run_name: str = ""
    index_folder: str = ""
    """Where a barrier may leave an index for later runs; it is kept when the steps are not."""
    final: list[Piece] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    """What each step cost: tasks, rows and bytes that it wrote, seconds, and most memory of a task."""

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
        inputs: Sequence[Readable] | None = None,
        by: Callable[[pa.Table], NDArray[np.int64]] | None = None,
        n_partitions: int = 1,
        columns: Sequence[str] | None = None,
        streamed: bool = False,
        bytes_per_row: float | None = None,
    ) -> list[Piece]:
        """`make` on every input piece, the result shuffled: returns one piece per partition.

        `by` gives each row of the result its partition, 0 to n_partitions - 1 (default: all 0).
        Rows of a partition come in the order (input piece, row). Both functions must be picklable
        (module-level, or `functools.partial` of one). A finished task is not run again on resume.
        Inputs default to the sketches, packed so that a task needs about `memory_bytes` at most:
        `bytes_per_row` where the caller knows it, or else what a row group can cost. `columns` are
        those that `make` reads (default: all). `streamed`: `make` gets an iterator over
        the tables of a piece's row groups, so that a task can walk over more than fits in memory.
        """
        pieces = self.packed(bytes_per_row) if inputs is None else inputs
        tasks = [piece for piece in pieces if piece.n_rows]
        function = functools.partial(_run_task, make, by, n_partitions, columns, streamed)
        stem = storage.join(self.folder, name)
        # Not pickle: its bytes say which strings were one object, which a resumed run changes.
        told = hashlib.blake2b(repr((n_partitions, columns)).encode(), digest_size=6)
        for piece in tasks:
            told.update(repr(piece).encode())
        items = [(piece, f"{stem}-{told.hexdigest()}-{i:05d}") for i, piece in enumerate(tasks)]
        ranges: list[list[tuple[str, int, int]]] = [[] for _ in range(n_partitions)]
        counts = np.zeros(n_partitions, dtype=np.int64)
        costs = []
        for (_, target), done in zip(items, self.run(function, items), strict=True):
            for partition, n_rows, start, stop in done["written"]:
                ranges[partition].append((f"{target}.arrow", start, stop))
                counts[partition] += n_rows
            costs.append(done)
        self.steps.append(
            {
                "step": name,
                "tasks": len(costs),
                "rows": int(counts.sum()),
                "bytes": sum(cost["n_bytes"] for cost in costs),
                "seconds": round(sum(cost["seconds"] for cost in costs), 3),
                "cpu_seconds": round(sum(cost["cpu_seconds"] for cost in costs), 3),
                "peak_bytes": max((cost["peak_bytes"] for cost in costs), default=0),
            }
        )
        return [
            Piece((), int(n_rows), tuple(found))
            for n_rows, found in zip(counts, ranges, strict=True)
        ]

    def collect(self, pieces: list[Piece]) -> pa.Table | None:
        """Small results, brought to the driver; None if there is not one row."""
        tables = [table for piece in pieces if (table := piece.read()) is not None]
        return pa.concat_tables(tables) if tables else None

    def home(self, name: str, pieces: Sequence[Readable], n_shards: int | None = None) -> Home:
        """Shuffles rows (with `_at`) home to their shards, for a later step over the sketches."""
        n_shards = len(self.row_counts) if n_shards is None else n_shards
        n_groups = min(n_shards, 1024)
        by = functools.partial(shard_group, n_shards, n_groups)
        inputs = self.apart(pieces)
        groups = self.step(name, identity, inputs=inputs, by=by, n_partitions=n_groups)
        return Home(tuple(groups), n_shards)

    def apart(self, pieces: Sequence[Readable]) -> list[Readable]:
        """Pieces of steps cut to what a task may hold, for steps that look at each row by itself."""
        cut: list[Readable] = []
        for piece in pieces:
            ranges = piece.ranges if isinstance(piece, Piece) and not piece.groups else ()
            n_bytes = sum(stop - start for _, start, stop in ranges)
            if n_bytes * UNPACKED <= self.memory_bytes:
                cut.append(piece)
                continue
            held: list[tuple[str, int, int]] = []
            held_bytes = 0
            for number, (path, start, stop) in enumerate(ranges, 1):
                held.append((path, start, stop))
                held_bytes += stop - start
                if held_bytes * UNPACKED > self.memory_bytes or number == len(ranges):
                    n_rows = max(1, round(piece.n_rows * held_bytes / n_bytes))  # an estimate
                    cut.append(Piece((), n_rows, tuple(held)))
                    held, held_bytes = [], 0
        return cut

    def verdicts(self, name: str, pieces: Sequence[Readable]) -> None:
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

    def packed(self, bytes_per_row: float | None = None) -> list[Readable]:
        """Row groups of the sketches packed together: few tasks, each about `memory_bytes`."""
        packed: list[Readable] = []
        held: list[tuple[str, int]] = []
        held_rows = held_bytes = 0.0
        for piece in self.pieces:
            rows = piece.n_rows / max(1, len(piece.groups))
            cost = GROUP_BYTES if bytes_per_row is None else min(GROUP_BYTES, rows * bytes_per_row)
            for group in piece.groups:
                if held and (held_bytes + cost > self.memory_bytes or len(held) >= 4096):
                    packed.append(Piece(tuple(held), math.ceil(held_rows)))
                    held, held_rows, held_bytes = [], 0.0, 0.0
                held.append(group)
                held_rows += rows
                held_bytes += cost
        if held_rows:
            packed.append(Piece(tuple(held), math.ceil(held_rows)))
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
    item: tuple[Readable, str],
) -> dict[str, Any]:
    """One task: what it cost, and (partition, rows, first byte, byte after) of what it wrote."""
    piece, target = item
    record = f"{target}.json"
    if storage.exists(record):
        return dict(storage.read_json(record))
    started, used = time.perf_counter(), time.process_time()
    give_back()  # a task is not to be charged for the one before
    reset_peak()
    given: Any = piece.tables(columns) if streamed else piece.read(columns)
    result = pa.table({}) if given is None else make(given).combine_chunks()
    del given
    written = []
    if result.num_rows:
        partition = np.zeros(result.num_rows, dtype=np.int64) if by is None else by(result)
        if partition.min() < 0 or partition.max() >= n_partitions:
            raise ValueError(f"a partition is outside 0 to {n_partitions - 1}")
        counts = np.bincount(partition, minlength=n_partitions)
        if len(np.flatnonzero(counts)) > 1:
            # Two bytes sort by radix, which is several times quicker.
            small = partition.astype(np.uint16) if n_partitions <= 2**16 else partition
            result = result.take(pa.array(np.argsort(small, kind="stable"))).combine_chunks()
        written = _write(f"{target}.arrow", result, counts)
    done = {
        "written": written,
        "n_bytes": written[-1][-1] if written else 0,
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - used,
        "peak_bytes": peak_bytes(),
    }
    storage.write_bytes(record, json.dumps(done).encode())
    return done


def _write(path: str, table: pa.Table, counts: NDArray[np.int64]) -> list[list[int]]:
    """Rows sorted by partition, an Arrow stream for each partition that has any."""
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    written = []
    n_bytes = first = 0
    with storage.atomic_write(path) as stream:
        for number in np.flatnonzero(counts).tolist():
            n_rows = int(counts[number])
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
                writer.write_table(table.slice(first, n_rows))
            content = sink.getvalue()
            stream.write(content)
            written.append([number, n_rows, n_bytes, n_bytes + content.size])
            n_bytes += content.size
            first += n_rows
    return written
