"""Repeats documents by a column: quality, or how often a page was found before deduplication.

FineWeb-2's rehydration (Penedo et al. 2025, arXiv 2506.20920): after deduplication a document stands
for a cluster, and clusters of some sizes are worth repeating; `steps` maps the column to repeats.
A weight of 2.3 gives two copies, and a third to three documents in ten, by a hash of key and seed.

The first copy keeps its key; the others have keys of their own and `_parent`. A weight below one
counts as one: no stage deletes rows here, and `sample.random` with `column:` thins out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ultraclean.document import KEY, KEY_TYPE, PARENT, Batch, child_keys
from ultraclean.errors import StageError
from ultraclean.stage import Map
from ultraclean.stages.sample import ranking


class Upsample(Map):
    """Adds rows, and the column `_parent`, which is null for what was there before."""

    stage: ClassVar[str] = "sample.upsample"
    main: ClassVar[str | None] = "column"
    paper: ClassVar[str] = "FineWeb-2 (arXiv 2506.20920), rehydration"
    expands: ClassVar[bool] = True

    column: str = Field(description="how often a document is repeated; null counts as one")
    steps: dict[float, float] | None = Field(
        default=None,
        description="from this value of the column on -> so many copies; none: the column itself "
        "is the number of copies",
    )
    max_copies: int = Field(
        default=100, ge=1, description="no document stands more often than this"
    )
    seed: int | None = Field(
        default=None, description="none: by the pipeline's and the stage's name"
    )

    @field_validator("steps")
    @classmethod
    def _sensible(cls, steps: dict[float, float] | None) -> dict[float, float] | None:
        if steps is not None and (not steps or min(steps.values()) < 0):
            raise ValueError("steps: give at least one, with a number of copies of 0 or more")
        return steps

    def needs(self) -> tuple[str, ...]:
        return (self.column,)

    def adds(self) -> Mapping[str, pa.DataType]:
        return {PARENT: KEY_TYPE}

    def open(self) -> Callable[[Batch], Batch]:
        def repeat(batch: Batch) -> Batch:
            n_copies = self._copies(batch)
            rows = np.repeat(np.arange(batch.num_rows), n_copies)
            first = np.repeat(np.cumsum(n_copies) - n_copies, n_copies)
            ordinal = np.arange(len(rows)) - first
            data = batch.data.take(pa.array(rows))
            is_copy = pa.array(ordinal > 0)
            keys, parents = data.column(KEY), pa.nulls(len(rows), KEY_TYPE)
            if PARENT in batch:
                parents = data.column(PARENT)
            made = child_keys(keys, ordinal)
            return Batch(data).with_columns(
                {
                    KEY: pc.if_else(is_copy, made, keys),
                    PARENT: pc.if_else(is_copy, keys, parents),
                }
            )

        return repeat

    def _copies(self, batch: Batch) -> NDArray[np.int64]:
        from ultrakernels import order

        try:
            value = order.as_float(batch[self.column])
        except TypeError as error:
            raise StageError(f"{self.called}: the column {self.column!r}: {error}") from None
        weight = value
        if self.steps is not None:
            starts = np.array(sorted(self.steps))
            copies = np.array([1.0, *(self.steps[start] for start in sorted(self.steps))])
            weight = copies[np.searchsorted(starts, value, side="right")]
            weight[np.isnan(value)] = 1.0
        weight = np.clip(np.nan_to_num(weight, nan=1.0), 1.0, self.max_copies)
        whole = np.floor(weight)
        more = ranking.draws(self.seed, batch) < weight - whole
        return (whole + more).astype(np.int64)
