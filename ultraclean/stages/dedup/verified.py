"""Near duplicates confirmed by their exact Jaccard similarity, instead of by transitive closure.

Not a stage: the end of `dedup.minhash` with `verify`. In the order (priority, key), a document is
dropped if and only if a document that is already kept, earlier in the order, shares a band with it
and has an exact Jaccard similarity of `verify` or more; `same_as` is the first such. So a chain
A~B~C of ever different documents loses only those that are close to a kept one. Documents of an
index come first in the order, and are kept.

Documents with the same set of shingles were collapsed before (`twins.py`): the first stands for all.
Components (`clusters.py`) hold all candidates of a document. Small ones are packed into partitions of
`memory_bytes` and each partition is one loop. A component larger than that is cut into blocks along
the order, and decided in rounds: the first block is decided by the loop, all later blocks are compared
with what it keeps, in parallel, and what is left of them goes on. It is the greedy loop in another
order of comparisons, so the result is the same; rounds = blocks of the largest component.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ultraclean.document import AT, KEY, key_halves, mix64
from ultraclean.stages.dedup import kept

if TYPE_CHECKING:
    from ultraclean.exchange import Home, Piece, Readable, Sketches

SHINGLES: Final = "shingles"
N_SHINGLES: Final = "n_shingles"
ELSEWHERE: Final = -1
"""The root of copies that resemble nothing but one another: closure drops all but the first."""
WORKING: Final = 6
"""Memory of a task over the bytes of its documents: read, ordered, compared, written (measured)."""


@dataclass(frozen=True)
class Padding:
    """What rows have in common where documents of indexes are among them."""

    first: int
    """The first rank of new documents; those of indexes have a lower one."""
    n_ranks: int
    signature: int
    """Bytes of a signature, 0 where no similarity is estimated."""


def verify(
    sketches: Sketches,
    labels: Home,
    twins: Home,
    old: Sequence[Readable],
    columns: list[str],
    threshold: float,
    padding: Padding | None,
) -> tuple[list[Piece], dict[str, int]]:
    """(verdicts of all new documents that have a candidate and are no copies, counts for the card).

    `padding` makes rows of the sketches and of indexes alike, where there are indexes.
    """
    bound = sketches.memory_bytes / WORKING
    heavy, counts = _weigh(sketches, labels, twins, old, bound / 4)
    n_small = max(1, int(np.ceil(2 * counts["bytes"] / bound)))
    splitters = _splitters(sketches, labels, twins, old, columns, padding, heavy, bound / 2)
    by = functools.partial(member_partition, n_small, splitters)
    members = sketches.step(
        "candidate-sets",
        functools.partial(members_of, labels, twins, padding),
        inputs=[*sketches.packed(), *old],
        by=by,
        n_partitions=n_small + sum(len(cut) + 1 for cut in splitters.values()),
        columns=columns,
    )
    loop = functools.partial(decide, threshold)
    decided = sketches.step("verified", loop, inputs=members[:n_small])
    for cut in splitters.values():
        n_small, first = n_small + len(cut) + 1, n_small
        decided += _rounds(sketches, threshold, f"large-{first}", members[first:n_small])
    n_heads = sketches.partitions_for(200, sum(piece.n_rows for piece in decided))
    heads = sketches.step(
        "heads",
        verdict_columns,
        inputs=sketches.apart(decided),
        by=functools.partial(head_partition, n_heads),
        n_partitions=n_heads,
    )
    verdicts = sketches.step("sizes-of-heads", with_sizes, inputs=heads)
    compared = sketches.collect(
        sketches.step("compared", count_pairs, inputs=sketches.apart(verdicts))
    )
    if compared is not None:
        counts |= {name: pc.sum(compared[name]).as_py() for name in compared.column_names}
    return verdicts, counts


# --- components and their weight -------------------------------------------------------------------


def _weigh(
    sketches: Sketches, labels: Home, twins: Home, old: Sequence[Readable], bound: float
) -> tuple[dict[int, float], dict[str, int]]:
    """({root: bytes} of components over the bound, counts of all)."""
    n_partitions = sketches.partitions_for(100)
    weights = sketches.step(
        "weights",
        functools.partial(weigh, labels, twins),
        inputs=[*sketches.packed(500), *old],
        by=functools.partial(root_partition, n_partitions),
        n_partitions=n_partitions,
        columns=[AT, "bands", N_SHINGLES],
    )
    found = sketches.collect(
        sketches.step("heavy", functools.partial(heavy, bound), inputs=weights)
    )
    counts = dict.fromkeys(("bytes", "closure_would_drop", "proposed", "confirmed"), 0)
    if found is None:
        return {}, counts
    over = found.filter(pc.greater_equal(found["root"], 0))
    counts["closure_would_drop"] = pc.sum(found["lost"]).as_py()
    counts["bytes"] = pc.sum(found["bytes"]).as_py() - (pc.sum(over["bytes"]).as_py() or 0)
    return dict(zip(over["root"].to_pylist(), over["bytes"].to_pylist(), strict=True)), counts


def weigh(labels: Home, twins: Home, table: pa.Table) -> pa.Table:
    """Per component: bytes of its documents, how many it stands for, and whether any is old."""
    rows = _labelled(labels, twins, table)
    root = rows["root"].to_numpy()
    n_bytes = 8 * rows[N_SHINGLES].to_numpy().astype(np.int64) + rows["bands"].type.byte_width + 100
    is_old = rows[kept.ROLE].to_numpy() == 1
    roots, inverse = np.unique(root, return_inverse=True)
    sums = [
        np.bincount(inverse, values, minlength=len(roots)).astype(np.int64)
        for values in (n_bytes, np.where(is_old, 0, rows["weight"].to_numpy()), is_old)
    ]
    same, place = twins.match(table)
    alone = (place >= 0) & (labels.match(table)[1] < 0)
    n_alone = 0
    if same is not None:
        rows = same.take(pa.array(place[alone])).filter(pc.field("kept"))
        n_alone = (pc.sum(rows["cluster_size"]).as_py() or 0) - rows.num_rows
    return pa.table(
        {
            "root": np.append(roots, ELSEWHERE),
            "bytes": np.append(sums[0], 0),
            "n": np.append(sums[1], n_alone),
            "old": np.append(sums[2], 1),
        }
    )


def heavy(bound: float, table: pa.Table) -> pa.Table:
    """The components over the bound, and one row (root -1) for all: `lost` is what closure would drop."""
    roots, inverse = np.unique(table["root"].to_numpy(), return_inverse=True)
    n_bytes, n, old = (
        np.bincount(inverse, table[name].to_numpy()).astype(np.int64)
        for name in ("bytes", "n", "old")
    )
    over = n_bytes > bound
    lost = int((n - (old == 0)).sum())
    return pa.table(
        {
            "root": np.append(roots[over], -1),
            "bytes": np.append(n_bytes[over], n_bytes.sum()),
            "lost": np.append(np.zeros(over.sum(), dtype=np.int64), lost),
        }
    )


def root_partition(n_partitions: int, table: pa.Table) -> NDArray[np.int64]:
    with np.errstate(over="ignore"):
        mixed = mix64(table["root"].to_numpy().view(np.uint64))
    return (mixed % np.uint64(n_partitions)).astype(np.int64)


def _labelled(labels: Home, twins: Home, table: pa.Table) -> pa.Table:
    """The rows in a component, with its `root`, the copies that each stands for, and its role."""
    found, place = labels.match(table)
    rows = table.filter(pa.array(place >= 0))
    root = np.empty(0, np.int64) if found is None else found["root"].to_numpy()[place[place >= 0]]
    same, at = twins.match(rows)
    weight = np.ones(rows.num_rows, dtype=np.int64)
    if same is not None:
        weight[at >= 0] = same["cluster_size"].to_numpy()[at[at >= 0]]
    rows = rows.append_column("root", pa.array(root)).append_column("weight", pa.array(weight))
    if kept.ROLE not in rows.column_names:
        none = pa.array(np.zeros(rows.num_rows, dtype=np.int8))
        rows = rows.append_column(kept.ROLE, none)
    return rows


# --- members, by partition and block ---------------------------------------------------------------


def members_of(labels: Home, twins: Home, padding: Padding | None, table: pa.Table) -> pa.Table:
    """Rows in a component, all with the same columns in the same order."""
    rows = _labelled(labels, twins, table)
    names = _order_names(rows)
    ranks = [rows[name].to_numpy() for name in names]
    if padding is not None and kept.ROLE not in table.column_names:
        ranks = [np.full(rows.num_rows, padding.first, dtype=np.uint64), *ranks]
        ranks += [np.zeros(rows.num_rows, dtype=np.uint64)] * (padding.n_ranks - len(ranks))
    columns = {name: rows[name] for name in (AT, KEY, "root", "weight", kept.ROLE)}
    columns |= {f"rank_{i}": pa.array(rank) for i, rank in enumerate(ranks)}
    if "bands" not in rows.column_names:
        return pa.table(columns)
    n_bytes = 0 if padding is None else padding.signature
    blanks = {SHINGLES: pa.scalar([], pa.large_list(pa.uint64()))}
    blanks |= {kept.SIGNATURE: pa.scalar(bytes(n_bytes), pa.binary(n_bytes))} if n_bytes else {}
    columns["bands"] = rows["bands"]
    for name, blank in blanks.items():
        there = name in rows.column_names
        columns[name] = rows[name] if there else pa.repeat(blank, rows.num_rows)
    return pa.table(columns)


def _splitters(
    sketches: Sketches,
    labels: Home,
    twins: Home,
    old: Sequence[Readable],
    columns: list[str],
    padding: Padding | None,
    heavy: dict[int, float],
    bound: float,
) -> dict[int, NDArray[np.uint64]]:
    """For each component over the bound, uint64[n_blocks - 1, n_ranks + 2]: where a block begins."""
    if not heavy:
        return {}
    light = [name for name in columns if name not in ("bands", SHINGLES, kept.SIGNATURE)]
    rate = max(1, int(bound / 4000 / 64))  # 64 documents of 4 kB for each block
    step = functools.partial(sample, labels, twins, padding, tuple(heavy), rate)
    found = sketches.collect(
        sketches.step("sample", step, inputs=[*sketches.packed(500), *old], columns=light)
    )
    cuts = {}
    for root, n_bytes in heavy.items():
        n_blocks = int(np.ceil(n_bytes / bound))
        rows = None if found is None else found.filter(pc.equal(found["root"], root))
        places = (
            np.empty((0, len(_order_names(rows)) + 2), np.uint64) if rows is None else _places(rows)
        )
        places = places[np.lexsort(places.T[::-1])]
        at = np.unique(np.arange(1, n_blocks) * len(places) // n_blocks)
        cuts[root] = places[at[at > 0]]
    return cuts


def sample(
    labels: Home,
    twins: Home,
    padding: Padding | None,
    roots: tuple[int, ...],
    rate: int,
    table: pa.Table,
) -> pa.Table:
    names = [name for name in table.column_names if name not in ("bands", SHINGLES, kept.SIGNATURE)]
    rows = members_of(labels, twins, padding, table.select(names))
    if not rows.num_rows:
        return rows
    chosen = np.isin(rows["root"].to_numpy(), roots)
    chosen &= mix64(key_halves(rows[KEY])[:, 1]) % np.uint64(rate) == 0
    return rows.filter(pa.array(chosen))


def _order_names(table: pa.Table | None) -> list[str]:
    return (
        [] if table is None else [name for name in table.column_names if name.startswith("rank_")]
    )


def _places(table: pa.Table) -> NDArray[np.uint64]:
    """A row's place in the order, uint64[n_rows, n_ranks + 2]: ranks, then the key."""
    ranks = [table[name].to_numpy() for name in _order_names(table)]
    return np.column_stack([*ranks, key_halves(table[KEY])])


def member_partition(
    n_small: int, splitters: dict[int, NDArray[np.uint64]], table: pa.Table
) -> NDArray[np.int64]:
    """A partition by component; from `n_small` on the blocks of each large one, in order."""
    partition = root_partition(n_small, table)
    root, first = table["root"].to_numpy(), n_small
    for large, cut in splitters.items():
        mine = np.flatnonzero(root == large)
        if len(mine):
            both = np.concatenate([cut, _places(table.take(pa.array(mine)))])
            in_order = np.lexsort(both.T[::-1])  # stable: a splitter comes before the row it is of
            block = np.empty(len(both), dtype=np.int64)
            block[in_order] = np.cumsum(in_order < len(cut))
            partition[mine] = first + block[len(cut) :]
        first += len(cut) + 1
    return partition


# --- the loop ---------------------------------------------------------------------------------------


def decide(threshold: float, table: pa.Table, before: pa.Table | None = None) -> pa.Table:
    """Whole components, or one block -> the rows with their verdicts; sets of dropped ones are gone.

    `before`: kept documents earlier in the order; then rows are compared with these only.
    """
    from ultrakernels import verify as kernel

    n_before = 0 if before is None else before.num_rows
    table = table.take(pa.array(_in_order(table))).combine_chunks()
    both = table if before is None else pa.concat_tables([before.select(table.column_names), table])
    offsets, shingles = _lists(both[SHINGLES])
    role = both[kept.ROLE].to_numpy().copy()
    if before is not None:
        role[:n_before], role[n_before:] = kernel.KEPT, kernel.ASKS
    signature = None
    if kept.SIGNATURE in both.column_names:
        signature = kept.byte_rows(both[kept.SIGNATURE])
    bands = kept.byte_rows(both["bands"]).view(np.uint64)
    of, jaccard, compared = kernel.verify(bands, shingles, offsets, threshold, role, signature)
    of, jaccard, compared = of[n_before:], jaccard[n_before:], compared[n_before:]
    dropped = of >= 0
    head = np.where(dropped, of, n_before + np.arange(table.num_rows))
    sizes = np.diff(offsets)
    estimated = dropped & ((sizes[head] == 0) | (sizes[n_before:] == 0))
    n_compared = compared + (
        table["n_compared"].to_numpy() if "n_compared" in table.column_names else 0
    )
    verdict = {
        "kept": pa.array(~dropped),
        "same_as": pc.if_else(pa.array(dropped), both[KEY].take(pa.array(head)), pa.scalar(None, table[KEY].type)),
        "similarity": pa.array(jaccard),
        "kept_at": both[AT].take(pa.array(head)),
        "estimated": pa.array(estimated),
        "n_compared": pa.array(n_compared),
    }  # fmt: skip
    for name, values in verdict.items():
        if name in table.column_names:
            table = table.drop_columns([name])
        table = table.append_column(name, values)
    return table


def _in_order(table: pa.Table) -> NDArray[np.int64]:
    return np.lexsort(_places(table).T[::-1])


def _lists(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """A list column as (offsets into values, values); null as empty."""
    lists = column.combine_chunks()
    if lists.null_count:
        lists = pc.fill_null(lists, pa.scalar([], lists.type))
    return lists.offsets.to_numpy().astype(np.int64), lists.values.to_numpy()


# --- rounds -----------------------------------------------------------------------------------------


def _rounds(sketches: Sketches, threshold: float, name: str, blocks: list[Piece]) -> list[Piece]:
    """One component in blocks along its order -> its rows with their verdicts.

    What a sweep leaves of the blocks is packed to the size of the largest again, so that rounds end
    sooner the more is dropped.
    """
    done: list[Piece] = []
    most = max((block.n_bytes for block in blocks), default=0)
    number = 0
    while blocks:
        first, *rest = blocks
        keeps, drops = sketches.step(
            f"{name}-decide-{number}",
            functools.partial(decide, threshold),
            inputs=[first],
            by=is_dropped,
            n_partitions=2,
        )
        done += [keeps, drops]
        blocks = []
        if rest:
            *left, gone = sketches.step(
                f"{name}-sweep-{number}",
                functools.partial(sweep, threshold, keeps),
                inputs=[Block(i, block) for i, block in enumerate(rest)],
                by=functools.partial(block_partition, len(rest)),
                n_partitions=len(rest) + 1,
            )
            done.append(gone)
            blocks = _together(left, most)
        number += 1
    return done


def _together(blocks: list[Piece], most: int) -> list[Piece]:
    """The blocks in their order, neighbours as one where they have `most` bytes or fewer."""
    packed: list[Piece] = []
    for block in blocks:
        if packed and packed[-1].n_bytes + block.n_bytes <= most:
            n_rows = packed[-1].n_rows + block.n_rows
            packed[-1] = replace(packed[-1], n_rows=n_rows, ranges=packed[-1].ranges + block.ranges)
        elif block.n_rows:
            packed.append(block)
    return packed


@dataclass(frozen=True)
class Block:
    """A block of a component and its number among those that are left."""

    number: int
    piece: Piece

    @property
    def n_rows(self) -> int:
        return self.piece.n_rows

    def read(self, columns: Sequence[str] | None = None) -> pa.Table | None:
        table = self.piece.read(columns)
        if table is None:
            return None
        table = table.drop_columns([name for name in ("block",) if name in table.column_names])
        return table.append_column("block", pa.array(np.full(table.num_rows, self.number)))

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        return iter([table] if (table := self.read(columns)) is not None else [])


def sweep(threshold: float, keeps: Piece, table: pa.Table) -> pa.Table:
    before = keeps.read()
    block = table["block"]
    table = table.drop_columns(["block"])
    if before is None:
        before = table.slice(0, 0)
    return decide(threshold, table, before).append_column("block", block)


def is_dropped(table: pa.Table) -> NDArray[np.int64]:
    dropped: NDArray[np.int64] = (~table["kept"].to_numpy()).astype(np.int64)
    return dropped


def block_partition(n_blocks: int, table: pa.Table) -> NDArray[np.int64]:
    return np.where(table["kept"].to_numpy(), table["block"].to_numpy(), n_blocks)


# --- verdicts ---------------------------------------------------------------------------------------

_VERDICT: Final = (AT, "kept", "same_as", "similarity", "kept_at", "estimated", "n_compared", "weight", kept.ROLE)  # fmt: skip


def verdict_columns(table: pa.Table) -> pa.Table:
    return table.select(list(_VERDICT))


def head_partition(n_partitions: int, table: pa.Table) -> NDArray[np.int64]:
    with np.errstate(over="ignore"):
        mixed = mix64(table["kept_at"].to_numpy().view(np.uint64))
    return (mixed % np.uint64(n_partitions)).astype(np.int64)


def with_sizes(table: pa.Table) -> pa.Table:
    """Verdicts of new documents, with how many documents each one's kept copy stands for."""
    heads, inverse = np.unique(table["kept_at"].to_numpy(), return_inverse=True)
    sizes = np.bincount(inverse, table["weight"].to_numpy(), minlength=len(heads)).astype(np.int64)
    table = table.append_column("cluster_size", pa.array(sizes[inverse]))
    return table.filter(pc.equal(table[kept.ROLE], 0)).drop_columns(["weight", kept.ROLE])


def count_pairs(table: pa.Table) -> pa.Table:
    n_confirmed = table.num_rows - pc.sum(table["kept"]).as_py()
    proposed = pc.sum(table["n_compared"]).as_py()
    return pa.table({"proposed": [proposed], "confirmed": [n_confirmed]})
