"""`dedup.exact` from sketch to decision."""

from __future__ import annotations

import gzip
import json
import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ultraclean.document import Batch
from ultraclean.stages.dedup.exact import Exact
from ultraclean.text.normalise import NORMALISATIONS

RunBarrier = Callable[..., Any]


def brute_force(keys: list[bytes], texts: list[str | None], rank: list[float]) -> list[int | None]:
    members = defaultdict(list)
    for row, text in enumerate(texts):
        if text:
            members[text].append(row)
    copy_of: list[int | None] = [None] * len(texts)
    for rows in members.values():
        best = min(rows, key=lambda row: (-rank[row], keys[row]))
        for row in rows:
            copy_of[row] = None if row == best else best
    return copy_of


@pytest.mark.parametrize("seed", range(3))
def test_whole_barrier_is_the_brute_force_for_any_cut(run_barrier: RunBarrier, seed: int) -> None:
    draw = random.Random(seed)
    choices = ["", None, "a", "A", "a ", "我们", "😀", "x\r\ny", *map(str, range(40))]
    texts = [draw.choice(choices) for _ in range(200)]
    rank = [float(draw.randrange(3)) for _ in texts]
    table = pa.table({"text": pa.array(texts, pa.string()), "rank": rank})
    cards = []
    for n_shards, batch_rows, memory_bytes, backwards in (
        (1, 1000, 2**29, False),
        (3, 7, 2**13, True),
        (7, 50, 2**12, False),
    ):
        result = run_barrier(
            Exact(priority=("rank",)),
            table,
            n_shards=n_shards,
            batch_rows=batch_rows,
            memory_bytes=memory_bytes,
            backwards=backwards,
        )
        assert result.copy_of == brute_force(result.keys, texts, rank)
        assert result.keep == [other is None for other in result.copy_of]
        cards.append(result.card)
    assert cards[0] == cards[1] == cards[2]
    assert cards[0]["empty"] == sum(not text for text in texts) > 0
    assert cards[0]["dropped"] == sum(not keep for keep in result.keep)
    assert result.decisions[0].reasons == ("exact_duplicate",)
    json.dumps(cards[0])


def test_reviews_with_natural_copies(run_barrier: RunBarrier, shared_data: Path) -> None:
    with gzip.open(shared_data / "text" / "imdb.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts: list[str | None] = [json.loads(line)["text"] for line in lines]
    result = run_barrier(Exact(), pa.table({"text": texts}))
    assert result.copy_of == brute_force(result.keys, texts, [0.0] * len(texts))
    assert result.card["dropped"] == len(texts) - len(set(texts)) > 0


def test_lower_space(run_barrier: RunBarrier) -> None:
    texts = [
        " Grüße\u3000AN\r\nalle ",
        "grüße an alle",
        "grüße analle",
        "GRÜSSE AN ALLE",
        " ",
        "\n",
    ]
    result = run_barrier(Exact(normalise="lower_space"), pa.table({"text": texts}), n_shards=1)
    assert sorted(other for other in result.copy_of if other is not None) in ([0], [1])
    assert result.card["empty"] == 2
    assert sum(run_barrier(Exact(), pa.table({"text": texts})).keep) == len(texts)


def test_letters_pass_over_marks_and_widths(run_barrier: RunBarrier) -> None:
    texts = ["Hello, world! 我们", "ＨＥＬＬＯ world我们。", "hello word 我们", "!?", "—"]
    result = run_barrier(Exact(normalise="letters"), pa.table({"text": texts}), n_shards=2)
    assert sum(result.keep) == 4
    assert {result.copy_of[0], result.copy_of[1]} in ({None, 0}, {None, 1})
    assert result.card["empty"] == 2


def test_another_column_and_sliced_large_strings() -> None:
    urls = pa.array(["skip", "a", None, "a", "b"], pa.large_string())
    stage = Exact(column="url")
    assert stage.needs() == ("url",)
    hashes = stage.sketch()(Batch.of(url=urls.slice(1)))["hash"].to_pylist()
    assert hashes[0] == hashes[2] != hashes[3]
    assert hashes[1] is None
    assert (
        hashes == stage.sketch()(Batch.of(url=pa.array(["a", None, "a", "b"])))["hash"].to_pylist()
    )
    numbers = stage.sketch()(Batch.of(url=pa.array([1, 2, 1])))["hash"].to_pylist()
    assert numbers[0] == numbers[2] != numbers[1]


def test_a_batch_split_anywhere_gives_the_same_sketches() -> None:
    batch = Batch.of(text=pa.array(["a", None, "", "我", "a b", "😀"]))
    for normalise in NORMALISATIONS:
        sketch = Exact(normalise=normalise).sketch()
        whole = sketch(batch).to_pylist()
        for cut in range(7):
            parts = [sketch(batch.slice(0, cut)), sketch(batch.slice(cut, 6 - cut))]
            assert [row for part in parts for row in part.to_pylist()] == whole


def test_all_empty(run_barrier: RunBarrier) -> None:
    result = run_barrier(Exact(), pa.table({"text": pa.array([None, "", ""], pa.string())}))
    assert result.keep == [True] * 3
    assert result.card == {
        "documents": 3, "clusters": 0, "dropped": 0, "largest": 0, "sizes": {}, "empty": 3, "alarms": [],
    }  # fmt: skip


def test_a_large_cluster_raises_an_alarm(run_barrier: RunBarrier) -> None:
    result = run_barrier(Exact(max_cluster=2), pa.table({"text": ["x"] * 5 + ["y"] * 2}))
    assert [alarm.split(",")[0] for alarm in result.card["alarms"]] == [
        "dedup.exact: 1 clusters hold more than 2 documents"
    ]
