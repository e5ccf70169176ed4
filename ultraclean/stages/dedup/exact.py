"""Removes exact copies: documents whose column has the same 128-bit hash.

The hash is BLAKE2b, 16 bytes, of the UTF-8 text, after `normalise`. Unlike datatrove's exact
deduplication (one task sorts a bucket of 64-bit hashes, the first read document is kept) the kept
copy is chosen by stated columns, each removed copy points to it, and an empty text is kept: a
thousand documents whose text is missing are not copies of each other. datatrove's URL deduplication
is this stage with `column: url`, its `document_priority` a column in `priority`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
from pydantic import Field

from ultraclean.document import Batch
from ultraclean.stage import Barrier, Decision
from ultraclean.stages.dedup import hashed, kept
from ultraclean.text.normalise import NORMALISATIONS, Normalise

if TYPE_CHECKING:
    from ultraclean.exchange import Sketches


class Exact(Barrier):
    stage: ClassVar[str] = "dedup.exact"
    paper: ClassVar[str] = "BLAKE2b of the content; compare datatrove's ExactDedup"
    reasons: ClassVar[tuple[str, ...]] = ("exact_duplicate",)

    column: str = Field(default="text", description="what two copies have in common")
    normalise: Normalise = Field(
        default="none",
        description="what is passed over; strip: white space at the ends; lower_space: case, and how "
        "much white space; letters: all but letters and numbers; simplify: case, accents, symbols, "
        "each number; ccnet: case, digits and the punctuation that CCNet passes over",
    )
    priority: tuple[str, ...] = Field(
        default=(),
        description="columns (numbers, dates) whose highest value marks the kept copy; then the lowest key",
    )
    max_cluster: int | None = Field(
        default=None, ge=2, description="a cluster with more documents raises an alarm"
    )

    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.column, *self.priority)))

    def sketch(self) -> Callable[[Batch], pa.RecordBatch]:
        contents = NORMALISATIONS[self.normalise]
        return hashed.sketcher(self.called, self.column, contents, self.priority)

    def resolve(self, sketches: Sketches) -> dict[str, Any]:
        return hashed.resolve(self.called, sketches, self.priority, self.max_cluster)

    def apply(
        self, card: Mapping[str, Any], verdicts: pa.Table | None
    ) -> Callable[[Batch], Decision]:
        return kept.decisions(self.reasons, verdicts)
