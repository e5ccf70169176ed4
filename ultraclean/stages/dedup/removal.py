"""What becomes of documents of which parts were taken out.

Not a stage: the end of `dedup.repeats`, `dedup.substring` and `dedup.ngram`. A document that lost
something is dropped if too little is left; one that lost nothing is never touched.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from ultraclean.document import KEY_TYPE, Batch
from ultraclean.stage import Barrier, Decision, Rule, above, at_least, at_most, decide

REASONS: Final = ("emptied", "short_after", "mostly_repeated")
_NUMBERS: Final = ("removed_chars", "removed_fraction", "n_words_left")


@dataclass(frozen=True)
class Cut:
    """A document without some parts: what is left, what went (code points), and where it is kept."""

    text: str
    spans: Sequence[tuple[int, int]]
    same_as: bytes | None = None


class Removal(Barrier):
    """Fields of a barrier that takes parts out of a text."""

    column: str = Field(default="text", description="the text that is compared and rewritten")
    min_words: int | None = Field(
        default=None, ge=1, description="words that a document must have left if it lost something"
    )
    max_removed_fraction: float | None = Field(
        default=None, ge=0, le=1, description="largest share of its characters that one may lose"
    )
    into: str | None = Field(
        default=None,
        description="column for what was taken out, as JSON: [[first, end], ...] in code points",
    )

    def needs(self) -> tuple[str, ...]:
        return (self.column,)

    def adds(self) -> Mapping[str, pa.DataType]:
        return {self.into: pa.string()} if self.into else {}


class Ordered(Removal):
    """A removal in which one document comes before another."""

    priority: tuple[str, ...] = Field(
        default=(),
        description="columns (numbers, dates) whose highest value marks the document that comes first; "
        "then the lowest key",
    )

    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.column, *self.priority)))


def decided(
    stage: Removal,
    batch: Batch,
    cuts: Mapping[int, Cut],
    numbers: Mapping[str, NDArray[Any]],
    more: Sequence[Rule] = (),
    n_words: Callable[[str], int] | None = None,
) -> Decision:
    """The decision on a batch of which the rows in `cuts` lost something.

    `numbers` are further measurements, of all rows; `more` are rules on them, for rows in `cuts`;
    `n_words` counts the words of a text, otherwise those between white space.
    """
    column = batch[stage.column]
    measured = dict(numbers) | {name: np.zeros(batch.num_rows) for name in _NUMBERS[:2]}
    measured["n_words_left"] = np.full(batch.num_rows, np.nan)
    rows = sorted(cuts)
    before = column.take(pa.array(rows, pa.int64())).to_pylist()
    for row, text in zip(rows, before, strict=True):
        cut = cuts[row]
        n_removed = sum(stop - start for start, stop in cut.spans)
        measured["removed_chars"][row] = n_removed
        measured["removed_fraction"][row] = n_removed / max(1, len(text or ""))
        measured["n_words_left"][row] = n_words(cut.text) if n_words else len(cut.text.split())
    rules = [
        above(REASONS[0], "n_words_left", 0),
        at_least(REASONS[1], "n_words_left", stage.min_words),
        at_most(REASONS[2], "removed_fraction", stage.max_removed_fraction),
        *more,
    ]
    columns: dict[str, pa.Array] = {}
    if stage.into:
        told = [
            json.dumps(cuts[row].spans) if row in cuts else None for row in range(batch.num_rows)
        ]
        columns[stage.into] = pa.array(told, pa.string())
    if rows:
        columns[stage.column] = _replaced(column, {row: cuts[row].text for row in rows})
    decision = decide(measured, rules, columns)
    whole = np.ones(batch.num_rows, dtype=bool)
    whole[rows] = False
    for values, value in (
        (decision.code, -1),
        (decision.value, np.nan),
        (decision.threshold, np.nan),
    ):
        values[whole] = value
    same_as = [cuts[row].same_as if row in cuts else None for row in range(batch.num_rows)]
    return Decision(
        decision.reasons,
        decision.code,
        decision.value,
        decision.threshold,
        decision.numbers,
        decision.columns,
        same_as=pa.array(same_as, KEY_TYPE),
    )


def _replaced(column: pa.Array, texts: Mapping[int, str]) -> pa.Array:
    """The column with some texts replaced, in its type."""
    mask = np.zeros(len(column), dtype=bool)
    mask[list(texts)] = True
    new = pa.array([texts[row] for row in sorted(texts)], pa.large_string()).cast(column.type)
    place = np.full(len(column), -1, dtype=np.int64)
    place[mask] = len(column) + np.arange(len(texts))
    place[~mask] = np.flatnonzero(~mask)
    return pa.concat_arrays([column, new]).take(pa.array(place))
