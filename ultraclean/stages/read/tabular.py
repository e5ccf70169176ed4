"""Rows of formats that have columns of their own types (Parquet, Arrow) as the columns of a source.

Whole columns at once where they are what they should be; else row by row, so that each bad value is
a row of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ultraclean.document import ERROR, PATH, POSITION, Batch
from ultraclean.inputs import Part
from ultraclean.stages.read.columns import (
    BATCH_BYTES,
    TYPES,
    BadValueError,
    Files,
    Rows,
    columns_of,
    metadata_of,
)


class Tabular(Files):
    """What `read.parquet` and `read.arrow` share."""

    def failed(self, part: Part, position: int, message: str) -> Iterator[Batch]:
        rows = Rows(self.adds())
        rows.relative = part.relative
        rows.error(position, f"CorruptFile: {message}")
        yield from rows.take()

    def batch(self, relative: str, first: int | NDArray[np.int64], data: pa.RecordBatch) -> Batch:
        """Rows that follow each other from position `first`, or each with its own."""
        count = np.arange(data.num_rows, dtype=np.int64)
        positions = count + first if isinstance(first, int) else first
        return self._quick(relative, positions, data) or self._slow(relative, positions, data)

    def _quick(
        self, relative: str, positions: NDArray[np.int64], data: pa.RecordBatch
    ) -> Batch | None:
        """Whole columns at once; None where some row needs a closer look."""
        n_docs = data.num_rows
        arrays: dict[str, pa.Array] = {}
        sources = {"id": self.id, "text": self.text, "url": self.url}
        wanted = {ours: (theirs, pa.string()) for ours, theirs in sources.items() if theirs}
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
        if self.text is None:
            arrays["text"] = pa.array([""] * n_docs, pa.string())
        if arrays["id"].null_count:
            made_up = [f"{relative}#{position}" for position in positions.tolist()]
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
        arrays[POSITION] = pa.array(positions)
        arrays[ERROR] = pa.nulls(n_docs, pa.string())
        return Batch(pa.RecordBatch.from_pydict(arrays))

    def _slow(self, relative: str, positions: NDArray[np.int64], data: pa.RecordBatch) -> Batch:
        """Row by row, so that each bad value is a row of its own."""
        rows = Rows(self.adds())
        rows.relative = relative
        columns = {
            name: _values(column)
            for name, column in zip(data.schema.names, data.columns, strict=True)
        }
        for index, position in enumerate(positions.tolist()):
            fields = {name: values[index] for name, values in columns.items()}
            given = fields.get(self.id)
            try:
                for name, value in fields.items():
                    if isinstance(value, UnicodeDecodeError):
                        raise BadValueError(
                            f"InvalidUtf8: byte 0x{value.object[value.start]:02x} at byte "
                            f"{value.start} of the field {name!r}"
                        )
                rows.add(position, 0, columns_of(fields, self))
            except BadValueError as error:
                rows.error(position, str(error), given if isinstance(given, str) else None)
        return next(rows.take())


def bounded(data: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Halves of a batch that is larger than the row group's average promised."""
    if data.num_rows > 1 and data.nbytes > 2 * BATCH_BYTES:
        half = data.num_rows // 2
        yield from bounded(data.slice(0, half))
        yield from bounded(data.slice(half))
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
