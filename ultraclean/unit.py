"""One shard of one segment, on a worker: rows in; data, dropped, numbers and a record out.

The stages of a segment are pure functions of a row, so a batch may be split anywhere. That is how
one bad row costs only itself: a stage that raises is tried again on each half.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ultraclean import storage
from ultraclean.document import AT, ERROR, KEY, KEY_TYPE, PATH, POSITION, Batch, keys_of
from ultraclean.exchange import Piece, read_verdicts
from ultraclean.inputs import Shard
from ultraclean.ledger import Record, write_record
from ultraclean.llm.cache import responses_in
from ultraclean.memory import peak_bytes, reset_peak
from ultraclean.passage import Link, Passage, Way
from ultraclean.rowgroups import Output
from ultraclean.stage import Barrier, ByMeaning, Filter, Map, Sink, Source, Stage


@dataclass(frozen=True)
class RowsUnit:
    """All that a worker needs to know of one unit of a rows segment; small and picklable."""

    unit: str
    segment: str
    table: str
    fingerprint: str
    folder: str  # where the data goes
    record: str  # where the record goes
    input: str
    source: Source
    shard: Shard
    stages: tuple[Stage, ...]
    columns: tuple[str, ...]
    responses: str  # where teachers keep their answers
    barrier: Barrier | None = None
    card: Record = field(default_factory=dict)
    verdicts: Piece | None = None
    drops: str = "sample"
    max_error_fraction: float = 1.0


@functools.lru_cache(maxsize=2)
def open_chain(fingerprint: str, stages: tuple[Stage, ...]) -> tuple[Link, ...]:
    """The stages, opened once per worker process and segment."""
    return tuple(Link(stage, stage.open()) for stage in stages if isinstance(stage, Map | Filter))


def run_rows(unit: RowsUnit) -> Record:
    """Runs a unit and leaves its record; returns the record."""
    started = time.time()
    reset_peak()
    links = open_links(unit)
    way = Way(
        unit.segment,
        unit.shard.index,
        unit.folder,
        unit.unit,
        unit.drops,
        unit.max_error_fraction,
    )
    with responses_in(unit.responses), Passage(way, links) as passage:
        for batch in passage.timed(read_batches(unit)):
            passage.add(batch)
    record = {
        "unit": unit.unit,
        "segment": unit.segment,
        "shard": unit.shard.index,
        "input": unit.input,
        "parts": [vars(part) for part in unit.shard.parts],
        **passage.summary(),
        "started": started,
        "seconds": time.time() - started,
        "peak_bytes": peak_bytes(),
        "worker": f"{os.uname().nodename}:{os.getpid()}",
    }
    write_record(unit.record, record)
    return record


def open_links(unit: RowsUnit) -> tuple[Link, ...]:
    chain = open_chain(unit.fingerprint, ByMeaning(unit.stages))
    if unit.barrier is None:
        return chain
    verdicts = None if unit.verdicts is None else read_verdicts(unit.verdicts, unit.shard.index)
    return (Link(unit.barrier, unit.barrier.apply(unit.card, verdicts)), *chain)


# --- reading ------------------------------------------------------------------------------------


def read_batches(unit: RowsUnit) -> Iterator[Batch]:
    """The rows of a shard with `_key`, and with `_at` where verdicts are to be applied."""
    left = unit.source.limit
    row = 0
    for batch in unit.source.read(unit.shard):
        if left is not None:
            batch = batch.slice(0, left)  # noqa: PLW2901
            left -= batch.num_rows
        known = (*unit.columns, PATH, POSITION, ERROR)
        batch = batch.without(*(name for name in batch.names if name not in known))  # noqa: PLW2901
        columns: dict[str, Any] = {}
        if KEY not in batch:
            columns[KEY] = _keys(unit.table, batch)
        if unit.barrier is not None:
            first = (unit.shard.index << 32) + row
            columns[AT] = np.arange(first, first + batch.num_rows, dtype=np.int64)
        row += batch.num_rows
        yield batch.with_columns(columns)
        if left == 0:
            return


def _keys(table: str, batch: Batch) -> pa.Array:
    """Keys of a batch, which may hold rows of several files."""
    paths = pc.dictionary_encode(batch[PATH])
    codes = paths.indices.to_numpy()
    positions = batch[POSITION].to_numpy()
    raw = np.empty((batch.num_rows, 16), dtype=np.uint8)
    for code, path in enumerate(paths.dictionary.to_pylist()):
        rows = codes == code
        keys = keys_of(table, path, positions[rows])
        raw[rows] = np.frombuffer(keys.buffers()[1], dtype=np.uint8).reshape(-1, 16)
    return pa.Array.from_buffers(KEY_TYPE, batch.num_rows, [None, pa.py_buffer(raw.tobytes())])


# --- other units --------------------------------------------------------------------------------


@dataclass(frozen=True)
class SketchUnit:
    """One shard of a barrier's input."""

    unit: str
    segment: str
    path: str  # data file of the shard, "" if it has no rows
    shard: int
    barrier: Barrier
    folder: str
    record: str
    input: str


def run_sketch(unit: SketchUnit) -> Record:
    """Sketches a shard; the record holds the file and its row groups."""
    started = time.time()
    reset_peak()
    sketch = unit.barrier.sketch()
    output: Output | None = None
    row = 0
    for batch in read_parquet(unit.path, _sketch_columns(unit)) if unit.path else ():
        at = np.arange(row, row + batch.num_rows, dtype=np.int64) + (unit.shard << 32)
        rows = sketch(Batch(batch.data, {}))
        small = Batch(rows).with_columns({AT: at, KEY: batch[KEY]}).data
        if output is None:
            path = storage.join(unit.folder, f"sketch-{unit.unit}.parquet")
            output = Output(path, small.schema)
        output.add(small)
        row += batch.num_rows
    if output is not None:
        output.close()
    record = {
        "unit": unit.unit,
        "segment": unit.segment,
        "shard": unit.shard,
        "input": unit.input,
        "n_in": row,
        "sketch": output.entry() if output else None,
        "started": started,
        "seconds": time.time() - started,
        "peak_bytes": peak_bytes(),
    }
    write_record(unit.record, record)
    return record


def _sketch_columns(unit: SketchUnit) -> list[str]:
    return [*unit.barrier.needs(), KEY]


@dataclass(frozen=True)
class SinkUnit:
    """Some shards of a table, written as one file."""

    unit: str
    segment: str
    paths: tuple[str, ...]
    target: str
    sink: Sink
    record: str
    input: str


def run_sink(unit: SinkUnit) -> Record:
    started = time.time()
    reset_peak()
    batches = (batch for path in unit.paths for batch in read_parquet(path))
    written = unit.sink.write(unit.target, batches)
    record = {
        "unit": unit.unit,
        "segment": unit.segment,
        "input": unit.input,
        "path": written.path,
        "n_out": written.n_docs,
        "n_bytes": written.n_bytes,
        "started": started,
        "seconds": time.time() - started,
        "peak_bytes": peak_bytes(),
    }
    write_record(unit.record, record)
    return record


def read_parquet(path: str, columns: Sequence[str] | None = None) -> Iterator[Batch]:
    """The batches of one of our own files, a row group at a time."""
    import pyarrow.parquet as pq

    names = None if columns is None else list(dict.fromkeys(columns))
    with storage.open_read(path) as stream, pq.ParquetFile(stream) as file:
        for group in range(file.num_row_groups):
            for batch in file.read_row_group(group, names, use_threads=False).to_batches(4096):
                yield Batch(batch.replace_schema_metadata(None))
