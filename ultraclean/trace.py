"""One document's life, stage by stage: what each measured and changed, why and for whom it went.

Nothing of this is stored: the document is found in the numbers of a run, read again from its
source, and replayed alone through the same pure functions.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ultraclean import storage
from ultraclean.document import AT, ERROR, KEY, KEY_TYPE, Batch
from ultraclean.errors import DataError
from ultraclean.finished import Done
from ultraclean.forecast import look
from ultraclean.ledger import Record
from ultraclean.passage import Link
from ultraclean.pipeline import Pipeline
from ultraclean.stage import Decision
from ultraclean.unit import RowsUnit, open_links, read_batches

DIFF_LINES = 40


def trace(pipeline: Pipeline, run: str, wanted: str) -> str:
    """The life of the documents whose `id`, `url` or key (32 hex digits) is `wanted`."""
    _, done = look(pipeline, run)
    rows = [one for one in done.values() if one.segment.kind == "rows"]
    found = [
        (one, record, key)
        for one in rows
        for record in one.records
        for key in _keys(record, wanted)
    ]
    if not found:
        raise DataError(
            f"no document with the id, url or key {wanted!r} in {run}: "
            "ids are as in the input, keys as in dropped/ and tables/"
        )
    lines: list[str] = []
    names = _Names(rows)
    for key in dict.fromkeys(key for _, _, key in found):
        lines += [f"document {wanted}  key {key.hex()}"]
        for one, record, its_key in found:
            if its_key == key:
                lines += [f"  {line}" for line in _segment(one, record, key, names)]
        lines.append("")
    return "\n".join(lines).rstrip()


def _keys(record: Record, wanted: str) -> list[bytes]:
    """Keys of the rows of one unit that carry the name."""
    entry = record["numbers"]
    if entry is None:
        return []
    mask, table = _matches(entry["path"], [KEY, "id"], wanted)
    if not mask.any() and record["data"]:
        mask, table = _matches(record["data"]["path"], [KEY, "url"], wanted)
    if not mask.any() and record["dropped"]:
        mask, table = _matches(record["dropped"]["path"], [KEY, "url"], wanted)
    return list(table.filter(pa.array(mask))[KEY].to_pylist())


def _matches(path: str, columns: list[str], wanted: str) -> tuple[np.ndarray[Any, Any], pa.Table]:
    with storage.open_read(path) as stream, pq.ParquetFile(stream) as file:
        names = [name for name in columns if name in file.schema_arrow.names]
        table = file.read(names)
    mask = np.zeros(table.num_rows, dtype=bool)
    for name in names:
        if name == KEY:
            if len(wanted) == 32 and all(c in "0123456789abcdef" for c in wanted.lower()):
                key = pa.scalar(bytes.fromhex(wanted), KEY_TYPE)
                mask |= np.asarray(pc.equal(table[KEY], key).to_numpy())
        else:
            same = pc.fill_null(pc.equal(table[name], wanted), False)
            mask |= np.asarray(same.to_numpy())
    return mask, table


class _Names(dict[bytes, str]):
    """Key -> id, read from the numbers of a run when first asked."""

    def __init__(self, rows: list[Done]) -> None:
        super().__init__()
        self._rows = rows

    def __missing__(self, key: bytes) -> str:
        for one in self._rows:
            for record in one.records:
                if record["numbers"]:
                    mask, table = _matches(record["numbers"]["path"], [KEY, "id"], key.hex())
                    if mask.any():
                        self[key] = str(table.filter(pa.array(mask))["id"][0].as_py())
                        return self[key]
        return ""


def _segment(one: Done, record: Record, key: bytes, names: dict[bytes, str]) -> Iterator[str]:
    unit: RowsUnit = next(unit for unit in one.units if unit.unit == record["unit"])
    yield f"{one.segment.name}, shard {record['shard']}"
    for batch in read_batches(unit):
        same = np.asarray(pc.equal(batch[KEY], pa.scalar(key, KEY_TYPE)))
        if same.any():
            yield from _replay(batch.filter(same), open_links(unit), key, names)
            return
    # The key was made by a stage that adds rows: it is not in the source.
    yield "  made by a stage of this segment from another document"


def _replay(
    batch: Batch, links: tuple[Link, ...], key: bytes, names: dict[bytes, str]
) -> Iterator[str]:
    if "text" in batch:
        yield f"  read: {_size(batch)}"
    error = _error(batch)
    if error:
        yield f"  DROPPED by read: error:{error}"
        return
    batch = batch.without(ERROR)
    for link in links:
        try:
            result = link.call(batch)
        except Exception as failure:
            yield f"  DROPPED by {link.label}: error:{type(failure).__name__}: {failure}"
            return
        after = batch.with_columns(result.columns) if isinstance(result, Decision) else result
        yield f"  {link.label}: {_measured(batch, after, result)}"
        yield from _diff(batch, after)
        if isinstance(result, Decision) and not result.keep[0]:
            yield f"  DROPPED by {link.label}: {_why(result, names)}"
            return
        error = _error(after)
        if error:
            yield f"  DROPPED by {link.label}: error:{error}"
            return
        batch = after.without(ERROR, AT)
    yield "  kept"


def _measured(before: Batch, after: Batch, result: Any) -> str:
    if isinstance(result, Decision):
        numbers = {name: float(values[0]) for name, values in result.numbers.items()}
        parts = [f"{name} {value:.6g}" for name, value in numbers.items() if not np.isnan(value)]
    else:
        added = [name for name in after.names if name not in before and not name.startswith("_")]
        parts = [f"{name} = {_short(after[name][0].as_py())}" for name in added]
    return ", ".join(parts) or "nothing measured"


def _why(decision: Decision, names: dict[bytes, str]) -> str:
    reason = decision.reasons[decision.code[0]]
    parts = [reason]
    if not np.isnan(decision.value[0]):
        parts.append(f"value {decision.value[0]:.6g}, threshold {decision.threshold[0]:.6g}")
    if decision.same_as is not None and decision.same_as[0].is_valid:
        kept = decision.same_as[0].as_py()
        parts.append(f"same as {names[kept]} (key {kept.hex()})")
    if decision.similarity is not None and not np.isnan(decision.similarity[0]):
        parts.append(f"similarity {decision.similarity[0]:.3f}")
    if decision.detail is not None and decision.detail[0].is_valid:
        parts.append(str(decision.detail[0].as_py()))
    return ", ".join(parts)


def _error(batch: Batch) -> str | None:
    return batch[ERROR][0].as_py() if ERROR in batch else None


def _diff(before: Batch, after: Batch) -> Iterator[str]:
    """A unified diff of the text where a stage rewrote it, cut to some lines."""
    if "text" not in before or before["text"].equals(after["text"]):
        return
    old, new = (batch["text"][0].as_py() or "" for batch in (before, after))
    diff = list(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=1))[2:]
    for line in diff[:DIFF_LINES]:
        yield f"      {line[:200]}"
    if len(diff) > DIFF_LINES:
        yield f"      ... {len(diff) - DIFF_LINES} more lines"


def _size(batch: Batch) -> str:
    text = batch["text"][0].as_py()
    return "no text" if text is None else f"{len(text):,} characters, begins {_short(text)}"


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, float) else f"{value:.6g}"
    return text if len(text) <= 80 else f"{text[:77]}..."
