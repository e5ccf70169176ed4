"""One shard of one segment, on a worker: rows in; data, dropped, numbers and a record out.

The stages of a segment are pure functions of a row, so a batch may be split anywhere. That is how
one bad row costs only itself: a stage that raises is tried again on each half.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ultraclean import rowgroups, storage
from ultraclean.document import AT, ERROR, KEY, KEY_TYPE, PATH, POSITION, Batch, keys_of
from ultraclean.errors import MissingExtra, StageError
from ultraclean.exchange import Piece, read_verdicts
from ultraclean.ledger import Record, write_record
from ultraclean.stage import Barrier, Decision, Filter, Map, Shard, Sink, Source, Stage

SAMPLES = 20
"""Dropped documents per shard and reason whose text is kept with `drops: sample`."""

DROPPED_SCHEMA = pa.schema(
    [
        (KEY, KEY_TYPE),
        ("id", pa.string()),
        ("url", pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("same_as", KEY_TYPE),
        ("similarity", pa.float64()),
        ("detail", pa.string()),
        (PATH, pa.string()),
        (POSITION, pa.int64()),
        ("text", pa.string()),
    ]
)


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
    barrier: Barrier | None = None
    card: Record = field(default_factory=dict)
    verdicts: Piece | None = None
    drops: str = "sample"
    max_error_fraction: float = 1.0


@dataclass(frozen=True)
class Link:
    """One opened stage of a chain."""

    stage: Stage
    call: Callable[[Batch], Batch] | Callable[[Batch], Decision]

    @property
    def label(self) -> str:
        return self.stage.label


@functools.lru_cache(maxsize=2)
def open_chain(fingerprint: str, stages: tuple[Stage, ...]) -> tuple[Link, ...]:
    """The stages, opened once per worker process and segment."""
    return tuple(Link(stage, stage.open()) for stage in stages if isinstance(stage, Map | Filter))


def run_rows(unit: RowsUnit) -> Record:
    """Runs a unit and leaves its record; returns the record."""
    started = time.time()
    reset_peak()
    links = open_links(unit)
    run = _Run(unit, links)
    with run:
        for batch in read_batches(unit):
            run.add(batch)
    record = {
        "unit": unit.unit,
        "segment": unit.segment,
        "shard": unit.shard.index,
        "input": unit.input,
        "parts": [vars(part) for part in unit.shard.parts],
        **run.summary(),
        "started": started,
        "seconds": time.time() - started,
        "peak_bytes": peak_bytes(),
        "worker": f"{os.uname().nodename}:{os.getpid()}",
    }
    write_record(unit.record, record)
    return record


def open_links(unit: RowsUnit) -> tuple[Link, ...]:
    chain = open_chain(unit.fingerprint, _hashable(unit.stages))
    if unit.barrier is None:
        return chain
    verdicts = None if unit.verdicts is None else read_verdicts(unit.verdicts, unit.shard.index)
    return (Link(unit.barrier, unit.barrier.apply(unit.card, verdicts)), *chain)


class _ByMeaning(tuple[Stage, ...]):
    """Stages as a cache key: some hold lists, so they are hashed by their text."""

    def __hash__(self) -> int:
        return hash(repr(tuple(self)))


def _hashable(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    return _ByMeaning(stages)


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


# --- running ------------------------------------------------------------------------------------


@dataclass
class Tally:
    """Counts of one stage in one unit."""

    n_in: int = 0
    n_added: int = 0
    seconds: float = 0.0
    reasons: dict[str, int] = field(default_factory=dict)

    def drop(self, reason: str, n_docs: int = 1) -> None:
        self.reasons[reason] = self.reasons.get(reason, 0) + n_docs


class _Run:
    """The state of one unit: three open files and the counts."""

    def __init__(self, unit: RowsUnit, links: tuple[Link, ...]) -> None:
        self.unit = unit
        self.links = links
        self.tallies: dict[str, Tally] = {"read": Tally()}
        self.tallies |= {link.label: Tally() for link in links}
        self.samples: dict[tuple[str, str], int] = {}
        self.n_bytes_in = 0
        self.n_out = 0
        self.measures: tuple[str, ...] = ()
        self.schema: pa.Schema | None = None
        self.data: _Output | None = None
        self.numbers: _Output | None = None
        self.dropped = _Output(self._path("dropped"), DROPPED_SCHEMA)

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        outputs = [o for o in (self.data, self.numbers, self.dropped) if o is not None]
        for output in outputs:
            if kind is None:
                output.close()
            else:
                output.abandon()

    def _path(self, what: str) -> str:
        return storage.join(self.unit.folder, f"{what}-{self.unit.unit}.parquet")

    def add(self, batch: Batch) -> None:
        """One batch through all stages."""
        if self.data is None:
            self._probe(batch.slice(0, 0))
        self.tallies["read"].n_in += batch.num_rows
        self.n_bytes_in += _text_bytes(batch)
        frame = Frame(batch, self.measures)
        rows = np.arange(batch.num_rows)
        batch, rows = self._take_errors(batch, rows, "read", frame)
        self._go(batch, rows, 0, frame)
        assert self.numbers is not None
        self.numbers.add(frame.record_batch())
        errors = sum(n for tally in self.tallies.values() for n in _errors(tally))
        if errors > max(100, self.unit.max_error_fraction * self.tallies["read"].n_in * 10):
            raise StageError(self._too_many(errors))

    def _too_many(self, errors: int) -> str:
        most = max(
            (
                (n, label, reason)
                for label, t in self.tallies.items()
                for reason, n in t.reasons.items()
                if reason.startswith("error:")
            ),
        )
        return (
            f"{self.unit.segment}, shard {self.unit.shard.index}: {errors} of the first "
            f"{self.tallies['read'].n_in} documents are errors, most often {most[2]} in {most[1]} "
            f"({most[0]}); raise max_error_fraction if this is expected"
        )

    def _probe(self, empty: Batch) -> None:
        """Finds the schema and the measurements by running the stages on no rows at all."""
        measures: dict[str, None] = {}
        batch = empty
        for link in self.links:
            try:
                result = link.call(batch)
            except _FATAL:
                raise
            except Exception as error:
                message = f"{self.unit.segment}: {link.label} fails on an empty batch: {error}"
                raise StageError(message) from error
            if isinstance(result, Decision):
                measures |= dict.fromkeys(f"{link.label}.{name}" for name in result.numbers)
                batch = batch.with_columns(result.columns)
            else:
                measures |= dict.fromkeys(_new_numbers(batch, result))
                batch = result
        self.measures = tuple(measures)
        batch = batch.without(AT, PATH, POSITION, ERROR)
        self.schema = batch.data.schema.remove_metadata()
        self.data = _Output(self._path("data"), self.schema)
        self.numbers = _Output(self._path("numbers"), frame_schema(self.measures))

    def _go(self, batch: Batch, rows: NDArray[np.int64], start: int, frame: Frame) -> None:
        for index in range(start, len(self.links)):
            if not batch.num_rows:
                return
            link = self.links[index]
            tally = self.tallies[link.label]
            begun = time.perf_counter()
            try:
                result = link.call(batch)
            except _FATAL:
                raise
            except Exception as error:
                if batch.num_rows > 1:
                    half = batch.num_rows // 2
                    self._go(batch.slice(0, half), rows[:half], index, frame)
                    self._go(batch.slice(half, batch.num_rows - half), rows[half:], index, frame)
                    return
                tally.n_in += 1
                text = f"{type(error).__name__}: {error}"
                failed = batch.with_columns({ERROR: pa.array([text], pa.string())})
                self._take_errors(failed, rows, link.label, frame)
                return
            finally:
                tally.seconds += time.perf_counter() - begun
            tally.n_in += batch.num_rows
            if isinstance(result, Decision):
                batch, rows = self._decide(batch, rows, link, result, frame)
                continue
            if result.num_rows != batch.num_rows:
                if not (isinstance(link.stage, Map) and link.stage.expands):
                    message = f"{link.label} returned {result.num_rows} rows for {batch.num_rows}"
                    raise StageError(f"{self.unit.segment}: {message}")
                tally.n_added += result.num_rows - batch.num_rows
                assert self.numbers is not None
                frame = Frame(result, self.measures)
                rows = np.arange(result.num_rows)
                batch, rows = self._take_errors(result, rows, link.label, frame)
                self._go(batch, rows, index + 1, frame)
                self.numbers.add(frame.record_batch())
                return
            for name in _new_numbers(batch, result):
                frame.measure(name, rows, result[name])
            batch, rows = self._take_errors(result, rows, link.label, frame)
        self._keep(batch)

    def _keep(self, batch: Batch) -> None:
        if batch.num_rows:
            assert self.data is not None and self.schema is not None
            self.n_out += batch.num_rows
            self.data.add(_cast(batch.data, self.schema))

    def _take_errors(
        self, batch: Batch, rows: NDArray[np.int64], label: str, frame: Frame
    ) -> tuple[Batch, NDArray[np.int64]]:
        """Moves rows with `_error` to the dropped ones."""
        if ERROR not in batch:
            return batch, rows
        failed = np.asarray(batch[ERROR].is_valid())
        if not failed.any():
            return batch.without(ERROR), rows
        bad = batch.filter(failed)
        details = bad[ERROR].to_pylist()
        reasons = [f"error:{detail.split(':', 1)[0]}" for detail in details]
        self._drop(bad, rows[failed], label, reasons, frame, {"detail": details})
        return batch.filter(~failed).without(ERROR), rows[~failed]

    def _decide(
        self, batch: Batch, rows: NDArray[np.int64], link: Link, decision: Decision, frame: Frame
    ) -> tuple[Batch, NDArray[np.int64]]:
        for name, values in decision.numbers.items():
            frame.measure(f"{link.label}.{name}", rows, values)
        keep = decision.keep
        if not keep.all():
            gone = ~keep
            names = np.array(decision.reasons, dtype=object)
            columns = {
                "value": decision.value[gone],
                "threshold": decision.threshold[gone],
            }
            if decision.same_as is not None:
                columns["same_as"] = decision.same_as.filter(pa.array(gone))
            if decision.similarity is not None:
                columns["similarity"] = decision.similarity[gone]
            reasons = list(names[decision.code[gone]])
            self._drop(batch.filter(gone), rows[gone], link.label, reasons, frame, columns)
        batch = batch.with_columns(decision.columns).filter(keep)
        return (batch.without(AT) if isinstance(link.stage, Barrier) else batch), rows[keep]

    def _drop(
        self,
        batch: Batch,
        rows: NDArray[np.int64],
        label: str,
        reasons: list[str],
        frame: Frame,
        columns: dict[str, Any],
    ) -> None:
        for reason in reasons:
            self.tallies[label].drop(reason)
        frame.drop(rows, label, reasons)
        out: dict[str, Any] = {name: columns.get(name) for name in DROPPED_SCHEMA.names}
        out |= {name: batch[name] for name in (KEY, "id", "url") if name in batch}
        out |= {PATH: frame.paths.take(pa.array(rows)), POSITION: frame.positions[rows]}
        out |= {
            "stage": [label] * len(reasons),
            "reason": reasons,
            "text": self._kept_texts(batch, label, reasons),
        }
        arrays = [_column(out[f.name], f.type, len(reasons)) for f in DROPPED_SCHEMA]
        self.dropped.add(pa.RecordBatch.from_arrays(arrays, schema=DROPPED_SCHEMA))

    def _kept_texts(self, batch: Batch, label: str, reasons: list[str]) -> list[str | None]:
        if self.unit.drops == "none" or "text" not in batch:
            return [None] * len(reasons)
        texts = batch["text"]
        if self.unit.drops == "text":
            return list(texts.to_pylist())
        kept: list[str | None] = []
        for row, reason in enumerate(reasons):
            taken = self.samples.get((label, reason), 0)
            self.samples[(label, reason)] = taken + 1
            kept.append(texts[row].as_py() if taken < SAMPLES else None)
        return kept

    def summary(self) -> Record:
        stages = [
            {
                "label": label,
                "n_in": tally.n_in,
                "n_added": tally.n_added,
                "n_out": tally.n_in + tally.n_added - sum(tally.reasons.values()),
                "reasons": tally.reasons,
                "seconds": tally.seconds,
            }
            for label, tally in self.tallies.items()
        ]
        outputs = {"data": self.data, "numbers": self.numbers, "dropped": self.dropped}
        return {
            "n_in": self.tallies["read"].n_in,
            "n_out": self.n_out,
            "n_bytes_in": self.n_bytes_in,
            "stages": stages,
            **{name: output.entry() if output else None for name, output in outputs.items()},
        }


_FATAL = (MissingExtra, ImportError, MemoryError, StageError)
"""A failure of the machine or the installation, not of a document: it stops the run."""


class Frame:
    """What is known of each row that entered: where it came from, measurements, its fate."""

    def __init__(self, batch: Batch, measures: Sequence[str]) -> None:
        n_rows = batch.num_rows
        self.keys = batch[KEY]
        self.ids = batch["id"] if "id" in batch else pa.nulls(n_rows, pa.string())
        self.paths = batch[PATH] if PATH in batch else pa.nulls(n_rows, pa.string())
        self.positions = (
            batch[POSITION].to_numpy() if POSITION in batch else np.full(n_rows, -1, np.int64)
        )
        self.values = {name: np.full(n_rows, np.nan, dtype=np.float32) for name in measures}
        self.stage = np.full(n_rows, None, dtype=object)
        self.reason = np.full(n_rows, None, dtype=object)

    def measure(self, name: str, rows: NDArray[np.int64], values: Any) -> None:
        if isinstance(values, pa.Array):
            values = values.to_numpy(zero_copy_only=False)
        self.values[name][rows] = np.asarray(values, dtype=np.float32)

    def drop(self, rows: NDArray[np.int64], stage: str, reasons: list[str]) -> None:
        self.stage[rows] = stage
        self.reason[rows] = reasons

    def record_batch(self) -> pa.RecordBatch:
        arrays = [
            self.keys,
            self.ids,
            self.paths,
            pa.array(self.positions),
            pa.array(self.stage, pa.string()),
            pa.array(self.reason, pa.string()),
            *(pa.array(values, from_pandas=True) for values in self.values.values()),
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=frame_schema(tuple(self.values)))


def frame_schema(measures: Sequence[str]) -> pa.Schema:
    """Columns of numbers/: identity, origin, fate, then one float32 per measurement."""
    fixed = [
        (KEY, KEY_TYPE),
        ("id", pa.string()),
        (PATH, pa.string()),
        (POSITION, pa.int64()),
        ("dropped_by", pa.string()),
        ("reason", pa.string()),
    ]
    return pa.schema([*fixed, *((name, pa.float32()) for name in measures)])


def _new_numbers(before: Batch, after: Batch) -> list[str]:
    """Floating-point columns that a stage added: scores, kept among the numbers."""
    return [
        name
        for name in after.names
        if name not in before and pa.types.is_floating(after[name].type)
    ]


def _errors(tally: Tally) -> Iterator[int]:
    return (n for reason, n in tally.reasons.items() if reason.startswith("error:"))


def _text_bytes(batch: Batch) -> int:
    for name in ("text", "html"):
        if name in batch:
            return int(pc.sum(pc.binary_length(batch[name])).as_py() or 0)
    return 0


def _column(values: Any, kind: pa.DataType, n_rows: int) -> pa.Array:
    if values is None:
        return pa.nulls(n_rows, kind)
    if isinstance(values, pa.Array):
        return values if values.type == kind else values.cast(kind)
    if isinstance(values, np.ndarray) and pa.types.is_floating(kind):
        return pa.array(values, kind, from_pandas=True)
    return pa.array(values, kind)


def _cast(data: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    arrays = [data.column(field.name).cast(field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


# --- output files -------------------------------------------------------------------------------


class _Output:
    """One Parquet file of a unit: regrouped, hashed while it is written, atomic, absent if empty."""

    def __init__(self, path: str, schema: pa.Schema) -> None:
        self.path = path
        self.schema = schema
        self.n_rows = 0
        self._regroup = rowgroups.Regrouper(schema)
        self._file: rowgroups.HashedFile | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        self.n_rows += batch.num_rows
        for group in self._regroup.add(batch):
            self._write(group)

    def _write(self, group: pa.Table) -> None:
        if self._file is None:
            self._file = rowgroups.HashedFile(self.path, self.schema)
        self._file.write(group)

    def close(self) -> None:
        for group in self._regroup.rest():
            self._write(group)
        if self._file is not None:
            self._file.close()

    def abandon(self) -> None:
        if self._file is not None:
            self._file.abandon()

    def entry(self) -> Record | None:
        """Path, rows, bytes and digest for the record; None if there was no row."""
        if self._file is None:
            return None
        return {"path": self.path, "n_rows": self.n_rows, **self._file.facts()}


# --- other units --------------------------------------------------------------------------------


@dataclass(frozen=True)
class SketchUnit:
    """One shard of a barrier's input."""

    unit: str
    segment: str
    path: str  # data file of the shard, "" if it has no rows
    shard: int
    n_rows: int
    barrier: Barrier
    folder: str
    record: str
    input: str


def run_sketch(unit: SketchUnit) -> Record:
    """Sketches a shard; the record holds the file and its row groups."""
    started = time.time()
    reset_peak()
    sketch = unit.barrier.sketch()
    output: _Output | None = None
    row = 0
    for batch in read_parquet(unit.path, _sketch_columns(unit)) if unit.path else ():
        at = np.arange(row, row + batch.num_rows, dtype=np.int64) + (unit.shard << 32)
        rows = sketch(Batch(batch.data, {}))
        small = Batch(rows).with_columns({AT: at, KEY: batch[KEY]}).data
        if output is None:
            path = storage.join(unit.folder, f"sketch-{unit.unit}.parquet")
            output = _Output(path, small.schema)
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


# --- memory -------------------------------------------------------------------------------------


def reset_peak() -> None:
    """Sets the kernel's high-water mark of this process to its present size."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        pass  # not Linux, or not allowed: the peak is then the process's, not the unit's


def peak_bytes() -> int:
    """The largest resident size since `reset_peak`, in bytes; 0 where it cannot be read."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            line = next(line for line in file if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        return 0
