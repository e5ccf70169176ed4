"""Which copy of a group of duplicates is kept, and how each removed one says so.

Not a stage: what `dedup.exact` and `dedup.minhash` share. The kept copy has the highest priority,
column by column, then the lowest key. It is elected in two rounds, so that a group of any size costs
a task no more than its own rows: each task sends its best member of a group, one partition per group
compares these few and replies to the tasks, and each task writes the verdicts of its own members.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ultraclean.document import AT, KEY, KEY_TYPE, Batch, key_halves, mix64
from ultraclean.errors import StageError
from ultraclean.stage import Decision

if TYPE_CHECKING:
    from ultraclean.exchange import Home, Piece, Readable, Sketches

GROUP: Final = ("group_high", "group_low")
SIGNATURE: Final = "signature"
ROLE: Final = "role"
"""A column that only documents of an index have."""

Grouping = Callable[[pa.Table], pa.Table]
"""Sketch rows -> the rows that are in a group, with the group's id in the columns of `GROUP`."""

_VERDICT: Final = pa.schema(
    [
        (AT, pa.int64()),
        ("kept", pa.bool_()),
        ("same_as", KEY_TYPE),
        ("similarity", pa.float64()),
        ("cluster_size", pa.int64()),
        ("kept_at", pa.int64()),
    ]
)

BLOCK: Final = 2**16
"""Rows whose kept copies are looked up at once: where every document is a copy, those weigh more than the rows."""

VERDICT_COLUMNS: Final = (
    AT,
    "kept",
    "same_as",
    "similarity",
    "cluster_size",
    "corpus",
    "estimated",
)


# --- priority -----------------------------------------------------------------------------------


def rank_names(priority: Sequence[str]) -> list[str]:
    return [f"rank_{i}" for i in range(len(priority))]


def ranks(label: str, batch: Batch, priority: Sequence[str]) -> dict[str, pa.Array]:
    """Sketch columns for `priority`: uint64 of which the lowest is the best; null and NaN are last."""
    return {
        rank: pa.array(~_ordered(label, column, batch[column]))
        for rank, column in zip(rank_names(priority), priority, strict=True)
    }


def _ordered(label: str, name: str, column: pa.Array) -> NDArray[np.uint64]:
    from ultrakernels import order

    try:
        return order.ordered(order.as_float(column))
    except TypeError as error:
        raise StageError(f"{label}: the priority column {name!r}: {error}") from None


# --- the election --------------------------------------------------------------------------------


def elect(
    sketches: Sketches, group: Grouping, columns: Sequence[str], bytes_per_row: int
) -> dict[str, Any]:
    """Leaves a verdict for every member of a group of two or more; returns the card of the groups.

    `columns` are those of the sketches that `group` reads.
    """
    verdicts = election(sketches, group, columns, bytes_per_row)
    sketches.verdicts("verdicts", verdicts)
    return count_groups(sketches, verdicts)


def election(
    sketches: Sketches,
    group: Grouping,
    columns: Sequence[str],
    bytes_per_row: int,
    old: Sequence[Readable] = (),
) -> list[Piece]:
    """Verdict rows of every member of a group of two or more, with the `_at` of its kept copy.

    `old` documents take part, as shards after the sketches' own, and get no verdict.
    """
    n_partitions = sketches.partitions_for(bytes_per_row)
    # Where every document is a copy a row is held four times: read, grouped, with its winner, as a verdict.
    # Both steps over the sketches are cut alike: replies come home to the rows that were sent.
    n_bytes = 4 * bytes_per_row
    candidates = sketches.step(
        "candidates",
        functools.partial(best_here, group),
        inputs=[*sketches.packed(n_bytes), *old],
        by=functools.partial(group_partition, n_partitions),
        n_partitions=n_partitions,
        columns=columns,
    )
    n_shards = len(sketches.row_counts) + len(old)
    winners = sketches.home(
        "winners-home", sketches.step("winners", best_of_all, inputs=candidates), n_shards
    )
    members = functools.partial(member_verdicts, group, winners)
    return sketches.step("members", members, columns=columns, bytes_per_row=n_bytes)


def group_partition(n_partitions: int, table: pa.Table) -> NDArray[np.int64]:
    high, low = (table[name].to_numpy() for name in GROUP)
    with np.errstate(over="ignore"):
        mixed = mix64(high ^ mix64(low))
    return (mixed % np.uint64(n_partitions)).astype(np.int64)


def best_first(table: pa.Table) -> NDArray[np.int64]:
    """The order of rows by group, and in a group by priority, then key."""
    keys = key_halves(table[KEY])
    names = [name for name in table.column_names if name.startswith("rank_")]
    columns = [table[name].to_numpy() for name in (*GROUP, *names)]
    return np.lexsort([keys[:, 1], keys[:, 0], *reversed(columns)])


def best_here(group: Grouping, table: pa.Table) -> pa.Table:
    """The best member of each group among the rows of one task, with how many there are."""
    from ultrakernels import order

    rows = group(table)
    places = best_first(rows)
    starts = order.runs(*(rows[name].to_numpy()[places] for name in GROUP))
    sizes = np.diff(np.append(starts, len(places)))
    return rows.take(pa.array(places[starts])).append_column("size", pa.array(sizes, pa.int64()))


def best_of_all(table: pa.Table) -> pa.Table:
    """For each task that has members of a group of two or more: the kept copy and the group's size."""
    from ultrakernels import order

    rows = table.take(pa.array(best_first(table)))
    starts = order.runs(*(rows[name].to_numpy() for name in GROUP))
    n_candidates = np.diff(np.append(starts, rows.num_rows))
    sizes = np.add.reduceat(rows["size"].to_numpy(), starts)
    winner = pa.array(np.repeat(starts, n_candidates))
    replies = {AT: rows[AT], "same_as": rows[KEY].take(winner), "winner_at": rows[AT].take(winner)}
    replies |= {name: rows[name] for name in GROUP}
    replies["size"] = pa.array(np.repeat(sizes, n_candidates))
    if SIGNATURE in rows.column_names:
        replies[SIGNATURE] = rows[SIGNATURE].take(winner)
    return pa.table(replies).filter(pc.greater(replies["size"], 1))


def member_verdicts(group: Grouping, winners: Home, table: pa.Table) -> pa.Table:
    """The verdicts of the rows of one task whose group has two members or more."""
    rows, won = group(table), winners.beside(table)
    if won is None or not rows.num_rows:
        return _VERDICT.empty_table()
    place = _match(won, rows)
    blocks = [
        _verdicts(rows.slice(start, BLOCK), won, place[start : start + BLOCK])
        for start in range(0, rows.num_rows, BLOCK)
    ]
    return pa.concat_tables(blocks)


def _verdicts(rows: pa.Table, won: pa.Table, place: NDArray[np.int64]) -> pa.Table:
    """Of those rows whose group has the winner `won[place]`; -1 is none."""
    rows, won = rows.filter(pa.array(place >= 0)), won.take(pa.array(place[place >= 0]))
    kept = rows[AT].to_numpy() == won["winner_at"].to_numpy()
    return pa.table(
        {
            AT: rows[AT],
            "kept": kept,
            "same_as": pc.if_else(pa.array(kept), pa.scalar(None, KEY_TYPE), won["same_as"]),
            "similarity": np.where(kept, np.nan, _similarity(rows, won)),
            "cluster_size": won["size"],
            "kept_at": won["winner_at"],
        },
        schema=_VERDICT,
    )


def _match(won: pa.Table, rows: pa.Table) -> NDArray[np.int64]:
    """For each row the place of its group in `won`, int64[n_rows]; -1 for a group that is not there."""
    from ultrakernels import order

    both = [np.concatenate([won[name].to_numpy(), rows[name].to_numpy()]) for name in GROUP]
    places = np.lexsort(both[::-1])
    number = np.empty(len(places), dtype=np.int64)
    starts = np.zeros(len(places), dtype=np.int64)
    starts[order.runs(*(column[places] for column in both))] = 1
    number[places] = np.cumsum(starts) - 1
    place = np.full(int(starts.sum()), -1, dtype=np.int64)
    place[number[: won.num_rows]] = np.arange(won.num_rows)
    return place[number[won.num_rows :]]


def _similarity(rows: pa.Table, won: pa.Table) -> NDArray[np.float64]:
    from ultrakernels import minhash

    if SIGNATURE not in rows.column_names:
        return np.full(rows.num_rows, np.nan)
    return minhash.similarity(byte_rows(rows[SIGNATURE]), byte_rows(won[SIGNATURE]))


def byte_rows(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    """A fixed-size binary column without nulls as uint8[n_rows, width]."""
    array = column.combine_chunks()
    width = array.type.byte_width
    raw = np.frombuffer(array.buffers()[1], dtype=np.uint8, count=len(array) * width, offset=array.offset * width)  # fmt: skip
    return raw.reshape(-1, width)


# --- the card, and decisions ---------------------------------------------------------------------


def count_groups(sketches: Sketches, verdicts: list[Piece]) -> dict[str, Any]:
    """How many clusters there are, of which sizes, and how many documents they lose."""
    counts = sketches.collect(
        sketches.step(
            "sizes", size_counts, inputs=sketches.apart(verdicts), columns=["kept", "cluster_size"]
        )
    )
    sizes: dict[int, int] = {}
    for size, n in zip(*(counts[name].to_pylist() for name in ("size", "n")), strict=True) if counts else ():  # fmt: skip
        sizes[size] = sizes.get(size, 0) + n
    return {
        "documents": sketches.n_docs,
        "clusters": sum(sizes.values()),
        "dropped": sum((size - 1) * n for size, n in sizes.items()),
        "largest": max(sizes, default=0),
        "sizes": {str(size): sizes[size] for size in sorted(sizes)},
    }


def size_counts(table: pa.Table) -> pa.Table:
    size, n = np.unique(table.filter(table["kept"])["cluster_size"].to_numpy(), return_counts=True)
    size, n = size[size > 1], n[size > 1]
    return pa.table({"size": pa.array(size, pa.int64()), "n": pa.array(n, pa.int64())})


def decisions(
    reasons: tuple[str, ...], verdicts: pa.Table | None, corpora: Sequence[str] = ()
) -> Callable[[Batch], Decision]:
    """Each row's verdict by its `_at`; a row without one is kept, alone in its cluster.

    `reasons[0]` is a copy of a document of this run, `reasons[1]` one of the corpus `corpora[i]`.
    """
    from ultrakernels import order

    table = _VERDICT.empty_table() if verdicts is None else verdicts
    table = table.select([name for name in table.column_names if name in VERDICT_COLUMNS])
    at = table[AT].to_numpy()
    nothing = pa.table(
        {name: pa.nulls(1, table.schema.field(name).type) for name in table.column_names}
    )
    table = pa.concat_tables([table, nothing]).combine_chunks()

    def apply(batch: Batch) -> Decision:
        place = order.locate(at, batch[AT].to_numpy())
        rows = table.take(pa.array(np.where(place < 0, len(at), place)))
        dropped = ~pc.fill_null(rows["kept"], True).to_numpy(zero_copy_only=False)
        size = pc.fill_null(rows["cluster_size"], 1).to_numpy()
        code = np.where(dropped, 0, -1).astype(np.int16)
        detail = None
        if "corpus" in rows.column_names:
            corpus = pc.fill_null(rows["corpus"], -1).to_numpy()
            code[dropped & (corpus >= 0)] = 1
            detail = _origins(corpora, corpus, pc.fill_null(rows["estimated"], False).to_pylist())
        nan = np.full(batch.num_rows, np.nan)
        return Decision(
            reasons=reasons,
            code=code,
            value=nan,
            threshold=nan,
            numbers={"cluster_size": size},
            same_as=rows["same_as"].combine_chunks(),
            similarity=pc.fill_null(rows["similarity"], float("nan")).to_numpy(),
            detail=detail,
        )

    return apply


def _origins(corpora: Sequence[str], corpus: NDArray[np.int32], estimated: list[bool]) -> pa.Array:
    """`run NAME`, `similarity estimated`, or both."""
    said = [
        "; ".join(
            ([f"run {corpora[number]}"] if number >= 0 else [])
            + (["similarity estimated"] if guessed else [])
        )
        for number, guessed in zip(corpus.tolist(), estimated, strict=True)
    ]
    return pa.array([text or None for text in said], pa.string())


def alarms(label: str, card: Mapping[str, Any], max_cluster: int | None) -> list[str]:
    """What a person should look at before trusting the result."""
    over = [
        int(size) for size in card["sizes"] if max_cluster is not None and int(size) > max_cluster
    ]
    if not over:
        return []
    n_over = sum(card["sizes"][str(size)] for size in over)
    return [
        f"{label}: {n_over} clusters hold more than {max_cluster} documents, the largest {max(over)}; "
        "look at what its documents share (a boilerplate page, a template) before you trust the result"
    ]
