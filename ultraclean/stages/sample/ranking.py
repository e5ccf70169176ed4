"""Keeps the first of each group by a value: from sketches to verdicts, and from verdicts to decisions.

Not a stage: what the stages of `sample` that rank documents share. The higher value is first, ties
go to the lower key, a NaN is last; `selection` finds the cut in bounded memory.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ultraclean.document import AT, KEY, Batch, random64
from ultraclean.stage import Decision
from ultraclean.stages.sample import selection

if TYPE_CHECKING:
    from ultraclean.exchange import Sketches

Values = Callable[[Batch], NDArray[np.float64]]
"""The value of each document of a batch."""


def n_kept(share: float | None, count: int | None, n_docs: int) -> int:
    """How many of a group of `n_docs` are kept."""
    if count is not None:
        return min(count, n_docs)
    # As written, not as binary: 0.1 of 30 is 3, not 4.
    return math.ceil(Fraction(str(share)) * n_docs)


def draws(seed: int | None, batch: Batch) -> NDArray[np.float64]:
    """A random number in [0, 1) per document that depends on (seed, key) alone."""
    found = random64(batch[KEY], seed or 0) >> np.uint64(11)
    return found.astype(np.float64) / 2**53


def sketch_rows(values: Values, per: str | None, batch: Batch) -> pa.RecordBatch:
    """`value` float64, and with `per` the 128-bit hash of the group."""
    columns: dict[str, Any] = {"value": pa.array(values(batch))}
    if per is not None:
        encoded = batch[per].dictionary_encode(null_encoding="encode")
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


def resolve(how_many: selection.HowMany, sketches: Sketches) -> dict[str, Any]:
    """Leaves a verdict for each document that comes after the cut of its group; returns a card."""
    large, n_groups = selection.find_large(sketches)
    cuts, rounds = selection.narrow(how_many, sketches, large)
    n_partitions = sketches.partitions_for(selection.ROW_BYTES)
    ranked = sketches.step(
        "ranked",
        functools.partial(selection.rows_at_the_cut, cuts),
        by=functools.partial(selection.group_partition, n_partitions),
        n_partitions=n_partitions,
    )
    chosen = sketches.step(
        "chosen",
        functools.partial(selection.choose, how_many, cuts),
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


def decider(
    reasons: tuple[str, ...], measure: str, values: Values, verdicts: pa.Table | None
) -> Callable[[Batch], Decision]:
    """Decisions for one shard: its verdict rows are dropped."""
    empty = np.zeros(0, dtype=np.int64), np.zeros(0)
    at, threshold = empty if verdicts is None else (verdicts[AT].to_numpy(), verdicts["threshold"].to_numpy())  # fmt: skip
    return functools.partial(_decide_rows, reasons, measure, values, at, threshold)


def _decide_rows(
    reasons: tuple[str, ...],
    measure: str,
    values: Values,
    at: NDArray[np.int64],
    threshold: NDArray[np.float64],
    batch: Batch,
) -> Decision:
    from ultrakernels import order

    value = values(batch)
    place = order.locate(at, batch[AT].to_numpy())
    dropped = place >= 0
    cut = np.append(threshold, np.nan)[place]  # place -1 is the NaN
    code = np.where(dropped, 0, -1).astype(np.int16)
    return Decision(reasons, code, np.where(dropped, value, np.nan), cut, {measure: value})


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
