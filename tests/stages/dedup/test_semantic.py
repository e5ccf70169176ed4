"""`dedup.semantic` against all pairs by numpy, and another threshold without another search."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("faiss")

from ultraclean.document import AT, KEY, Batch, keys_of
from ultraclean.errors import StageError
from ultraclean.exchange import Piece, Sketches
from ultraclean.fingerprint import fingerprint, late_fields
from ultraclean.stages.dedup import semantic
from ultraclean.stages.dedup.semantic import Semantic

RunBarrier = Callable[..., Any]


def cloud(n_docs: int, seed: int = 1) -> np.ndarray:
    """Vectors in families of ever more distant members, with copies."""
    draw = np.random.default_rng(seed)
    middles = draw.standard_normal((12, 24))
    made = middles[draw.integers(0, 12, n_docs)] + draw.standard_normal((n_docs, 24)) * draw.choice(
        [0.05, 0.15, 0.4, 1.0], (n_docs, 1)
    )
    made[n_docs // 2 : n_docs // 2 + 20] = made[:20]
    return made


def plain(
    vectors: np.ndarray, keys: list[bytes], rank: list[float], threshold: float, rule: str
) -> list[int | None]:
    """The definition, over all pairs."""
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    similar = (unit @ unit.T).astype(np.float64)
    order = sorted(range(len(vectors)), key=lambda row: (-rank[row], keys[row]))
    copy_of: list[int | None] = [None] * len(vectors)
    for place, row in enumerate(order):
        earlier = [
            other
            for other in order[:place]
            if similar[row, other] >= threshold and (rule == "any" or copy_of[other] is None)
        ]
        if earlier:
            copy_of[row] = max(earlier, key=lambda other: similar[row, other])
    return copy_of


@pytest.mark.parametrize("rule", ["kept", "any"])
def test_all_pairs(run_barrier: RunBarrier, rule: str) -> None:
    vectors = cloud(400)
    rank = np.random.default_rng(2).integers(0, 3, 400).astype(float).tolist()
    table = pa.table({"embedding": vectors.tolist(), "rank": rank})
    stage = Semantic(threshold=0.9, floor=0.8, rule=rule, priority=("rank",))  # type: ignore[arg-type]
    cards = []
    for n_shards, memory_bytes, backwards in ((1, 2**29, False), (4, 2**14, True)):
        result = run_barrier(
            stage,
            table,
            n_shards=n_shards,
            batch_rows=33,
            memory_bytes=memory_bytes,
            backwards=backwards,
        )
        expected = plain(vectors, result.keys, rank, 0.9, rule)
        assert [other is None for other in result.copy_of] == [other is None for other in expected]
        for row, other in enumerate(result.copy_of):
            if other is not None:
                assert result.similarity[row] >= 0.9 - 1e-5
                assert rule == "any" or result.copy_of[other] is None
        cards.append(result.card)
    assert cards[0] == cards[1]
    assert 50 < cards[0]["dropped"] < 390 or rule == "any"
    json.dumps(cards[0])


def test_clusters_find_most_pairs_and_any_cut_the_same(run_barrier: RunBarrier) -> None:
    vectors = cloud(1200, seed=5)
    table = pa.table({"embedding": vectors.tolist()})
    whole = run_barrier(Semantic(clusters=1), table)
    many = run_barrier(Semantic(clusters=8), table, n_shards=2)
    again = run_barrier(Semantic(clusters=8), table, n_shards=5, memory_bytes=2**15, backwards=True)
    assert many.keep == again.keep and many.copy_of == again.copy_of
    lost, found = np.array(whole.keep) == 0, np.array(many.keep) == 0
    assert (lost & found).sum() > 0.95 * lost.sum()


def test_copies_of_one_vector_are_not_compared_with_each_other(
    run_barrier: RunBarrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []
    real = semantic._similar
    monkeypatch.setattr(semantic, "_similar", lambda v, f: compared.append(len(v)) or real(v, f))
    table = pa.table({"embedding": [[1.0, 2.0]] * 3000 + [[2.0, -1.0]]})
    result = run_barrier(Semantic(), table)
    assert sum(result.keep) == 2
    assert result.card["largest"] == 3000
    assert "1 clusters hold more than 1000" in result.card["alarms"][0]


def test_no_vector_is_kept(run_barrier: RunBarrier) -> None:
    column = pa.array([None, [], [0.0, 0.0], [float("nan"), 1.0], [1.0, 0.0], [2.0, 0.0]])
    result = run_barrier(Semantic(), pa.table({"embedding": column}), n_shards=2)
    assert result.keep[:4] == [True] * 4 and sum(result.keep) == 5
    assert result.card["without"] == 4
    nothing = run_barrier(Semantic(), pa.table({"embedding": column.slice(0, 3)}), n_shards=1)
    assert nothing.keep == [True] * 3 and nothing.card["vectors"] == 0
    uneven = pa.table({"embedding": [[1.0, 2.0], [1.0, 2.0, 3.0]]})
    with pytest.raises(StageError, match=r"different lengths: \[2, 3\]"):
        run_barrier(Semantic(), uneven)
    assert "below floor" in Semantic(threshold=0.5).problems()[0]
    large = Batch.of(v=pa.array([[1, 2], [2, 4]], pa.large_list(pa.float32())).slice(1))
    assert Semantic(vectors="v").sketch()(large)["vector"].null_count == 0


def test_another_threshold_needs_no_other_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = []
    real = semantic.search
    monkeypatch.setattr(
        semantic, "search", lambda floor, table: searched.append(1) or real(floor, table)
    )
    vectors = cloud(300)
    keys = keys_of("t", "rows", np.arange(300))
    batch = Batch.of(embedding=vectors.tolist(), **{AT: pa.array(np.arange(300)), KEY: keys})
    rows = Batch(Semantic().sketch()(batch)).with_columns({AT: batch[AT], KEY: keys}).data
    path = str(tmp_path / "sketch.parquet")
    pq.write_table(pa.Table.from_batches([rows]), path)

    def run(stage: Semantic) -> list[bool]:
        sketches = Sketches([Piece(((path, 0),), 300)], [300], str(tmp_path / "steps"), map)
        card = stage.resolve(sketches)
        return stage.apply(card, sketches.verdicts_of(0))(batch).keep.tolist()

    for threshold in (0.95, 0.88, 0.95):
        for rule in ("kept", "any"):
            stage = Semantic(threshold=threshold, rule=rule)  # type: ignore[arg-type]
            expected = plain(vectors, keys.to_pylist(), [0.0] * 300, threshold, rule)
            assert run(stage) == [other is None for other in expected]
            assert fingerprint(stage) == fingerprint(Semantic())
            assert late_fields(stage) == {"threshold": threshold, "rule": rule}
    assert len(searched) == 1
    assert fingerprint(Semantic(floor=0.9)) != fingerprint(Semantic())
