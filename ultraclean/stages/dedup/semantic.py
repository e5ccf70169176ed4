"""Removes documents that mean nearly the same: those whose vectors point almost the same way.

SemDeDup (Abbas et al. 2023, arXiv 2303.09540): k-means puts documents into clusters, and within a cluster
a document goes if its cosine similarity to an earlier one is at least `threshold`. The vectors are a
column (`score.embedding` with `vector_into` makes one; so may any other model), clusters and pairs are
faiss's. Deliberately different: with `rule: kept` a document goes only because of one that stays, so that
a chain of ever different documents does not lose all but its first (`any` is theirs); earlier is what has
the higher priority, then the lower key; equal vectors collapse before they are compared; and pairs down to
`floor` are kept in the run, so that another `threshold` needs neither vectors nor pairs again.
Documents in different clusters are not compared: about what k-means calls near is found, not all of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from ultraclean.document import AT, KEY, Batch, key_halves, random64
from ultraclean.errors import StageError
from ultraclean.stage import Barrier, Decision, Late
from ultraclean.stages.dedup import kept

if TYPE_CHECKING:
    from ultraclean.exchange import Piece, Sketches

_POINTS: Final = 256
"""Vectors per cluster that k-means learns from."""
_BLOCK: Final = 2048


class Semantic(Barrier):
    stage: ClassVar[str] = "dedup.semantic"
    main: ClassVar[str | None] = "vectors"
    paper: ClassVar[str] = "SemDeDup (arXiv 2303.09540)"
    reasons: ClassVar[tuple[str, ...]] = ("same_meaning",)
    extras: ClassVar[Mapping[str, str]] = {"faiss": '"ultraclean-data[semantic]"'}
    packages: ClassVar[tuple[str, ...]] = ("faiss-cpu",)

    vectors: str = Field(default="embedding", description="column of vectors (lists of numbers)")
    threshold: Annotated[float, Late()] = Field(
        default=0.95, gt=0, le=1, description="cosine similarity from which two mean the same"
    )
    floor: float = Field(
        default=0.85,
        gt=0,
        le=1,
        description="similarity down to which pairs are kept in the run; `threshold` may be set anew "
        "between this and 1 without searching again",
    )
    rule: Annotated[Literal["kept", "any"], Late()] = Field(
        default="kept",
        description="kept: goes because of an earlier one that stays; any: of any earlier one",
    )
    clusters: int | None = Field(
        default=None, ge=1, description="clusters of k-means; none: one per 5,000 documents"
    )
    seed: int = Field(default=1, ge=0, lt=2**31, description="draws the first centres")
    priority: tuple[str, ...] = Field(
        default=(),
        description="columns (numbers, dates) whose highest value marks the kept copy; then the lowest key",
    )
    max_cluster: int | None = Field(
        default=1000, ge=2, description="a document kept for more than this many raises an alarm"
    )

    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.vectors, *self.priority)))

    def problems(self) -> list[str]:
        if self.threshold < self.floor:
            return [f"threshold {self.threshold} is below floor {self.floor}: lower `floor`"]
        return []

    def sketch(self) -> Callable[[Batch], pa.RecordBatch]:
        return functools.partial(sketch_rows, self)

    def resolve(self, sketches: Sketches) -> dict[str, Any]:
        if self.threshold < self.floor:
            raise StageError(f"{self.called}: {self.problems()[0]}")
        inputs = sketches.in_groups(growth=4)
        counted = sketches.collect(sketches.step("shape", shape, inputs=inputs, columns=["vector"]))
        n_vectors, n_bytes = 0, 0
        if counted is not None:
            widths = {width for width in counted["n_bytes"].to_pylist() if width is not None}
            if len(widths) > 1:
                raise StageError(
                    f"{self.called}: {self.vectors!r} has vectors of different lengths: "
                    f"{sorted(width // 4 for width in widths)}"
                )
            n_vectors, n_bytes = pc.sum(counted["n"]).as_py(), max(widths, default=0)
        n_clusters = self.clusters or max(1, n_vectors // 5000)
        work: dict[str, Any] = {"vectors": n_vectors, "without": sketches.n_docs - n_vectors}
        pairs = self._pairs(sketches, inputs, n_clusters, n_vectors, n_bytes) if n_vectors else []
        # The threshold is in the name: the steps before know nothing of it.
        decide = functools.partial(decided, self.threshold, self.rule)
        name = f"kept-{self.rule}-{self.threshold!r}"
        verdicts = sketches.step(name, decide, inputs=pairs)
        sketches.verdicts("verdicts", verdicts)
        work |= {"clusters": n_clusters, "pairs": sum(piece.n_rows for piece in pairs)}
        card = kept.count_groups(sketches, verdicts)
        groups = {"groups" if name == "clusters" else name: value for name, value in card.items()}
        return groups | work | {"alarms": kept.alarms(self.called, card, self.max_cluster)}

    def _pairs(
        self, sketches: Sketches, inputs: list[Piece], n_clusters: int, n_vectors: int, n_bytes: int
    ) -> list[Piece]:
        """Pairs down to `floor`, one piece per partition of clusters."""
        share = min(1.0, _POINTS * n_clusters / n_vectors)
        columns = [AT, KEY, "vector", *kept.rank_names(self.priority)]
        some = sketches.step(
            "sample",
            functools.partial(sample, share, self.seed),
            inputs=inputs,
            columns=[KEY, "vector"],
        )
        centres = sketches.step(
            "centres", functools.partial(learn, n_clusters, self.seed), inputs=some
        )
        n_partitions = min(n_clusters, sketches.partitions_for(4 * (n_bytes + 64), n_vectors))
        members = sketches.step(
            "members",
            functools.partial(assign, centres[0]),
            inputs=inputs,
            by=functools.partial(cluster_partition, n_partitions),
            n_partitions=n_partitions,
            columns=columns,
        )
        return sketches.step(
            "pairs",
            functools.partial(search, self.floor),
            inputs=members,
            by=functools.partial(cluster_partition, n_partitions),
            n_partitions=n_partitions,
        )

    def apply(
        self, card: Mapping[str, Any], verdicts: pa.Table | None
    ) -> Callable[[Batch], Decision]:
        return kept.decisions(self.reasons, verdicts)


# --- steps ------------------------------------------------------------------------------------------


def sketch_rows(stage: Semantic, batch: Batch) -> pa.RecordBatch:
    """`vector`: float32 of length one as bytes, null where there is none or it is zero; and ranks."""
    column = batch[stage.vectors]
    rows: list[bytes | None] = []
    for value in column:
        values = getattr(value, "values", None)
        vector = np.zeros(0, np.float32) if values is None else np.asarray(values, np.float64)
        length = float(np.sqrt((vector.astype(np.float64) ** 2).sum()))
        usable = np.isfinite(length) and length > 0
        rows.append((vector / length).astype("<f4").tobytes() if usable else None)
    columns = {"vector": pa.array(rows, pa.large_binary())}
    return pa.RecordBatch.from_pydict(columns | kept.ranks(stage.called, batch, stage.priority))


def shape(table: pa.Table) -> pa.Table:
    """(vectors, bytes of one) of each length that is there."""
    widths, n = np.unique(
        pc.binary_length(table["vector"].drop_null()).to_numpy(), return_counts=True
    )
    return pa.table({"n_bytes": pa.array(widths, pa.int64()), "n": pa.array(n, pa.int64())})


def matrix(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """float32[n, dim] of a column of vectors without nulls."""
    content = b"".join(column.to_pylist())
    return np.frombuffer(content, "<f4").reshape(len(column), -1)


def sample(share: float, seed: int, table: pa.Table) -> pa.Table:
    drawn = random64(table[KEY], seed) <= np.uint64(min(2**64 - 1, int(share * 2**64)))
    return table.filter(pa.array(drawn)).filter(pc.is_valid(pc.field("vector")))


def learn(n_clusters: int, seed: int, table: pa.Table) -> pa.Table:
    """Centres of clusters, by spherical k-means over the sample in the order of keys."""
    table = table.sort_by(KEY)
    points = matrix(table["vector"])
    if n_clusters == 1 or len(points) <= n_clusters:
        middles = points[:n_clusters]
    else:
        import faiss

        faiss.omp_set_num_threads(1)  # so that sums do not depend on the machine
        made = faiss.Kmeans(
            points.shape[1],
            n_clusters,
            niter=20,
            seed=seed,
            spherical=True,
            min_points_per_centroid=1,
        )
        made.train(np.ascontiguousarray(points))
        middles = np.asarray(made.centroids)
    return pa.table({"vector": pa.array([one.tobytes() for one in middles], pa.large_binary())})


def assign(centres: Piece, table: pa.Table) -> pa.Table:
    """The rows that have a vector, each with the nearest centre."""
    table = table.filter(pc.is_valid(pc.field("vector")))
    read = centres.read()
    if read is None or not table.num_rows:
        return table.append_column("cluster", pa.array(np.zeros(table.num_rows, np.int64)))
    near, middles = np.zeros(table.num_rows, np.int64), matrix(read["vector"])
    points = matrix(table["vector"])
    for start in range(0, len(points), _BLOCK):
        near[start : start + _BLOCK] = (points[start : start + _BLOCK] @ middles.T).argmax(axis=1)
    return table.append_column("cluster", pa.array(near))


def cluster_partition(n_partitions: int, table: pa.Table) -> NDArray[np.int64]:
    partition: NDArray[np.int64] = table["cluster"].to_numpy() % np.int64(n_partitions)
    return partition


_PAIR: Final = pa.schema(
    [
        ("cluster", pa.int64()),
        ("place", pa.int64()),
        ("other", pa.int64()),
        (AT, pa.int64()),
        ("other_at", pa.int64()),
        ("other_key", pa.binary(16)),
        ("similarity", pa.float64()),
        ("copy", pa.bool_()),
    ]
)


def search(floor: float, table: pa.Table) -> pa.Table:
    """Pairs of one partition's clusters: a document, an earlier one, and how similar they are.

    A document with the vector of an earlier one has a pair with the first such alone.
    """
    keys = key_halves(table[KEY])
    ranks = [table[name].to_numpy() for name in table.column_names if name.startswith("rank_")]
    cluster = table["cluster"].to_numpy()
    order = np.lexsort([keys[:, 1], keys[:, 0], *ranks[::-1], cluster])
    table, cluster = table.take(pa.array(order)), cluster[order]
    vectors = matrix(table["vector"])
    starts = np.flatnonzero(np.append(True, cluster[1:] != cluster[:-1]))
    later, earlier, similarity, copy = [], [], [], []
    for start, stop in zip(starts, np.append(starts[1:], len(cluster)), strict=True):
        mine = np.ascontiguousarray(vectors[start:stop])
        raw = mine.view(f"V{mine.shape[1] * 4}").ravel()
        _, first, group = np.unique(raw, return_index=True, return_inverse=True)
        copies = np.flatnonzero(first[group] != np.arange(len(mine)))
        later.append(copies + start)
        earlier.append(first[group][copies] + start)
        similarity.append(np.ones(len(copies)))
        copy.append(np.ones(len(copies), bool))
        distinct = np.sort(first)
        i, j, found = _similar(mine[distinct], floor)
        later.append(distinct[i] + start)
        earlier.append(distinct[j] + start)
        similarity.append(found)
        copy.append(np.zeros(len(i), bool))
    i, j = np.concatenate(later), np.concatenate(earlier)
    at, key = table[AT].combine_chunks(), table[KEY].combine_chunks()
    columns = {
        "cluster": cluster[i],
        "place": i,
        "other": j,
        AT: at.take(pa.array(i)),
        "other_at": at.take(pa.array(j)),
        "other_key": key.take(pa.array(j)),
        "similarity": np.concatenate(similarity),
        "copy": np.concatenate(copy),
    }
    return pa.table(columns, schema=_PAIR)


def _similar(
    vectors: NDArray[np.float32], floor: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """(later, earlier, similarity) of the pairs of at least `floor`."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    later, earlier, similarity = [], [], []
    for start in range(0, len(vectors), _BLOCK):
        # faiss finds what is above; a little lower, then as the definition says.
        lims, found, other = index.range_search(vectors[start : start + _BLOCK], floor - 1e-6)
        i = np.repeat(np.arange(len(lims) - 1), np.diff(lims).astype(np.int64)) + start
        true = (other < i) & (found >= floor - 1e-6)
        later.append(i[true])
        earlier.append(other[true])
        similarity.append(np.minimum(found[true].astype(np.float64), 1.0))
    none = np.zeros(0, np.int64)
    return (
        np.concatenate([none, *later]),
        np.concatenate([none, *earlier]),
        np.concatenate([np.zeros(0), *similarity]),
    )


def decided(threshold: float, rule: str, table: pa.Table) -> pa.Table:
    """Verdicts of one partition: who goes because of whom, and who is kept for how many."""
    place, other = table["place"].to_numpy(), table["other"].to_numpy()
    similarity = table["similarity"].to_numpy()
    is_copy = table["copy"].to_numpy(zero_copy_only=False)
    near = np.flatnonzero(similarity >= threshold - 1e-6)
    near = near[np.lexsort([other[near], -similarity[near], place[near]])]
    gone: dict[int, tuple[int, int]] = {}  # document -> a pair of it, the pair that tells its fate
    for pair in near.tolist():
        document, earlier = int(place[pair]), int(other[pair])
        if document in gone:
            continue
        if rule == "any" or earlier not in gone:
            gone[document] = pair, pair
        elif is_copy[pair]:
            gone[document] = pair, gone[earlier][1]
    pairs = np.array(list(gone.values()), dtype=np.int64).reshape(-1, 2)
    at, pairs = table[AT].to_numpy()[pairs[:, 0]], pairs[:, 1]
    stays, n = np.unique(table["other_at"].to_numpy()[pairs], return_counts=True)
    alone = ~np.isin(stays, at)
    size = dict(zip(stays.tolist(), (n + 1).tolist(), strict=True))
    lost_to = [size[one] for one in table["other_at"].to_numpy()[pairs].tolist()]
    keys = table["other_key"].combine_chunks().take(pa.array(pairs))
    n_kept = int(alone.sum())
    return pa.table(
        {
            AT: np.concatenate([at, stays[alone]]),
            "kept": np.append(np.zeros(len(at), bool), np.ones(n_kept, bool)),
            "same_as": pa.concat_arrays([keys, pa.nulls(n_kept, keys.type)]),
            "similarity": np.append(similarity[pairs], np.full(n_kept, np.nan)),
            "cluster_size": np.append(np.array(lost_to, np.int64), n[alone] + 1),
        }
    )
