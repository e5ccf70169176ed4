"""The passage of one shard through the stages of a segment: rows, fates, measurements, counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ultraclean import storage
from ultraclean.document import AT, ERROR, KEY, KEY_TYPE, PATH, POSITION, Batch
from ultraclean.errors import MissingExtra, StageError
from ultraclean.frame import REPLACED, Frame, frame_schema
from ultraclean.ledger import Record
from ultraclean.rowgroups import Output
from ultraclean.stage import Barrier, Decision, Map, Stage

HOPELESS = 1000
"""Errors in one shard after which a share of twice `max_error_fraction` stops it before its end."""

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
class Link:
    """One opened stage of a chain."""

    stage: Stage
    call: Callable[[Batch], Batch] | Callable[[Batch], Decision]

    @property
    def label(self) -> str:
        return self.stage.called


@dataclass
class Tally:
    """Counts of one stage in one unit."""

    n_in: int = 0
    n_added: int = 0
    seconds: float = 0.0
    reasons: dict[str, int] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)

    def drop(self, reason: str, n_docs: int = 1) -> None:
        self.reasons[reason] = self.reasons.get(reason, 0) + n_docs


@dataclass(frozen=True)
class Way:
    """What a passage needs to know of its unit."""

    segment: str
    shard: int
    folder: str
    unit: str
    drops: str
    max_error_fraction: float


class Passage:
    """The state of one unit: three open files and the counts."""

    def __init__(self, way: Way, links: tuple[Link, ...]) -> None:
        self.way = way
        self.links = links
        self.tallies: dict[str, Tally] = {"read": Tally()}
        self.tallies |= {link.label: Tally() for link in links}
        self.samples: dict[tuple[str, str], int] = {}
        self.n_bytes_in = 0
        self.n_out = 0
        self.measures: tuple[str, ...] = ()
        self.schema: pa.Schema | None = None
        self.data: Output | None = None
        self.numbers: Output | None = None
        self.dropped = Output(self._path("dropped"), DROPPED_SCHEMA)

    def __enter__(self) -> Passage:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        outputs = [o for o in (self.data, self.numbers, self.dropped) if o is not None]
        for output in outputs:
            if kind is None:
                output.close()
            else:
                output.abandon()

    def _path(self, what: str) -> str:
        return storage.join(self.way.folder, f"{what}-{self.way.unit}.parquet")

    def timed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches, with the time that reading them takes put to the account of `read`."""
        while True:
            begun = time.perf_counter()
            batch = next(batches, None)
            self.tallies["read"].seconds += time.perf_counter() - begun
            if batch is None:
                return
            yield batch

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
        n_read = self.tallies["read"].n_in
        if errors > max(HOPELESS, 2 * self.way.max_error_fraction * n_read):
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
            f"{self.way.segment}, shard {self.way.shard}: {errors} of the first "
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
                message = f"{self.way.segment}: {link.label} fails on an empty batch: {error}"
                raise StageError(message) from error
            if isinstance(result, Decision):
                measures |= dict.fromkeys(f"{link.label}.{name}" for name in result.numbers)
                batch = batch.with_columns(result.columns)
            else:
                result = _typed(link.stage, result)
                measures |= dict.fromkeys(_new_numbers(batch, result))
                batch = result
        self.measures = tuple(measures)
        batch = batch.without(AT, PATH, POSITION, ERROR)
        self.schema = batch.data.schema.remove_metadata()
        self.data = Output(self._path("data"), self.schema)
        self.numbers = Output(self._path("numbers"), frame_schema(self.measures))

    def _go(self, batch: Batch, rows: NDArray[np.int64], start: int, frame: Frame) -> None:
        for index in range(start, len(self.links)):
            if not batch.num_rows:
                return
            link = self.links[index]
            result = self._call(link, batch)
            if isinstance(result, Exception):
                self._isolate(result, batch, rows, index, frame)
                return
            self.tallies[link.label].n_in += batch.num_rows
            if isinstance(result, Decision):
                batch, rows = self._decide(batch, rows, link, result, frame)
                continue
            result = _typed(link.stage, result)
            if isinstance(link.stage, Map) and link.stage.expands:
                self._expand(batch, rows, result, index, frame)
                return
            if result.num_rows != batch.num_rows:
                message = f"{link.label} returned {result.num_rows} rows for {batch.num_rows}"
                raise StageError(f"{self.way.segment}: {message}")
            for name in _new_numbers(batch, result):
                frame.measure(name, rows, result[name])
            batch, rows = self._take_errors(result, rows, link.label, frame)
        self._keep(batch)

    def _call(self, link: Link, batch: Batch) -> Batch | Decision | Exception:
        """The stage's answer, or what it raised because of a document."""
        begun = time.perf_counter()
        try:
            return link.call(batch)
        except _FATAL:
            raise
        except Exception as error:
            return error
        finally:
            self.tallies[link.label].seconds += time.perf_counter() - begun

    def _isolate(
        self, error: Exception, batch: Batch, rows: NDArray[np.int64], index: int, frame: Frame
    ) -> None:
        """Tries each half of a batch again; a row that fails by itself is an error of its own."""
        if batch.num_rows > 1:
            half = batch.num_rows // 2
            self._go(batch.slice(0, half), rows[:half], index, frame)
            self._go(batch.slice(half, batch.num_rows - half), rows[half:], index, frame)
            return
        label = self.links[index].label
        self.tallies[label].n_in += 1
        text = f"{type(error).__name__}: {error}"
        failed = batch.with_columns({ERROR: pa.array([text], pa.string())})
        self._take_errors(failed, rows, label, frame)

    def _expand(
        self, batch: Batch, rows: NDArray[np.int64], made: Batch, index: int, frame: Frame
    ) -> None:
        """Goes on with the rows that a stage made; those of which it made them end here."""
        label = self.links[index].label
        self.tallies[label].n_added += made.num_rows - batch.num_rows
        frame.drop(rows, label, [REPLACED] * batch.num_rows)
        new = Frame(made, self.measures)
        kept, new_rows = self._take_errors(made, np.arange(made.num_rows), label, new)
        self._go(kept, new_rows, index + 1, new)
        assert self.numbers is not None
        self.numbers.add(new.record_batch())

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
        self._drop(bad, rows[failed], label, reasons, frame, columns={"detail": details})
        return batch.filter(~failed).without(ERROR), rows[~failed]

    def _decide(
        self, batch: Batch, rows: NDArray[np.int64], link: Link, decision: Decision, frame: Frame
    ) -> tuple[Batch, NDArray[np.int64]]:
        found = self.tallies[link.label].found
        for name, n in decision.found.items():
            found[name] = found.get(name, 0) + n
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
            if decision.detail is not None:
                columns["detail"] = decision.detail.filter(pa.array(gone))
            if decision.similarity is not None:
                columns["similarity"] = decision.similarity[gone]
            reasons = list(names[decision.code[gone]])
            self._drop(batch.filter(gone), rows[gone], link.label, reasons, frame, columns=columns)
        batch = batch.with_columns(decision.columns).filter(keep)
        return (batch.without(AT) if isinstance(link.stage, Barrier) else batch), rows[keep]

    def _drop(
        self,
        batch: Batch,
        rows: NDArray[np.int64],
        label: str,
        reasons: list[str],
        frame: Frame,
        *,
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
        if self.way.drops == "none" or "text" not in batch:
            return [None] * len(reasons)
        texts = batch["text"]
        if self.way.drops == "text":
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
                **({"found": tally.found} if tally.found else {}),
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


def _typed(stage: Stage, batch: Batch) -> Batch:
    """The columns that a stage adds, in the types that it declares (an empty list has none)."""
    declared = stage.adds()
    columns = {
        name: batch[name].cast(kind)
        for name, kind in declared.items()
        if name in batch and batch[name].type != kind
    }
    return batch.with_columns(columns) if columns else batch


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
