"""Keeps a random share, or a random number, of the documents of each value of a column, exactly.

Each stratum is sampled by itself: a `share` keeps the proportions and at least one document of
each, a `count` makes all strata of one size where they have enough. Which documents is a hash of their
keys and the seed; the exact cut is that of `sample.quantile`, for any number of strata.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pyarrow as pa
from pydantic import Field, model_validator

from ultraclean.document import Batch
from ultraclean.stage import Barrier, Decision
from ultraclean.stages.sample import ranking

if TYPE_CHECKING:
    from ultraclean.exchange import Sketches


class Stratified(Barrier):
    stage: ClassVar[str] = "sample.stratified"
    paper: ClassVar[str] = "stratified random sampling; exact selection by radix"
    reasons: ClassVar[tuple[str, ...]] = ("not_sampled",)

    by: str = Field(description="column whose values are the strata; null is one of them")
    share: float | None = Field(
        default=None, gt=0, le=1, description="keep this share of each stratum (or set count)"
    )
    count: int | None = Field(
        default=None, ge=1, description="keep this many of each stratum (or set share)"
    )
    seed: int | None = Field(
        default=None, description="none: by the pipeline's and the stage's name"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.share is None) == (self.count is None):
            raise ValueError("set either share or count")
        return self

    def needs(self) -> tuple[str, ...]:
        return (self.by,)

    def n_kept(self, n_docs: int) -> int:
        """How many of a stratum of `n_docs` are kept."""
        return ranking.n_kept(self.share, self.count, n_docs)

    def sketch(self) -> Callable[[Batch], pa.RecordBatch]:
        values = functools.partial(ranking.draws, self.seed)
        return functools.partial(ranking.sketch_rows, values, self.by)

    def resolve(self, sketches: Sketches) -> dict[str, Any]:
        return ranking.resolve(self.n_kept, sketches)

    def apply(
        self, card: Mapping[str, Any], verdicts: pa.Table | None
    ) -> Callable[[Batch], Decision]:
        values = functools.partial(ranking.draws, self.seed)
        return ranking.decider(self.reasons, "draw", values, verdicts)
