"""The rank at which each group is cut, and which documents come after it.

Not a stage: the middle of `sample.quantile`. (value, key) is 192 bits that sort from the best.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ultraclean.document import AT, KEY, key_halves, mix64

if TYPE_CHECKING:
    from ultraclean.exchange import Sketches

Words = NDArray[np.uint64]
HowMany = Callable[[int], int]
"""Documents in a group -> how many of them are kept."""

GROUP: Final = ("group_high", "group_low")
ROW_BYTES: Final = 128
_DIGIT_BITS: Final = 12
_N_DIGITS: Final = 16  # of twelve bits: five and a third in each of value, key's high and low half


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


def find_large(sketches: Sketches) -> tuple[list[Cut], int]:
    """The groups too large to sort in one task, with their sizes in `n_docs`; and how many groups."""
    n_partitions = sketches.partitions_for(ROW_BYTES)
    counted = sketches.step(
        "counted",
        count_groups,
        by=functools.partial(group_partition, n_partitions),
        n_partitions=n_partitions,
    )
    most = sketches.memory_bytes // (4 * ROW_BYTES)
    found = sketches.collect(
        sketches.step("large", functools.partial(large_groups, most), inputs=counted)
    )
    if found is None:
        return [], 0
    n_groups = pc.sum(found["n_groups"]).as_py()
    rows = found.filter(pc.greater(found["n"], 0)).to_pylist()
    return [Cut((row[GROUP[0]], row[GROUP[1]]), (), 0, row["n"]) for row in rows], n_groups


def narrow(n_kept: HowMany, sketches: Sketches, large: list[Cut]) -> tuple[list[Cut], int]:
    """Digits are fixed, a pass each, until every group's undecided documents fit in a task."""
    most = sketches.memory_bytes // (4 * ROW_BYTES)
    cuts = [Cut(cut.group, (), n_kept(cut.n_docs), cut.n_docs) for cut in large]
    for depth in range(_N_DIGITS):
        undecided = [cut for cut in cuts if cut.n_docs > most]
        if not undecided:
            return cuts, depth
        count = functools.partial(count_digits, undecided)
        counts = sketches.collect(sketches.step(f"digits-{depth}", count))
        narrowed = {cut.group: _nextdigit_of(cut, i, counts) for i, cut in enumerate(undecided)}
        cuts = [narrowed.get(cut.group, cut) for cut in cuts]
    return cuts, _N_DIGITS


def _nextdigit_of(cut: Cut, index: int, counts: pa.Table) -> Cut:
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
        digit, n = np.unique(digit_of(words[rows], len(cut.digits)), return_counts=True)
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
    rows = pa.table({AT: table[AT], KEY: table[KEY], "value": table["value"], **dict(zip(GROUP, (high, low), strict=True))})  # fmt: skip
    return rows.filter(pa.array(wanted))


def choose(n_kept_of: HowMany, cuts: list[Cut], table: pa.Table) -> pa.Table:
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
        [left.get(group, n_kept_of(int(n))) for group, n in zip(groups, sizes, strict=True)]
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
    rows = table.select(names).append_column(GROUP[0], pa.array(high))
    rows = rows.append_column(GROUP[1], pa.array(low))
    rows = rows.append_column("threshold", pa.array(threshold))
    rows = rows.append_column("last", pa.array(np.zeros(table.num_rows, dtype=bool)))
    return rows.filter(pa.array(after))


# --- (value, key) as 192 bits --------------------------------------------------------------------------


def _words(table: pa.Table) -> Words:
    """uint64[n_rows, 3] that sort like (value from the highest, key from the lowest)."""
    from ultrakernels import order

    halves = key_halves(table[KEY])
    return np.column_stack([~order.ordered(table["value"].to_numpy()), halves])


def digit_of(words: Words, number: int) -> NDArray[np.int64]:
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
        same &= digit_of(words, number) == digit
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
    if GROUP[0] not in table.column_names:
        nothing = np.zeros(table.num_rows, dtype=np.uint64)
        return nothing, nothing
    return table[GROUP[0]].to_numpy(), table[GROUP[1]].to_numpy()


def _group_table(pairs: Words, n: NDArray[np.int64]) -> pa.Table:
    return pa.table({GROUP[0]: pairs[:, 0], GROUP[1]: pairs[:, 1], "n": pa.array(n, pa.int64())})
