"""Keeps a random share of documents, each by a number that depends on its key and the seed alone.

Row-local: about the share, not exactly (of n documents give or take `sqrt(n * share * (1 - share))`),
the same documents on any executor and however the input is cut; more input adds to the sample and
changes nothing in it. `sample.reservoir` keeps an exact number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ultraclean.document import Batch
from ultraclean.errors import StageError
from ultraclean.stage import Decision, Filter
from ultraclean.stages.sample import ranking


class Random(Filter):
    stage: ClassVar[str] = "sample.random"
    main: ClassVar[str | None] = "share"
    paper: ClassVar[str] = "our own"
    reasons: ClassVar[tuple[str, ...]] = ("not_sampled",)

    share: float | None = Field(
        default=None, ge=0, le=1, description="keep this share of documents (or set column)"
    )
    column: str | None = Field(
        default=None,
        description="a column with each document's chance to be kept; 1 and more keep, null drops",
    )
    seed: int | None = Field(
        default=None, description="none: by the pipeline's and the stage's name"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.share is None) == (self.column is None):
            raise ValueError("set either share or column")
        return self

    def needs(self) -> tuple[str, ...]:
        return () if self.column is None else (self.column,)

    def open(self) -> Callable[[Batch], Decision]:
        def judge(batch: Batch) -> Decision:
            chance = self._chances(batch)
            draw = ranking.draws(self.seed, batch)
            dropped = ~(draw < chance)
            return Decision(
                self.reasons,
                np.where(dropped, 0, -1).astype(np.int16),
                np.where(dropped, draw, np.nan),
                np.where(dropped, chance, np.nan),
                {"draw": draw},
            )

        return judge

    def _chances(self, batch: Batch) -> NDArray[np.float64]:
        if self.column is None:
            return np.full(batch.num_rows, self.share)
        from ultrakernels import order

        try:
            return np.nan_to_num(order.as_float(batch[self.column]), nan=0.0)
        except TypeError as error:
            raise StageError(f"{self.called}: the column {self.column!r}: {error}") from None
