"""A barrier run whole, as the engine runs it, for the tests of its stage."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ultraclean.document import AT, KEY, Batch, keys_of
from ultraclean.exchange import Piece, Sketches
from ultraclean.stage import Barrier, Decision, Rows


@dataclass(frozen=True)
class Resolved:
    """A whole barrier over a table, in the order of its rows."""

    card: dict[str, Any]
    keys: list[bytes]
    keep: list[bool]
    same_as: list[bytes | None]
    similarity: list[float]
    decisions: list[Decision]

    @property
    def copy_of(self) -> list[int | None]:
        """For each row the row that it duplicates."""
        row_of = {key: row for row, key in enumerate(self.keys)}
        return [None if key is None else row_of[key] for key in self.same_as]


class Memory(Rows):
    """A table in memory, in batches of `batch_rows`: what an artifact is given."""

    def __init__(self, name: str, batch_rows: int = 37, **columns: Any) -> None:
        self.table = pa.table(columns)
        self.name, self.n_docs, self.digest = name, self.table.num_rows, f"digest of {name}"
        if KEY not in columns:
            keys = keys_of(name, "file", np.arange(self.n_docs))
            self.table = self.table.append_column(KEY, keys)
        self.batch_rows = batch_rows

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        there = self.table.column_names
        names = [name for name in columns if name in there] if columns is not None else there
        for part in self.table.select(names).to_batches(self.batch_rows):
            yield Batch(part)


@pytest.fixture(scope="session")
def memory_table() -> Callable[..., Rows]:
    """`memory_table(name, batch_rows=37, text=[...], ...)`"""
    return Memory


@pytest.fixture
def run_barrier(tmp_path: Path) -> Callable[..., Resolved]:
    """Sketch, resolve and apply a barrier as the engine does, in this process.

    `cuts` are the row numbers at which shards end; `batch_rows` splits each shard into batches.
    """
    runs = itertools.count()

    def run(
        stage: Barrier,
        table: pa.Table,
        *,
        n_shards: int = 3,
        batch_rows: int = 1000,
        memory_bytes: int = 2**29,
        backwards: bool = False,
    ) -> Resolved:
        folder = tmp_path / f"run-{next(runs)}"
        folder.mkdir()
        keys = keys_of("t", "rows", np.arange(table.num_rows))
        ends = np.linspace(0, table.num_rows, n_shards + 1).astype(int)
        pieces, shards = [], []
        for shard, (start, stop) in enumerate(itertools.pairwise(ends)):
            at = pa.array((shard << 32) + np.arange(stop - start))
            rows = table.slice(start, stop - start).append_column(AT, at)
            rows = rows.append_column(KEY, keys.slice(start, stop - start))
            batches = [Batch(batch) for batch in rows.combine_chunks().to_batches(batch_rows)]
            path = str(folder / f"sketch-{shard}.parquet")
            pieces.append(_write_sketches(stage, batches, path))
            shards.append(batches)
        order = pieces[::-1] if backwards else pieces
        counts = [piece.n_rows for piece in pieces]
        sketches = Sketches(order, counts, str(folder / "steps"), _run, memory_bytes)
        card = stage.resolve(sketches)
        decided = []
        for shard, batches in enumerate(shards):
            apply = stage.apply(card, sketches.verdicts_of(shard))
            decided += [apply(batch) for batch in batches]
        same_as = [[None] * len(d.code) if d.same_as is None else d.same_as.to_pylist() for d in decided]  # fmt: skip
        similarity = [[] if d.similarity is None else d.similarity.tolist() for d in decided]
        return Resolved(
            card,
            keys.to_pylist(),
            [bool(keep) for d in decided for keep in d.keep],
            list(itertools.chain.from_iterable(same_as)),
            list(itertools.chain.from_iterable(similarity)),
            decided,
        )

    return run


def _run(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterable[Any]:
    """`map`, with the function sent as to a worker."""
    return map(pickle.loads(pickle.dumps(function)), items)


def _write_sketches(stage: Barrier, batches: list[Batch], path: str) -> Piece:
    sketch = stage.sketch()
    groups = []
    writer = None
    for number, batch in enumerate(batches):
        rows = pa.Table.from_batches([sketch(batch)])
        rows = rows.append_column(AT, batch[AT]).append_column(KEY, batch[KEY])
        writer = writer or pq.ParquetWriter(path, rows.schema)
        writer.write_table(rows)
        groups.append((path, number))
    if writer:
        writer.close()
    return Piece(tuple(groups), sum(batch.num_rows for batch in batches))
