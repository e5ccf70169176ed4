"""Near duplicates confirmed by their exact Jaccard similarity, instead of by transitive closure.

Not a stage: the end of `dedup.minhash` with `verify`. In the order (priority, key), a document is
dropped if and only if a document that is already kept, earlier in the order, shares a band with it
and has an exact Jaccard similarity of `verify` or more; `same_as` is the first such. So a chain
A~B~C of ever different documents loses only those that are close to a kept one.

Components (`clusters.py`) hold all candidates of a document, so each is decided by itself. Documents
with the same set of shingles collapse first: they share all bands and all similarities, so all but
the first have the first one's verdict or duplicate it. The distinct documents of one component must
fit in a task; rounds within a component are not done yet.
"""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ultraclean.document import AT, KEY
from ultraclean.stages.dedup import kept

if TYPE_CHECKING:
    from ultraclean.exchange import Sketches

SHINGLES: Final = "shingles"


def verify(
    sketches: Sketches, group: kept.Grouping, columns: list[str], threshold: float
) -> dict[str, Any]:
    """Leaves a verdict for every member of a component; returns the card."""
    # Five hundred shingles a document, some of the documents in a component at all.
    n_partitions = sketches.partitions_for(2048)
    members = sketches.step(
        "components",
        group,
        by=functools.partial(kept.group_partition, n_partitions),
        n_partitions=n_partitions,
        columns=[*columns, "bands", SHINGLES],
    )
    verify_here = functools.partial(verify_partition, threshold)
    verdicts = sketches.step("verified", verify_here, inputs=members)
    sketches.verdicts("verdicts", verdicts)
    counted = sketches.collect(
        sketches.step("compared", count_compared, inputs=verdicts, columns=["n_compared", "kept"])
    )
    card = kept.count_groups(sketches, verdicts)
    n_compared, n_members = (0, 0) if counted is None else (pc.sum(counted[c]).as_py() for c in counted.column_names)  # fmt: skip
    components = sketches.collect(sketches.step("roots", count_roots, inputs=members, columns=list(kept.GROUP)))  # fmt: skip
    n_roots = 0 if components is None else pc.sum(components["n"]).as_py()
    return card | {"compared": n_compared, "closure_would_drop": n_members - n_roots}


def verify_partition(threshold: float, table: pa.Table) -> pa.Table:
    """Members of whole components -> verdicts, each component by itself."""
    from ultrakernels import order
    from ultrakernels import verify as kernel

    table = table.take(pa.array(kept.best_first(table))).combine_chunks()
    starts = order.runs(*(table[name].to_numpy() for name in kept.GROUP))
    ends = np.append(starts[1:], table.num_rows)
    copy_of = np.full(table.num_rows, -1, dtype=np.int64)
    similarity = np.full(table.num_rows, np.nan)
    n_compared = np.zeros(table.num_rows, dtype=np.int64)
    bands = kept.byte_rows(table["bands"]).view(np.uint64)
    offsets, shingles = _lists(table[SHINGLES])
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        first = _first_alike(offsets, shingles, start, end)
        distinct = np.flatnonzero(first == np.arange(start, end)) + start
        sets = [shingles[offsets[row] : offsets[row + 1]] for row in distinct]
        where = np.cumsum([0, *map(len, sets)])
        of, jaccard, compared = kernel.verify(
            bands[distinct], np.concatenate(sets), where.astype(np.int64), threshold
        )
        dropped = of >= 0
        copy_of[distinct[dropped]] = distinct[of[dropped]]
        similarity[distinct[dropped]] = jaccard[dropped]
        n_compared[start] = compared
        alike = np.flatnonzero(first != np.arange(start, end)) + start
        model = first[alike - start]
        own = copy_of[model] < 0
        copy_of[alike] = np.where(own, model, copy_of[model])
        similarity[alike] = np.where(own, 1.0, similarity[model])
    is_kept = copy_of < 0
    cluster = np.where(is_kept, np.arange(table.num_rows), copy_of)
    size = np.bincount(cluster, minlength=table.num_rows)[cluster]
    same_as = pc.if_else(pa.array(is_kept), pa.scalar(None, table[KEY].type), table[KEY].take(pa.array(cluster)))  # fmt: skip
    verdicts = {AT: table[AT], "kept": pa.array(is_kept), "same_as": same_as}
    numbers = {"similarity": similarity, "cluster_size": size, "n_compared": n_compared}
    return pa.table(verdicts | {name: pa.array(values) for name, values in numbers.items()})


def _first_alike(
    offsets: NDArray[np.int64], shingles: NDArray[np.uint64], start: int, end: int
) -> NDArray[np.int64]:
    """For each row the first one with the same set of shingles."""
    seen: dict[bytes, int] = {}
    content = memoryview(shingles.data).cast("B")
    first = [
        seen.setdefault(
            hashlib.blake2b(
                content[8 * offsets[row] : 8 * offsets[row + 1]], digest_size=16
            ).digest(),
            row,
        )
        for row in range(start, end)
    ]
    return np.array(first, dtype=np.int64)


def _lists(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """A list column as (offsets into values, values)."""
    lists = column.combine_chunks()
    return lists.offsets.to_numpy().astype(np.int64), lists.values.to_numpy()


def count_compared(table: pa.Table) -> pa.Table:
    n_compared = pc.sum(table["n_compared"]).as_py()
    return pa.table({"n": pa.array([n_compared]), "members": pa.array([table.num_rows])})


def count_roots(table: pa.Table) -> pa.Table:
    roots = np.unique(np.stack([table[name].to_numpy() for name in kept.GROUP], axis=1), axis=0)
    return pa.table({"n": pa.array([len(roots)])})
