"""What is known of each row that entered a segment: its origin, its measurements, its fate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ultraclean.document import KEY, KEY_TYPE, PATH, POSITION, Batch

REPLACED = "replaced"
"""Among the numbers, the fate of a row in whose place a stage put others; it is no drop."""


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
