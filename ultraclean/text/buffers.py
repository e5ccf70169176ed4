"""A column of strings as plain UTF-8 bytes and offsets, without copying where Arrow allows it.

The one place that knows about slices, nulls and the string types of Arrow; kernels get arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Utf8:
    """Document i is data[offsets[i]:offsets[i + 1]]; a null is an empty text."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @property
    def n_docs(self) -> int:
        return len(self.offsets) - 1


def utf8(column: pa.Array) -> Utf8:
    """A view: the bytes of a string column (string, large_string, string_view, dictionary)."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        column = column.cast(pa.large_string())
    if column.null_count:
        column = pc.fill_null(column, "")
    _, starts, raw = column.buffers()
    width = np.dtype(np.int64 if pa.types.is_large_string(column.type) else np.int32)
    if len(column) == 0 or starts is None:
        return Utf8(_bytes(None), np.zeros(len(column) + 1, dtype=np.int64))
    offsets = np.frombuffer(
        starts, dtype=width, count=len(column) + 1, offset=column.offset * width.itemsize
    )
    return Utf8(_bytes(raw), offsets.astype(np.int64))


def _bytes(raw: Any) -> NDArray[np.uint8]:
    """Bytes of a buffer; read-only even when empty, so that kernels see one type."""
    return np.frombuffer(b"\0" if raw is None or raw.size == 0 else raw, dtype=np.uint8)


def of_strings(values: list[str]) -> Utf8:
    """The same from Python strings."""
    return utf8(pa.array(values, pa.large_string()))
