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
import hashlib
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ultraclean.document import AT, Batch
from ultraclean.errors import StageError
from ultraclean.stage import Barrier, Decision
from ultraclean.stages.sample import selection

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
        if self.count is not None:
            return min(self.count, n_docs)
        # As written, not as binary: 0.1 of 30 is 3, not 4.
        return math.ceil(Fraction(str(self.share)) * n_docs)

    def sketch(self) -> Callable[[Batch], pa.RecordBatch]:
        return functools.partial(sketch_rows, self)

    def resolve(self, sketches: Sketches) -> dict[str, Any]:
        large, n_groups = selection.find_large(sketches)
        cuts, rounds = selection.narrow(self.n_kept, sketches, large)
        n_partitions = sketches.partitions_for(selection.ROW_BYTES)
        ranked = sketches.step(
            "ranked",
            functools.partial(selection.rows_at_the_cut, cuts),
            by=functools.partial(selection.group_partition, n_partitions),
            n_partitions=n_partitions,
        )
        chosen = sketches.step(
            "chosen",
            functools.partial(selection.choose, self.n_kept, cuts),
            inputs=ranked,
            by=selection.last_kept_apart,
            n_partitions=2,
        )
        found = sketches.collect(chosen[1:])
        verdicts = chosen[:1]
        if found is not None:
            verdicts += sketches.step("after", functools.partial(selection.rows_after, found))
        sketches.verdicts("verdicts", verdicts)
        card = {"documents": sketches.n_docs, "groups": n_groups, "rounds": rounds}
        return card | _summary(sketches)

    def apply(
        self, card: Mapping[str, Any], verdicts: pa.Table | None
    ) -> Callable[[Batch], Decision]:
        empty = np.zeros(0, dtype=np.int64), np.zeros(0)
        at, threshold = empty if verdicts is None else (verdicts[AT].to_numpy(), verdicts["threshold"].to_numpy())  # fmt: skip
        return functools.partial(decide_rows, self, at, threshold)


# --- sketches and decisions ------------------------------------------------------------------------


def sketch_rows(stage: Quantile, batch: Batch) -> pa.RecordBatch:
    """`value` float64, and with `per` the 128-bit hash of the group."""
    columns: dict[str, Any] = {"value": pa.array(_values(stage, batch))}
    if stage.per is not None:
        encoded = batch[stage.per].dictionary_encode(null_encoding="encode")
        halves = np.frombuffer(
            b"".join(_digest(value) for value in encoded.dictionary.to_pylist()), dtype="<u8"
        ).reshape(-1, 2)
        index = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        columns |= {
            name: pa.array(halves[index, i], pa.uint64()) for i, name in enumerate(selection.GROUP)
        }
    return pa.RecordBatch.from_pydict(columns)


def _digest(value: Any) -> bytes:
    told = b"null" if value is None else b"=" + str(value).encode()
    return hashlib.blake2b(told, digest_size=16).digest()


def _values(stage: Quantile, batch: Batch) -> NDArray[np.float64]:
    from ultrakernels import order

    try:
        return order.as_float(batch[stage.column])
    except TypeError as error:
        raise StageError(f"{stage.called}: the column {stage.column!r}: {error}") from None


def decide_rows(
    stage: Quantile, at: NDArray[np.int64], threshold: NDArray[np.float64], batch: Batch
) -> Decision:
    from ultrakernels import order

    value = _values(stage, batch)
    place = order.locate(at, batch[AT].to_numpy())
    dropped = place >= 0
    cut = np.append(threshold, np.nan)[place]  # place -1 is the NaN
    code = np.where(dropped, 0, -1).astype(np.int16)
    return Decision(
        stage.reasons, code, np.where(dropped, value, np.nan), cut, {stage.column: value}
    )


# --- the card --------------------------------------------------------------------------------------


def _summary(sketches: Sketches) -> dict[str, Any]:
    count = sketches.step("missing", count_missing, columns=["value"])
    missing = sketches.collect(count)
    cuts = sketches.collect(sketches.step("cuts", count_dropped, inputs=sketches.final))
    if cuts is None:
        n_dropped, lowest, highest = 0, None, None
    else:
        n_dropped = pc.sum(cuts["n"]).as_py()
        lowest, highest = pc.min(cuts["lowest"]).as_py(), pc.max(cuts["highest"]).as_py()
    return {
        "dropped": n_dropped,
        "missing": 0 if missing is None else pc.sum(missing["n"]).as_py(),
        "lowest_threshold": lowest,
        "highest_threshold": highest,
    }


def count_missing(table: pa.Table) -> pa.Table:
    return pa.table({"n": pa.array([int(np.isnan(table["value"].to_numpy()).sum())], pa.int64())})


def count_dropped(table: pa.Table) -> pa.Table:
    threshold = pc.if_else(pc.is_nan(table["threshold"]), None, table["threshold"])
    ends = {"lowest": pc.min(threshold).as_py(), "highest": pc.max(threshold).as_py()}
    columns = {name: pa.array([value], pa.float64()) for name, value in ends.items()}
    return pa.table({"n": pa.array([table.num_rows], pa.int64()), **columns})
