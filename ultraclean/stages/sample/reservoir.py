"""Keeps exactly `count` documents at random, with equal chances or by weight.

The sample that reservoir sampling draws, without its dependence on the order of the stream: each
document has a random number by its key and the seed, and the highest are kept (Efraimidis and
Spirakis 2006, A-ES, with weights: `log(random) / weight`). The exact cut is that of `sample.quantile`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from ultraclean.document import Batch
from ultraclean.errors import StageError
from ultraclean.stage import Barrier, Decision
from ultraclean.stages.sample import ranking

if TYPE_CHECKING:
    from ultraclean.exchange import Sketches


class Reservoir(Barrier):
    stage: ClassVar[str] = "sample.reservoir"
    main: ClassVar[str | None] = "count"
    paper: ClassVar[str] = "Efraimidis and Spirakis 2006 (weighted random sampling, A-ES)"
    reasons: ClassVar[tuple[str, ...]] = ("not_sampled",)

    count: int = Field(ge=1, description="keep this many documents, or all if there are fewer")
    weight: str | None = Field(
        default=None,
        description="a column: the chance of a document grows with it; null, 0 and less come last",
    )
    seed: int | None = Field(
        default=None, description="none: by the pipeline's and the stage's name"
    )

    def needs(self) -> tuple[str, ...]:
        return () if self.weight is None else (self.weight,)

    def n_kept(self, n_docs: int) -> int:
        return ranking.n_kept(None, self.count, n_docs)

    def sketch(self) -> Callable[[Batch], pa.RecordBatch]:
        return functools.partial(ranking.sketch_rows, functools.partial(_values, self), None)

    def resolve(self, sketches: Sketches) -> dict[str, Any]:
        return ranking.resolve(self.n_kept, sketches)

    def apply(
        self, card: Mapping[str, Any], verdicts: pa.Table | None
    ) -> Callable[[Batch], Decision]:
        return ranking.decider(self.reasons, "draw", functools.partial(_values, self), verdicts)


def _values(stage: Reservoir, batch: Batch) -> NDArray[np.float64]:
    draw = ranking.draws(stage.seed, batch)
    if stage.weight is None:
        return draw
    from ultrakernels import order

    try:
        weight = order.as_float(batch[stage.weight])
    except TypeError as error:
        raise StageError(f"{stage.called}: the column {stage.weight!r}: {error}") from None
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(weight > 0, np.log(np.maximum(draw, 2.0**-54)) / weight, np.nan)
