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
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ultraclean.document import AT, KEY, Batch, key_halves, mix64
from ultraclean.errors import StageError
from ultraclean.stage import Barrier, Decision

if TYPE_CHECKING:
    from ultraclean.exchange import Sketches

Words = NDArray[np.uint64]

_GROUP: Final = ("group_high", "group_low")
_ROW_BYTES: Final = 128
_DIGIT_BITS: Final = 12
_N_DIGITS: Final = 16  # of twelve bits: five and a third in each of value, key's high and low half


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
        large, n_groups = _large_groups(sketches)
        cuts, rounds = _narrow(self, sketches, large)
        n_partitions = sketches.partitions_for(_ROW_BYTES)
        ranked = sketches.step(
            "ranked",
            functools.partial(rows_at_the_cut, cuts),
            by=functools.partial(group_partition, n_partitions),
            n_partitions=n_partitions,
        )
        chosen = sketches.step(
            "chosen",
            functools.partial(choose, self, cuts),
            inputs=ranked,
            by=last_kept_apart,
            n_partitions=2,
        )
        found = sketches.collect(chosen[1:])
        verdicts = chosen[:1]
        if found is not None:
            verdicts += sketches.step("after", functools.partial(rows_after, found))
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
        columns |= {name: pa.array(halves[index, i], pa.uint64()) for i, name in enumerate(_GROUP)}
    return pa.RecordBatch.from_pydict(columns)


def _digest(value: Any) -> bytes:
    told = b"null" if value is None else b"=" + str(value).encode()
    return hashlib.blake2b(told, digest_size=16).digest()


def _values(stage: Quantile, batch: Batch) -> NDArray[np.float64]:
    from ultrakernels import order

    try:
        return order.as_float(batch[stage.column])
    except TypeError as error:
        raise StageError(f"{stage.label}: the column {stage.column!r}: {error}") from None


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


# --- groups that do not fit in a task ------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """Where the cut of a large group is known to be: `digits` lead (value, key) of the last one kept.

    `n_left` of the documents that begin with these digits are kept, and all before them.
    """

    group: tuple[int, int]
    digits: tuple[int, ...]
    n_left: int
    n_docs: int


def _large_groups(sketches: Sketches) -> tuple[list[Cut], int]:
    """The groups too large to sort in one task, with their sizes in `n_docs`; and how many groups."""
    n_partitions = sketches.partitions_for(_ROW_BYTES)
    counted = sketches.step(
        "counted",
        count_groups,
        by=functools.partial(group_partition, n_partitions),
        n_partitions=n_partitions,
    )
    most = sketches.memory_bytes // (4 * _ROW_BYTES)
    found = sketches.collect(
        sketches.step("large", functools.partial(large_groups, most), inputs=counted)
    )
    if found is None:
        return [], 0
    n_groups = pc.sum(found["n_groups"]).as_py()
    rows = found.filter(pc.greater(found["n"], 0)).to_pylist()
    return [Cut((row[_GROUP[0]], row[_GROUP[1]]), (), 0, row["n"]) for row in rows], n_groups


def _narrow(stage: Quantile, sketches: Sketches, large: list[Cut]) -> tuple[list[Cut], int]:
    """Digits are fixed, a pass each, until every group's undecided documents fit in a task."""
    most = sketches.memory_bytes // (4 * _ROW_BYTES)
    cuts = [Cut(cut.group, (), stage.n_kept(cut.n_docs), cut.n_docs) for cut in large]
    for depth in range(_N_DIGITS):
        undecided = [cut for cut in cuts if cut.n_docs > most]
        if not undecided:
            return cuts, depth
        count = functools.partial(count_digits, undecided)
        counts = sketches.collect(sketches.step(f"digits-{depth}", count))
        narrowed = {cut.group: _next_digit(cut, i, counts) for i, cut in enumerate(undecided)}
        cuts = [narrowed.get(cut.group, cut) for cut in cuts]
    return cuts, _N_DIGITS


def _next_digit(cut: Cut, index: int, counts: pa.Table) -> Cut:
    mine = counts["cut"].to_numpy() == index
    n_docs = np.bincount(
        counts["digit"].to_numpy()[mine],
        weights=counts["n"].to_numpy()[mine],
        minlength=2**_DIGIT_BITS,
    ).astype(np.int64)
    before = np.cumsum(n_docs) - n_docs
    digit = int(np.searchsorted(before + n_docs, cut.n_left))
    left = cut.n_left - int(before[digit])
    return Cut(cut.group, (*cut.digits, digit), left, int(n_docs[digit]))


# --- steps -----------------------------------------------------------------------------------------------


def group_partition(n_partitions: int, table: pa.Table) -> NDArray[np.int64]:
    high, low = _groups(table)
    with np.errstate(over="ignore"):
        mixed = mix64(high ^ mix64(low))
    return (mixed % np.uint64(n_partitions)).astype(np.int64)


def count_groups(table: pa.Table) -> pa.Table:
    pairs, n = np.unique(np.stack(_groups(table), axis=1), axis=0, return_counts=True)
    return _group_table(pairs, n)


def large_groups(most: int, table: pa.Table) -> pa.Table:
    """Groups of more than `most` documents, and one row with `n` 0 that counts all groups."""
    pairs, index = np.unique(np.stack(_groups(table), axis=1), axis=0, return_inverse=True)
    n = np.bincount(index.ravel(), weights=table["n"].to_numpy()).astype(np.int64)
    rows = _group_table(
        np.concatenate([pairs[n > most], np.zeros((1, 2), dtype=np.uint64)]),
        np.append(n[n > most], 0),
    )
    n_groups = np.append(np.zeros(rows.num_rows - 1, dtype=np.int64), len(pairs))
    return rows.append_column("n_groups", pa.array(n_groups))


def count_digits(cuts: list[Cut], table: pa.Table) -> pa.Table:
    """How many documents, of those that begin like the cut, have each next digit."""
    words = _words(table)
    told: dict[str, list[Any]] = {"cut": [], "digit": [], "n": []}
    for index, cut in enumerate(cuts):
        rows = np.flatnonzero(_in_group(table, cut) & _begins(words, cut))
        digit, n = np.unique(_digit(words[rows], len(cut.digits)), return_counts=True)
        told["cut"] += [index] * len(digit)
        told["digit"] += digit.tolist()
        told["n"] += n.tolist()
    return pa.table({name: pa.array(values, pa.int64()) for name, values in told.items()})


def rows_at_the_cut(cuts: list[Cut], table: pa.Table) -> pa.Table:
    """The rows to sort: all of the small groups, of the large ones those that the digits leave."""
    wanted = np.ones(table.num_rows, dtype=bool)
    words = _words(table)
    for cut in cuts:
        wanted &= ~_in_group(table, cut) | _begins(words, cut)
    high, low = _groups(table)
    rows = pa.table({AT: table[AT], KEY: table[KEY], "value": table["value"], **dict(zip(_GROUP, (high, low), strict=True))})  # fmt: skip
    return rows.filter(pa.array(wanted))


def choose(stage: Quantile, cuts: list[Cut], table: pa.Table) -> pa.Table:
    """Sorted groups -> a row for each dropped document, and for large groups (`last`) the last kept."""
    from ultrakernels import order

    words = _words(table)
    high, low = _groups(table)
    places = np.lexsort([words[:, 2], words[:, 1], words[:, 0], low, high])
    table, high, low = table.take(pa.array(places)), high[places], low[places]
    starts = order.runs(high, low)
    sizes = np.diff(np.append(starts, len(high)))
    left = {cut.group: cut.n_left for cut in cuts}
    groups = [(int(high[start]), int(low[start])) for start in starts]
    n_kept = np.array(
        [left.get(group, stage.n_kept(int(n))) for group, n in zip(groups, sizes, strict=True)]
    )
    is_large = np.repeat([group in left for group in groups], sizes)
    rank = np.arange(len(high)) - np.repeat(starts, sizes)
    last_kept = np.repeat(starts + n_kept - 1, sizes)
    rows = table.append_column("threshold", table["value"].take(pa.array(last_kept)))
    is_last = is_large & (rank == np.repeat(n_kept, sizes) - 1)
    rows = rows.append_column("last", pa.array(is_last))
    return rows.filter(pa.array(is_last | (~is_large & (rank >= np.repeat(n_kept, sizes)))))


def last_kept_apart(table: pa.Table) -> NDArray[np.int64]:
    return np.asarray(table["last"].to_numpy(), dtype=np.int64)


def rows_after(last: pa.Table, table: pa.Table) -> pa.Table:
    """The documents of the large groups that come after the group's last kept one."""
    high, low = _groups(table)
    words, ends, thresholds = _words(table), _words(last), last["threshold"].to_numpy()
    threshold = np.full(table.num_rows, np.nan)
    after = np.zeros(table.num_rows, dtype=bool)
    for group, end, value in zip(np.stack(_groups(last), axis=1), ends, thresholds, strict=True):
        mine = (high == group[0]) & (low == group[1]) & _greater(words, end)
        threshold[mine] = value
        after |= mine
    names = [AT, KEY, "value"]
    rows = table.select(names).append_column(_GROUP[0], pa.array(high))
    rows = rows.append_column(_GROUP[1], pa.array(low))
    rows = rows.append_column("threshold", pa.array(threshold))
    rows = rows.append_column("last", pa.array(np.zeros(table.num_rows, dtype=bool)))
    return rows.filter(pa.array(after))


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


# --- (value, key) as 192 bits --------------------------------------------------------------------------


def _words(table: pa.Table) -> Words:
    """uint64[n_rows, 3] that sort like (value from the highest, key from the lowest)."""
    from ultrakernels import order

    halves = key_halves(table[KEY])
    return np.column_stack([~order.ordered(table["value"].to_numpy()), halves])


def _digit(words: Words, number: int) -> NDArray[np.int64]:
    """The `number`-th twelve bits of the 192, which may lie in two words."""
    first, bit = divmod(number * _DIGIT_BITS, 64)
    over = bit + _DIGIT_BITS - 64
    if over <= 0:
        digit = words[:, first] >> np.uint64(-over)
    else:
        digit = words[:, first] << np.uint64(over) | words[:, first + 1] >> np.uint64(64 - over)
    return (digit & np.uint64(2**_DIGIT_BITS - 1)).astype(np.int64)


def _begins(words: Words, cut: Cut) -> NDArray[np.bool_]:
    same = np.ones(len(words), dtype=bool)
    for number, digit in enumerate(cut.digits):
        same &= _digit(words, number) == digit
    return same


def _greater(words: Words, end: Words) -> NDArray[np.bool_]:
    greater: NDArray[np.bool_] = words[:, 2] > end[2]
    for i in (1, 0):
        greater = (words[:, i] > end[i]) | ((words[:, i] == end[i]) & greater)
    return greater


def _in_group(table: pa.Table, cut: Cut) -> NDArray[np.bool_]:
    high, low = _groups(table)
    mine: NDArray[np.bool_] = (high == np.uint64(cut.group[0])) & (low == np.uint64(cut.group[1]))
    return mine


def _groups(table: pa.Table) -> tuple[Words, Words]:
    if _GROUP[0] not in table.column_names:
        nothing = np.zeros(table.num_rows, dtype=np.uint64)
        return nothing, nothing
    return table[_GROUP[0]].to_numpy(), table[_GROUP[1]].to_numpy()


def _group_table(pairs: Words, n: NDArray[np.int64]) -> pa.Table:
    return pa.table({_GROUP[0]: pairs[:, 0], _GROUP[1]: pairs[:, 1], "n": pa.array(n, pa.int64())})
