"""`dedup.minhash` from sketch to decision, against a loop in plain Python."""

from __future__ import annotations

import gzip
import itertools
import json
import math
import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from ultrakernels import minhash as kernel

from ultraclean.document import Batch
from ultraclean.errors import DataError, MissingExtra, StageError
from ultraclean.fingerprint import fingerprint
from ultraclean.stage import Resources
from ultraclean.stages.dedup import clusters
from ultraclean.stages.dedup.minhash import Minhash, simplify

RunBarrier = Callable[..., Any]


def brute_force(
    stage: Minhash, keys: list[bytes], texts: list[str | None], priority: list[float | None]
) -> tuple[list[int | None], list[int]]:
    """(the row that each row duplicates, the size of its cluster)."""
    a, b = kernel.parameters(stage.seed, stage.bands * stage.rows)
    signature, n_shingles = kernel.signatures(pa.array(texts, pa.string()), stage.ngram, a, b)
    cluster = list(range(len(texts)))
    buckets: dict[Any, list[int]] = defaultdict(list)
    for row in np.flatnonzero(n_shingles):
        for band in range(stage.bands):
            start = band * stage.rows
            buckets[band, signature[row, start : start + stage.rows].tobytes()].append(int(row))
    changed = True
    while changed:
        changed = False
        for rows in buckets.values():
            low = min(cluster[row] for row in rows)
            changed |= any(cluster[row] != low for row in rows)
            for row in rows:
                cluster[row] = low
    members = defaultdict(list)
    for row, number in enumerate(cluster):
        members[number].append(row)
    copy_of: list[int | None] = [None] * len(texts)
    sizes = [1] * len(texts)

    def place(row: int) -> tuple[float, bytes]:
        value = priority[row]
        missing = value is None or math.isnan(value)
        return (math.inf if missing else -value, keys[row])  # type: ignore[operator]

    for rows in members.values():
        best = min(rows, key=place)
        for row in rows:
            sizes[row] = len(rows)
            copy_of[row] = None if row == best else best
    return copy_of, sizes


def edited(draw: random.Random, words: list[str], share: float) -> list[str]:
    return [word if draw.random() > share else f"new{draw.randrange(10**6)}" for word in words]


def corpus(seed: int, n_docs: int) -> list[str | None]:
    """Documents of which a half are edited copies of earlier ones, so that chains arise."""
    draw = random.Random(seed)
    docs: list[list[str]] = []
    for _ in range(n_docs):
        if docs and draw.random() < 0.5:
            docs.append(edited(draw, draw.choice(docs), draw.choice([0.0, 0.01, 0.03, 0.1])))
        else:
            docs.append([f"word{draw.randrange(5000)}" for _ in range(draw.choice([3, 20, 80]))])
    texts: list[str | None] = [" ".join(doc) for doc in docs]
    texts[3:3] = [None, "", "one two three four", "one two three four"]
    return texts


def cluster_sizes(result: Any) -> list[int]:
    return [int(n) for d in result.decisions for n in d.numbers["cluster_size"]]


@pytest.mark.parametrize("seed", range(3))
def test_whole_barrier_is_the_brute_force_for_any_cut(run_barrier: RunBarrier, seed: int) -> None:
    texts = corpus(seed, 300)
    draw = random.Random(seed)
    priority = [draw.choice([1.0, 2.0, None, math.nan]) for _ in texts]
    table = pa.table({"text": texts, "quality": pa.array(priority, pa.float64())})
    stage = Minhash(priority=("quality",))
    cards = []
    for n_shards, batch_rows, memory_bytes, backwards in (
        (1, 1000, 2**29, False),
        (3, 7, 2**17, False),
        (3, 50, 2**13, True),
        (12, 3, 2**13, False),
    ):
        result = run_barrier(
            stage,
            table,
            n_shards=n_shards,
            batch_rows=batch_rows,
            memory_bytes=memory_bytes,
            backwards=backwards,
        )
        copy_of, sizes = brute_force(stage, result.keys, texts, priority)
        assert result.copy_of == copy_of
        assert cluster_sizes(result) == sizes
        assert result.keep == [other is None for other in copy_of]
        cards.append({name: value for name, value in result.card.items() if name != "work"})
        assert (result.card["work"]["partitions"] > 1) == (memory_bytes == 2**13)
    assert all(card == cards[0] for card in cards)
    assert cards[0]["documents"] == len(texts)
    assert cards[0]["too_short"] > 4
    assert cards[0]["dropped"] == sum(other is not None for other in copy_of) > 50
    assert cards[0]["largest"] == max(sizes)
    json.dumps(result.card)


def read(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in gzip.open(path, "rt", encoding="utf-8")]


def test_real_news_and_reviews(run_barrier: RunBarrier, shared_data: Path) -> None:
    folder = shared_data / "text"
    texts = read(folder / "bbc.jsonl.gz") + read(folder / "reuters.jsonl.gz")
    texts += read(folder / "imdb.jsonl.gz")[:2000]
    stage = Minhash()
    result = run_barrier(stage, pa.table({"text": texts}), n_shards=5, memory_bytes=2**22)
    copy_of, sizes = brute_force(stage, result.keys, texts, [None] * len(texts))  # type: ignore[arg-type]
    assert result.copy_of == copy_of
    assert cluster_sizes(result) == sizes
    words = [set(itertools.pairwise(text.lower().split())) for text in texts]
    for row, other in enumerate(copy_of):
        if other is not None:
            jaccard = len(words[row] & words[other]) / len(words[row] | words[other])
            # Not the same shingles, but enough to see an estimate that is not one.
            assert abs(result.similarity[row] - jaccard) < 0.35
    assert all(
        math.isnan(s) == keep for s, keep in zip(result.similarity, result.keep, strict=True)
    )


@pytest.mark.parametrize("n_docs", [100, 1000])
def test_planted_pairs_of_articles(run_barrier: RunBarrier, shared_data: Path, n_docs: int) -> None:
    lines = (shared_data / "dedup" / f"articles_{n_docs}.train").read_text().splitlines()
    names, texts = zip(*(line.split(" ", 1) for line in lines), strict=True)
    truth = (shared_data / "dedup" / f"articles_{n_docs}.truth").read_text().splitlines()
    result = run_barrier(Minhash(), pa.table({"text": list(texts)}))
    found = {
        frozenset((names[row], names[other]))
        for row, other in enumerate(result.copy_of)
        if other is not None
    }
    assert found == {frozenset(line.split()) for line in truth}


# --- components ------------------------------------------------------------------------------------


def graph(n_docs: int, edges: list[tuple[int, int]]) -> pa.Table:
    """Documents as rows whose bands are the edges that touch them (and keys of their own)."""
    touching: list[list[int]] = [[] for _ in range(n_docs)]
    for number, (left, right) in enumerate(edges):
        touching[left].append(number)
        touching[right].append(number)
    n_bands = max(1, *map(len, touching))
    bands = np.arange(n_docs * n_bands, dtype=np.uint64).reshape(n_docs, n_bands)
    bands += np.uint64(2**40)
    for row, numbers in enumerate(touching):
        bands[row, : len(numbers)] = numbers
    width = pa.binary(8 * n_bands)
    return pa.table({"bands": pa.array([row.tobytes() for row in bands], width)})


CHAIN = [(i, i + 1) for i in range(359)]
DRAW = random.Random(4)
SHUFFLED = DRAW.sample(range(360), 360)
GRAPHS = {
    "chain": CHAIN,
    "shuffled chain": [(SHUFFLED[a], SHUFFLED[b]) for a, b in CHAIN],
    "forest": [(i, DRAW.randrange(i)) for i in range(1, 360) if i % 9],
    "pairs": [(i, i + 1) for i in range(0, 360, 2)],
    "star": [(0, i) for i in range(1, 12)],
    "none": [],
}


@pytest.mark.parametrize("name", list(GRAPHS))
@pytest.mark.parametrize("memory_bytes", [2**29, 2**12])
def test_rounds_settle_on_the_components(tmp_path: Path, name: str, memory_bytes: int) -> None:
    import pyarrow.parquet as pq
    from ultrakernels import components as union

    from ultraclean.exchange import Piece, Sketches

    edges = GRAPHS[name]
    table = graph(360, edges)
    at = np.concatenate([(shard << 32) + np.arange(60) for shard in range(6)])
    table = table.append_column("_at", pa.array(at))
    pieces = []
    for shard in range(6):
        path = str(tmp_path / f"{shard}.parquet")
        pq.write_table(table.slice(shard * 60, 60), path)
        pieces.append(Piece(((path, 0),), 60))
    sketches = Sketches(pieces, [60] * 6, str(tmp_path / "steps"), map, memory_bytes)
    n_bands = table.schema.field("bands").type.byte_width // 8
    labels, work = clusters.components(sketches, n_bands)
    found = labels.beside(table)
    left, right = (at[[edge[side] for edge in edges]] for side in (0, 1))
    nodes, roots = union.reference(left, right)
    if found is None:
        assert len(nodes) == 0
        return
    found = found.sort_by("_at")
    assert found["_at"].to_pylist() == nodes.tolist()
    assert found["root"].to_pylist() == roots.tolist()
    assert work["rounds"] <= 2 * np.log2(360)
    if memory_bytes == 2**29:
        assert (work["partitions"], work["rounds"]) == (1, 1)
    elif name != "star":
        assert work["partitions"] >= 4


def test_a_hot_key_costs_one_row_per_task() -> None:
    batch = Batch.of(text=pa.array(["the same five words and more"] * 5000))
    rows = pa.Table.from_batches([Minhash().sketch()(batch)])
    met = clusters.meet(None, rows.append_column("_at", pa.array(np.arange(5000))))
    offered = met.filter(pa.array(met["to"].to_numpy() < 0))
    assert offered.num_rows == 14
    assert met.num_rows == 14 + 4999


def test_all_documents_identical(run_barrier: RunBarrier) -> None:
    table = pa.table({"text": ["one and the same text for all"] * 3000})
    result = run_barrier(Minhash(max_cluster=100), table, n_shards=6, memory_bytes=2**18)
    best = result.keys.index(min(result.keys))
    assert [row for row, keep in enumerate(result.keep) if keep] == [best]
    assert set(result.copy_of) == {best, None}
    assert result.card["sizes"] == {"3000": 1}
    assert result.card["alarms"] == [
        "dedup.minhash: 1 clusters hold more than 100 documents, the largest 3000; look at what its "
        "documents share (a boilerplate page, a template) before you trust the result"
    ]


def test_nothing_to_compare(run_barrier: RunBarrier) -> None:
    for texts in ([None, "", "a b", "a b"], ["a"]):
        result = run_barrier(
            Minhash(), pa.table({"text": pa.array(texts, pa.string())}), n_shards=1
        )
        assert result.keep == [True] * len(texts)
        assert result.card["too_short"] == len(texts)
        assert result.card["alarms"] == []
        assert cluster_sizes(result) == [1] * len(texts)


# --- sketches --------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalise", ["ascii", "simplify"])
def test_a_batch_split_anywhere_gives_the_same_sketches(normalise: str) -> None:
    texts = [
        *corpus(2, 40),
        "我们今天去北京天气很好",
        "a\r\nb 😀 c d e f",
        "ÉCOLE élève ÀÇ 12.5 x y",
    ]
    priority = pa.array([i % 3 for i in range(len(texts))])
    batch = Batch.of(text=pa.array(texts, pa.large_string()), quality=priority)
    sketch = Minhash(normalise=normalise, priority=("quality",)).sketch()
    whole = sketch(batch).to_pylist()
    for cut in (0, 1, 17, len(texts)):
        parts = [sketch(batch.slice(0, cut)), sketch(batch.slice(cut, len(texts) - cut))]
        assert [row for part in parts for row in part.to_pylist()] == whole


def test_simplify() -> None:
    column = pa.array(["ÉLÈVE, 3.14 -- x²!", None, "١٢ Ünï·code\u0000z"])
    simple = simplify(column).to_pylist()
    assert simple[1] is None
    assert [text.split() for text in simple if text] == [
        ["eleve", "0", "x²"],
        ["0", "uni", "code", "z"],
    ]


def test_simplify_finds_more(run_barrier: RunBarrier) -> None:
    texts = [
        "Le café coûte 3 euros, à Paris et à Lyon.",
        "LE CAFE COUTE 27,50 EUROS A PARIS ET A LYON",
    ]
    for normalise, n_kept in (("ascii", 2), ("simplify", 1)):
        stage = Minhash(normalise=normalise)
        assert sum(run_barrier(stage, pa.table({"text": texts}), n_shards=1).keep) == n_kept


def test_without_estimate_similarity_is_not_a_number(run_barrier: RunBarrier) -> None:
    table = pa.table({"text": ["one two three four five six"] * 3})
    result = run_barrier(Minhash(estimate=False), table)
    assert sum(result.keep) == 1
    assert all(math.isnan(value) for value in result.similarity)


def test_a_priority_of_text_is_refused() -> None:
    batch = Batch.of(text=["x"], source=["web"])
    with pytest.raises(StageError) as raised:
        Minhash(priority=("source",)).sketch()(batch)
    assert str(raised.value) == (
        "dedup.minhash: the priority column 'source': string is not a number, a boolean or a date"
    )


def test_priorities_are_needed_and_come_in_order(run_barrier: RunBarrier) -> None:
    stage = Minhash(priority=("rank", "date"))
    assert stage.needs() == ("text", "rank", "date")
    table = pa.table(
        {
            "text": ["one two three four five"] * 4,
            "rank": [1, 2, 2, None],
            "date": pa.array([9, 5, 6, 99], pa.timestamp("s")),
        }
    )
    assert run_barrier(stage, table).copy_of == [2, 2, None, 2]


def test_the_datatrove_dialect_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    def none(name: str) -> None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", none)
    assert Minhash().missing_extras() == []
    with pytest.raises(MissingExtra) as raised:
        Minhash(dialect="datatrove").sketch()
    assert str(raised.value) == (
        "dedup.minhash needs the package 'datatrove', which is not installed: "
        'pip install "ultraclean-data[datatrove]"'
    )


def test_a_gpu_is_asked_for_only_when_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from ultrakernels import minhash_triton

    assert Minhash().resources == Resources()
    assert Minhash(device="auto").resources == Resources(spare_gpus=0.125)
    assert Minhash(device="cuda", gpus=0.5).resources == Resources(gpus=0.5)
    assert fingerprint(Minhash()) == fingerprint(Minhash(device="cuda"))
    monkeypatch.setattr(minhash_triton, "why_not", lambda: "torch finds no CUDA device")
    texts = pa.array(["one two three four five six", None])
    made = [Minhash(device=device).sketch()(Batch.of(text=texts)) for device in ("cpu", "auto")]
    assert made[0].equals(made[1])
    with pytest.raises(DataError, match="was asked for, and torch finds no CUDA device"):
        Minhash(device="cuda").sketch()
    with pytest.raises(ValueError, match="not for dialect: datatrove"):
        Minhash(device="cuda", dialect="datatrove")
    # where it can run, it does
    monkeypatch.setattr(minhash_triton, "why_not", lambda: None)
    monkeypatch.setattr(minhash_triton, "signatures", lambda *given: seen.append(given) or 1 / 0)
    seen: list[object] = []
    with pytest.raises(ZeroDivisionError):
        Minhash(device="auto").sketch()(Batch.of(text=texts))
    assert len(seen) == 1


def test_without_triton_check_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert Minhash(device="auto").missing_extras() == []
    said = " ".join(map(str, Minhash(device="cuda").missing_extras()))
    assert "'torch'" in said and 'pip install "ultraclean-data[train,triton]"' in said
