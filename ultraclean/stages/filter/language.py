"""Keeps documents in the wanted languages, where the language model is sure enough.

It reads what `score.language` wrote. The threshold 0.65 is FineWeb's (Penedo et al. 2024, arXiv
2406.17557). Published systems differ in one sign: here, as everywhere in this library, a minimum
keeps `score >= min_score`; `dialect: datatrove` keeps only `score > min_score`, as datatrove does.
Different on purpose: datatrove asks whether *any* wanted language passes the threshold, this filter
whether the most probable one is wanted and passes; at thresholds of one half and more, this is the
same. A document without a language is not in a wanted one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from ultraclean.document import Batch
from ultraclean.stage import Decision, Filter, above, absent, at_least, decide


class Language(Filter):
    """Drops documents in other languages, and those whose score is too low."""

    stage: ClassVar[str] = "filter.language"
    main: ClassVar[str | None] = "languages"
    paper: ClassVar[str] = (
        "FineWeb (Penedo et al. 2024, arXiv 2406.17557), datatrove LanguageFilter"
    )
    reasons: ClassVar[tuple[str, ...]] = ("language", "language_score")

    languages: tuple[str, ...] | None = Field(
        default=None, description="languages to keep, as the model names them; none keeps all"
    )
    min_score: float | None = Field(
        default=0.65, ge=0, le=1, description="least score of the language; none switches it off"
    )
    dialect: Literal["ultraclean", "datatrove"] = Field(
        default="ultraclean",
        description="ultraclean keeps score >= min_score, datatrove keeps score > min_score",
    )
    column: str = Field(
        default="language",
        min_length=1,
        description="column of the language; its score is in this name and `_score`",
    )

    @field_validator("languages", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("languages")
    @classmethod
    def _not_empty(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value == ():
            raise ValueError("an empty list would keep nothing; leave it out to keep all languages")
        return value

    def needs(self) -> tuple[str, ...]:
        return (self.column, f"{self.column}_score")

    def open(self) -> Callable[[Batch], Decision]:
        minimum = above if self.dialect == "datatrove" else at_least
        rules = (
            absent("language", "other_language", enabled=self.languages is not None),
            minimum("language_score", "language_score", self.min_score),
        )
        wanted = None if self.languages is None else pa.array(self.languages, pa.string())

        def judge(batch: Batch) -> Decision:
            score = batch[f"{self.column}_score"].cast(pa.float64()).fill_null(np.nan)
            other = np.zeros(batch.num_rows, dtype=bool)
            if wanted is not None:
                found = pc.is_in(batch[self.column].cast(pa.string()), value_set=wanted)
                other = ~found.to_numpy(zero_copy_only=False).astype(bool)
            measured = {
                "other_language": other.astype(np.float64),
                "language_score": score.to_numpy(zero_copy_only=False),
            }
            return decide(measured, rules)

        return judge
