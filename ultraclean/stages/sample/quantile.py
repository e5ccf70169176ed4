"""Keeps the best `share` (or `count`) of documents by a column, exactly, of all or of each group.

Order: the higher value first, ties by the lower key; a null or NaN value is last. A share keeps
`ceil(share * n)` documents, n with the nulls, so a group of any size keeps one. Values compare as
float64.

A group of which a task can hold all (value, key) pairs is sorted in one. For a larger one (or all
documents, without `per`) the rank is found from the top as in radix selection: (value, key) is 192
bits, and each pass over the sketches counts the next twelve among those documents that still tie with
the cut, until these few fit; then all documents after the cut are told so. Three passes are usual.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ultraclean.document import Batch
from ultraclean.errors import StageError
from ultraclean.stage import Barrier, Decision
from ultraclean.stages.sample import ranking

if TYPE_CHECKING:
    from ultraclean.exchange import Sketches


class Quantile(Barrier):
    stage: ClassVar[str] = "sample.quantile"
    paper: ClassVar[str] = (
        "exact selection by radix; used as the quality cut of Ultra-FineWeb's kind"
    )
    reasons: ClassVar[tuple[str, ...]] = ("below_quantile",)

    column: str = Field(description="what is compared, the higher the better")
    share: float | None = Field(
        default=None, gt=0, le=1, description="keep this share of documents (or set count)"
    )
    count: int | None = Field(
        default=None, ge=1, description="keep this many documents (or set share)"
    )
    per: str | None = Field(
        default=None, description="a column: the share or count is kept of each of its values"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.share is None) == (self.count is None):
            raise ValueError("set either share or count")
        return self

    def needs(self) -> tuple[str, ...]:
        return (self.column,) if self.per is None else (self.column, self.per)

    def n_kept(self, n_docs: int) -> int:
        """How many of a group of `n_docs` are kept."""
        return ranking.n_kept(self.share, self.count, n_docs)

    def sketch(self) -> Callable[[Batch], pa.RecordBatch]:
        return functools.partial(ranking.sketch_rows, functools.partial(_values, self), self.per)

    def resolve(self, sketches: Sketches) -> dict[str, Any]:
        return ranking.resolve(self.n_kept, sketches)

    def apply(
        self, card: Mapping[str, Any], verdicts: pa.Table | None
    ) -> Callable[[Batch], Decision]:
        return ranking.decider(
            self.reasons, self.column, functools.partial(_values, self), verdicts
        )


def _values(stage: Quantile, batch: Batch) -> NDArray[np.float64]:
    from ultrakernels import order

    try:
        return order.as_float(batch[stage.column])
    except TypeError as error:
        raise StageError(f"{stage.called}: the column {stage.column!r}: {error}") from None
