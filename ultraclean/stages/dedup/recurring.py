"""Which pieces of documents occur often in the whole corpus, and which occurrence is the first.

Not a stage: what `dedup.repeats` and `dedup.substring` share. A piece is known by a 128-bit hash. As
in `kept.py`, each task sends one row per distinct piece (how often, and the best occurrence among its
documents), the partition of the piece adds these up and replies to the tasks, and each task judges its
own pieces: a piece that occurs a million times costs what there are tasks, and no document moves.
The first occurrence is that of highest priority, column by column, then the lowest key, then the
place in the document; so it does not depend on partitions, shards or workers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ultraclean.document import AT, KEY, key_halves
from ultraclean.stages.dedup import kept

if TYPE_CHECKING:
    from ultraclean.exchange import Home, Piece, Sketches

Ids = NDArray[np.int64]
ROW_BYTES: Final = 96
"""What one distinct piece costs in a partition's memory."""


@dataclass(frozen=True, eq=False)
class Occurrences:
    """Pieces of the documents of a table: the row, the place in the document, and the hash."""

    row: Ids
    place: Ids
    hashes: NDArray[np.uint64]
    """uint64[n, 2]"""


Explode = Callable[[pa.Table], Occurrences]
"""Sketch rows -> their pieces, in the order of rows and places."""


def recurring(
    sketches: Sketches,
    name: str,
    explode: Explode,
    columns: Sequence[str],
    inputs: list[Piece],
    *,
    n_pieces: int,
    min_count: int,
    by_document: bool,
) -> Home:
    """Rows (`_at`, group, best_at, best_place, best_key, size) of pieces that occur `min_count` times."""
    n_partitions = sketches.partitions_for(ROW_BYTES, n_pieces)
    found = sketches.step(
        f"{name}-here",
        functools.partial(best_here, explode, by_document),
        inputs=inputs,
        by=functools.partial(kept.group_partition, n_partitions),
        n_partitions=n_partitions,
        columns=columns,
    )
    often = functools.partial(best_of_all, min_count)
    chosen = sketches.step(f"{name}-often", often, inputs=found)
    return sketches.home(f"{name}-home", chosen)


def best_here(explode: Explode, by_document: bool, table: pa.Table) -> pa.Table:
    """Of each distinct piece of one task: its best occurrence and how many there are."""
    from ultrakernels import order

    ranks = [name for name in table.column_names if name.startswith("rank_")]
    keys = key_halves(table[KEY])
    best_first = np.lexsort([keys[:, 1], keys[:, 0], *(table[name].to_numpy() for name in ranks[::-1])])  # fmt: skip
    table = table.take(pa.array(best_first))
    pieces = explode(table)
    high, low = pieces.hashes[:, 0], pieces.hashes[:, 1]
    places = np.lexsort([low, high])
    high, low, row = high[places], low[places], pieces.row[places]
    starts = order.runs(high, low)
    if by_document:
        new = np.ones(len(row), dtype=np.int64)
        new[1:] = row[1:] != row[:-1]
        new[starts] = 1
        sizes = np.add.reduceat(new, starts) if len(starts) else np.zeros(0, dtype=np.int64)
    else:
        sizes = np.diff(np.append(starts, len(row)))
    best = pa.array(row[starts])
    made = {name: table[name].take(best) for name in (AT, KEY, *ranks)}
    made |= {kept.GROUP[0]: pa.array(high[starts]), kept.GROUP[1]: pa.array(low[starts])}
    made |= {"place": pa.array(pieces.place[places[starts]]), "size": pa.array(sizes)}
    return pa.table(made)


def best_of_all(min_count: int, table: pa.Table) -> pa.Table:
    """For each task that has a piece which occurs often enough: where its first occurrence is."""
    from ultrakernels import order

    rows = table.take(pa.array(kept.best_first(table)))
    starts = order.runs(*(rows[name].to_numpy() for name in kept.GROUP))
    n_tasks = np.diff(np.append(starts, rows.num_rows))
    sizes = np.repeat(np.add.reduceat(rows["size"].to_numpy(), starts), n_tasks)
    first = pa.array(np.repeat(starts, n_tasks))
    replies = {AT: rows[AT]} | {name: rows[name] for name in kept.GROUP}
    replies |= {"best_at": rows[AT].take(first), "best_place": rows["place"].take(first)}
    replies |= {"best_key": rows[KEY].take(first), "size": pa.array(sizes)}
    return pa.table(replies).filter(pa.array(sizes >= min_count))


@dataclass(frozen=True, eq=False)
class Judged:
    """The occurrences of one task that are to go, and the documents that keep the first ones."""

    row: Ids
    place: Ids
    best_key: pa.Array


def judge(explode: Explode, often: Home, keep_first: bool, table: pa.Table) -> Judged:
    """The occurrences in `table` of pieces that occur often, without the first if that one stays."""
    pieces, lookup = explode(table), Lookup(often, table)
    found = lookup.rows
    if found is None or not len(pieces.row):
        return Judged(np.zeros(0, np.int64), np.zeros(0, np.int64), pa.nulls(0, pa.binary(16)))
    where = lookup.locate(pieces.hashes)
    there = where >= 0
    row, place, where = pieces.row[there], pieces.place[there], where[there]
    if keep_first:
        at = table[AT].to_numpy()[row]
        other = (at != found["best_at"].to_numpy()[where]) | (
            place != found["best_place"].to_numpy()[where]
        )
        row, place, where = row[other], place[other], where[other]
    return Judged(row, place, found["best_key"].combine_chunks().take(pa.array(where)))


class Lookup:
    """The pieces that occur often, as far as the documents of one task have them."""

    def __init__(self, often: Home, table: pa.Table) -> None:
        self.rows = often.beside(table)
        high, low = (
            np.zeros(0, np.uint64) if self.rows is None else self.rows[name].to_numpy()
            for name in kept.GROUP
        )
        self._order = np.lexsort([low, high])
        self._high, self._low = high[self._order], low[self._order]

    def locate(self, hashes: NDArray[np.uint64]) -> Ids:
        """For each hash a row of `rows` that has it, int64[n]; -1 where none has."""
        high, low = self._high, self._low
        if not len(high):
            return np.full(len(hashes), -1, dtype=np.int64)
        place = np.searchsorted(high, hashes[:, 0])
        while True:
            inside = np.minimum(place, len(high) - 1)
            same = (place < len(high)) & (high[inside] == hashes[:, 0])
            further = same & (low[inside] < hashes[:, 1])
            if not further.any():
                break
            place = place + further
        same &= low[inside] == hashes[:, 1]
        return np.where(same, self._order[inside], -1)


def total(sketches: Sketches, column: str) -> int:
    """The sum of a sketch column over the corpus."""
    counted = sketches.collect(
        sketches.step(f"total-{column}", functools.partial(_sum, column), columns=[column])
    )
    return 0 if counted is None else int(pc.sum(counted["n"]).as_py() or 0)


def _sum(column: str, table: pa.Table) -> pa.Table:
    return pa.table({"n": pa.array([pc.sum(table[column]).as_py() or 0], pa.int64())})


def lists(rows: Ids, values: Any, kind: pa.DataType) -> tuple[Ids, pa.Array]:
    """(rows that have values, a list of its values for each); `rows` are sorted."""
    distinct, starts = np.unique(rows, return_index=True)
    offsets = np.append(starts, len(rows))
    made = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(values, kind))
    return distinct, made
