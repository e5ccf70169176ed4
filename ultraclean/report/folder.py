"""Reads what a report shows from a run folder, in bounded memory whatever the size of the run.

Counts come from run.json and are exact. Measurements and texts come from row groups spread evenly
over numbers/, dropped/ and the tables, up to a fixed number of rows; `Extent` says how many. Every
choice depends on keys and positions only, so the same folder gives the same report.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ultraclean import storage
from ultraclean.document import KEY, PATH, POSITION
from ultraclean.errors import DataError
from ultraclean.report.histogram import Drops

MAX_FILES: Final = 64
"""Files of one segment that are opened."""
MAX_ROWS: Final = 2**20
"""Rows of one segment that are read for histograms, medians and samples."""
MAX_VALUES: Final = 2**25
"""Measurements held at a time: 128 MiB."""
MAX_LOOKED_UP: Final = 2**22
"""Keys of one segment that are searched for the kept copies of duplicates."""
MAX_CHARS: Final = 1500
"""Characters of a text that are shown."""
T = TypeVar("T")

FIXED: Final = (KEY, "id", PATH, POSITION, "dropped_by", "reason")


@dataclass(frozen=True)
class Group:
    """One row group of one Parquet file."""

    path: str
    index: int
    n_rows: int


@dataclass(frozen=True)
class Extent:
    """How much was read: `n_rows` of `n_all`, which is an estimate where not all files were opened."""

    n_rows: int = 0
    n_all: int = 0
    complete: bool = True


@dataclass(frozen=True)
class Sample:
    """A document as the report shows it."""

    key: bytes
    id: str | None
    url: str | None
    text: str | None
    n_chars: int
    origin: str | None = None
    value: float | None = None
    threshold: float | None = None
    same_as: bytes | None = None
    similarity: float | None = None
    detail: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Dropped:
    """What dropped/ has of one (stage, reason)."""

    values: list[NDArray[np.float64]] = field(default_factory=list)
    thresholds: set[float] = field(default_factory=set)
    n_read: int = 0
    samples: list[Sample] = field(default_factory=list)

    @property
    def drops(self) -> Drops:
        values = np.concatenate(self.values) if self.values else np.empty(0)
        return Drops(values, tuple(sorted(self.thresholds)))

    @property
    def median(self) -> float | None:
        values = self.drops.values
        values = values[np.isfinite(values)]
        return float(np.median(values)) if len(values) else None


@dataclass(frozen=True)
class Numbers:
    """Measurements of one segment: float32[n_rows] each, and what dropped the row, if anything."""

    values: dict[str, NDArray[np.float32]]
    dropped_by: NDArray[np.object_]
    reason: NDArray[np.object_]
    extent: Extent


class RunFolder:
    """A finished run."""

    def __init__(self, path: str) -> None:
        self.path = path
        summary = storage.join(path, "run.json")
        if not storage.exists(summary):
            raise DataError(f"{summary}: there is none; a report needs a run that has finished")
        self.run: dict[str, Any] = storage.read_json(summary)
        self.segments: list[dict[str, Any]] = self.run.get("segments", [])
        self.pipeline = self._text("pipeline.yaml")

    def _text(self, name: str) -> str | None:
        path = storage.join(self.path, name)
        if not storage.exists(path):
            return None
        return storage.read_bytes(path).decode(errors="replace")

    def tables(self) -> list[str]:
        """Tables with rows, in the order in which they were made."""
        return list(dict.fromkeys(s["table"] for s in self.segments if s["kind"] == "rows"))

    def rows_segments(self, table: str) -> list[dict[str, Any]]:
        return [s for s in self.segments if s["kind"] == "rows" and s["table"] == table]

    # --- row groups -----------------------------------------------------------------------------

    def groups(self, folder: str, prefix: str, max_rows: int) -> tuple[list[Group], Extent]:
        """Row groups of `prefix*.parquet`, evenly spread where there are more than `max_rows`."""
        place = storage.join(self.path, folder)
        names = [
            name
            for name in storage.names_in(place)
            if name.startswith(prefix) and name.endswith(".parquet")
        ]
        found: list[Group] = []
        for name in spread(names, MAX_FILES):
            path = storage.join(place, name)
            with storage.open_read(path) as stream:
                footer = pq.ParquetFile(stream).metadata
                found += [
                    Group(path, index, footer.row_group(index).num_rows)
                    for index in range(footer.num_row_groups)
                ]
        n_all = sum(group.n_rows for group in found)
        chosen = found
        if n_all > max_rows:
            chosen = spread(found, max(1, len(found) * max_rows // n_all))
        n_rows = sum(group.n_rows for group in chosen)
        n_all = n_all * len(names) // max(1, min(len(names), MAX_FILES))
        complete = len(chosen) == len(found) and len(names) <= MAX_FILES
        return chosen, Extent(n_rows, n_all, complete)

    # --- numbers --------------------------------------------------------------------------------

    def numbers(self, table: str, segment: Mapping[str, Any]) -> Numbers | None:
        """Measurements of a segment's rows; None if it measured nothing."""
        folder, prefix = f"numbers/{table}", f"{_number(segment)}-"
        groups, extent = self.groups(folder, prefix, MAX_ROWS)
        if not groups:
            return None
        with storage.open_read(groups[0].path) as stream:
            measures = [n for n in pq.ParquetFile(stream).schema_arrow.names if n not in FIXED]
        if not measures:
            return None
        if extent.n_rows * len(measures) > MAX_VALUES:
            groups, extent = self.groups(folder, prefix, MAX_VALUES // len(measures))
        parts: dict[str, list[NDArray[Any]]] = {
            name: [] for name in (*measures, "dropped_by", "reason")
        }
        for rows in read_groups(groups, list(parts)):
            for name, kept in parts.items():
                kept.append(_plain_array(rows[name], name in measures))
        joined = {name: np.concatenate(part) for name, part in parts.items()}
        fate, reason = joined.pop("dropped_by"), joined.pop("reason")
        return Numbers(joined, fate, reason, extent)

    # --- dropped --------------------------------------------------------------------------------

    def dropped(
        self, table: str, segment: Mapping[str, Any], n_samples: int
    ) -> tuple[dict[tuple[str, str], Dropped], Extent]:
        """By (stage, reason): values, thresholds, and the samples with the lowest keys."""
        groups, extent = self.groups(f"dropped/{table}", f"{_number(segment)}-", MAX_ROWS)
        found: dict[tuple[str, str], Dropped] = {}
        for rows in read_groups(groups, None):
            names = _strings(rows["stage"]), _strings(rows["reason"])
            values, thresholds = _floats(rows["value"]), _floats(rows["threshold"])
            for stage, reason in dict.fromkeys(zip(*names, strict=True)):
                mine = (names[0] == stage) & (names[1] == reason)
                one = found.setdefault((stage, reason), Dropped())
                one.n_read += int(mine.sum())
                one.values.append(values[mine])
                limits = np.unique(thresholds[mine])
                one.thresholds |= set(limits[~np.isnan(limits)][:1000].tolist())
                some = _lowest(rows.filter(pa.array(mine & _filled(rows["text"]))), n_samples)
                samples = sorted([*one.samples, *some], key=lambda sample: sample.key)
                one.samples = samples[:n_samples]
        return found, extent

    # --- kept -----------------------------------------------------------------------------------

    def kept(self, table: str, n_samples: int) -> list[Sample]:
        """Some documents that a table ended with: those with the lowest keys of a few row groups."""
        for folder, prefix in self._data(table):
            groups, _ = self.groups(folder, prefix, MAX_ROWS)
            if not groups or not {KEY, "text"} <= set(_names(groups[0])):
                continue
            samples: list[Sample] = []
            for rows in read_groups(spread(groups, 8), None):
                samples += _lowest(rows, n_samples)
            return sorted(samples, key=lambda sample: sample.key)[:n_samples]
        return []

    def _data(self, table: str) -> Iterator[tuple[str, str]]:
        """Where the rows of a table may be: what it wrote, or its last segment."""
        yield f"tables/{table}", ""
        yield f"segments/{self.rows_segments(table)[-1]['fingerprint']}", "data-"

    def find(self, segment: Mapping[str, Any], keys: set[bytes]) -> dict[bytes, Sample]:
        """Documents of a segment by key, as far as a bounded search finds them."""
        found: dict[bytes, Sample] = {}
        folder = f"segments/{segment['fingerprint']}"
        groups, _ = self.groups(folder, "data-", MAX_LOOKED_UP)
        for group in groups:
            if len(found) == len(keys):
                break
            (held,) = read_groups([group], [KEY])
            wanted = pa.array(sorted(keys - found.keys()), held[KEY].type)
            if not pc.any(pc.is_in(held[KEY], value_set=wanted)).as_py():
                continue
            (rows,) = read_groups([group], None)
            rows = rows.filter(pc.is_in(rows[KEY], value_set=wanted))
            found |= {sample.key: sample for sample in _lowest(rows, len(keys))}
        return found


# --- rows ---------------------------------------------------------------------------------------


def read_groups(groups: Sequence[Group], columns: list[str] | None) -> Iterator[pa.Table]:
    """Row groups one at a time; each file is opened once for its run of groups."""
    at = 0
    while at < len(groups):
        path = groups[at].path
        with storage.open_read(path) as stream:
            file = pq.ParquetFile(stream)
            while at < len(groups) and groups[at].path == path:
                yield file.read_row_group(groups[at].index, columns=columns)
                at += 1


def _lowest(rows: pa.Table, n_samples: int) -> list[Sample]:
    """The rows with the lowest keys, as samples: a random choice that is always the same."""
    keys = np.array(rows[KEY].to_pylist(), dtype=object)
    order = np.argsort(keys, kind="stable")[:n_samples]
    floats = [f.name for f in rows.schema if pa.types.is_floating(f.type)]
    return [_sample(row, floats) for row in rows.take(pa.array(order, pa.int64())).to_pylist()]


def _sample(row: Mapping[str, Any], floats: Sequence[str]) -> Sample:
    body = row.get("text")
    body = None if body is None else str(body)
    path, position = row.get(PATH), row.get(POSITION)
    ours = {"value", "threshold", "similarity"} if {"reason", "same_as"} <= row.keys() else set()
    return Sample(
        key=row[KEY],
        id=_short(row.get("id")),
        url=_short(row.get("url")),
        text=None if body is None else body[:MAX_CHARS],
        n_chars=len(body or ""),
        origin=None if path is None else f"{path}:{position}" if position is not None else path,
        value=row.get("value") if ours else None,
        threshold=row.get("threshold") if ours else None,
        same_as=row.get("same_as") if ours else None,
        similarity=row.get("similarity") if ours else None,
        detail=_short(row.get("detail")) if ours else None,
        scores={name: row[name] for name in floats if name not in ours and row[name] is not None},
    )


def _short(value: object, longest: int = 300) -> str | None:
    shown = None if value is None else str(value)
    return shown if shown is None or len(shown) <= longest else shown[: longest - 1] + "…"


def _plain_array(column: pa.ChunkedArray, is_number: bool) -> NDArray[Any]:
    if is_number:
        return np.asarray(column.to_numpy(), dtype=np.float32)
    return _strings(column)


def _strings(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """Few distinct strings, many rows: each string is made once."""
    coded = column.combine_chunks().dictionary_encode()
    coded = coded if isinstance(coded, pa.DictionaryArray) else coded.combine_chunks()
    known = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
    codes = pc.fill_null(coded.indices, len(known) - 1).to_numpy(zero_copy_only=False)
    return np.asarray(known[codes], dtype=object)


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _filled(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(column.is_valid().to_numpy(), dtype=bool)


def _names(group: Group) -> list[str]:
    with storage.open_read(group.path) as stream:
        return list(pq.ParquetFile(stream).schema_arrow.names)


def _number(segment: Mapping[str, Any]) -> str:
    """`web/2` is the segment whose files begin with `2-`."""
    found = re.search(r"/(\d+)", segment["name"][len(segment["table"]) :])
    return found[1] if found else "0"


def spread(items: Sequence[T], n: int) -> list[T]:
    if len(items) <= n:
        return list(items)
    return [items[i * len(items) // n] for i in range(n)]
