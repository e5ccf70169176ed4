"""`dedup.minhash` with `verify`, against the loop over all documents in one process."""

from __future__ import annotations

import gzip
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from ultrakernels import minhash as kernel
from ultrakernels.shingles import shingle_sets

from ultraclean.stages.dedup.minhash import Minhash

RunBarrier = Callable[..., Any]


def one_process(
    stage: Minhash, keys: list[bytes], texts: list[str], rank: list[float]
) -> tuple[list[int | None], list[float]]:
    """The specification: documents in order, each against the kept ones that share a band."""
    a, b = kernel.parameters(stage.seed, stage.bands * stage.rows)
    column = pa.array(texts)
    signature, _ = kernel.signatures(column, stage.ngram, a, b)
    blocks = signature.reshape(len(texts), stage.bands, stage.rows)
    sets = [set(found) for found in shingle_sets(column, stage.ngram).to_pylist()]
    buckets: dict[tuple[int, bytes], list[int]] = {}
    copy_of: list[int | None] = [None] * len(texts)
    similarity = [math.nan] * len(texts)
    order = sorted(range(len(texts)), key=lambda row: (-rank[row], keys[row]))
    place = {row: i for i, row in enumerate(order)}
    for row in order:
        if not sets[row]:
            continue
        mine = [(band, block.tobytes()) for band, block in enumerate(blocks[row])]
        earlier = {other for key in mine for other in buckets.get(key, [])}
        for other in sorted(earlier, key=place.__getitem__):
            jaccard = len(sets[row] & sets[other]) / len(sets[row] | sets[other])
            if jaccard >= (stage.verify or 0):
                copy_of[row], similarity[row] = other, jaccard
                break
        else:
            for key in mine:
                buckets.setdefault(key, []).append(row)
    return copy_of, similarity


def chains(seed: int) -> list[str]:
    """Documents that drift: each is an edit of the one before, so closure swallows the chain."""
    draw = random.Random(seed)
    texts = ["", "short one", "short one"]
    for _ in range(12):
        words = [f"w{draw.randrange(10**6)}" for _ in range(120)]
        for _ in range(draw.randrange(1, 25)):
            texts.append(" ".join(words))
            for _ in range(draw.choice([0, 1, 2, 4])):
                words[draw.randrange(len(words))] = f"w{draw.randrange(10**6)}"
    draw.shuffle(texts)
    return texts


@pytest.mark.parametrize("threshold", [0.5, 0.8, 1.0])
def test_whole_barrier_is_one_process_for_any_cut(
    run_barrier: RunBarrier, threshold: float
) -> None:
    texts = chains(int(threshold * 10))
    draw = random.Random(1)
    rank = [float(draw.randrange(3)) for _ in texts]
    table = pa.table({"text": texts, "rank": rank})
    stage = Minhash(verify=threshold, priority=("rank",))
    cards = []
    for n_shards, memory_bytes, backwards in ((1, 2**29, False), (4, 2**15, True)):
        result = run_barrier(
            stage, table, n_shards=n_shards, memory_bytes=memory_bytes, backwards=backwards
        )
        copy_of, similarity = one_process(stage, result.keys, texts, rank)
        assert result.copy_of == copy_of
        assert result.keep == [other is None for other in copy_of]
        np.testing.assert_array_equal(result.similarity, similarity)
        sizes = [int(n) for d in result.decisions for n in d.numbers["cluster_size"]]
        heads = [row if other is None else other for row, other in enumerate(copy_of)]
        assert sizes == [heads.count(head) for head in heads]
        result.card.pop("work")
        cards.append(result.card)
    assert cards[0] == cards[1]
    assert cards[0]["closure_would_drop"] > cards[0]["dropped"] == result.keep.count(False) > 10
    kept_texts = {text for text, keep in zip(texts, result.keep, strict=True) if keep}
    assert cards[0]["pairs"]["proposed"] >= len(set(texts) - kept_texts)
    json.dumps(cards[0])


def test_real_news(run_barrier: RunBarrier, shared_data: Path) -> None:
    with gzip.open(shared_data / "text" / "reuters.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    stage = Minhash(verify=0.7)
    result = run_barrier(stage, pa.table({"text": texts}), memory_bytes=2**24)
    copy_of, similarity = one_process(stage, result.keys, texts, [0.0] * len(texts))
    assert result.copy_of == copy_of
    np.testing.assert_array_equal(result.similarity, similarity)
    assert result.card["dropped"] > 10


def test_identical_documents_collapse(run_barrier: RunBarrier) -> None:
    texts = ["one and the same text for all"] * 2000 + ["ONE and the same text, for all!"] * 5
    result = run_barrier(Minhash(verify=0.9), pa.table({"text": texts}))
    assert result.keep.count(True) == 1
    assert set(result.copy_of) == {None, result.keep.index(True)}
    assert result.card["pairs"]["proposed"] == 0
    assert result.card["closure_would_drop"] == result.card["dropped"] == 2004


def test_nothing_to_verify(run_barrier: RunBarrier) -> None:
    result = run_barrier(Minhash(verify=0.7), pa.table({"text": ["a", "", "b c d e f g"]}))
    assert result.keep == [True] * 3
    assert (result.card["pairs"]["proposed"], result.card["closure_would_drop"]) == (0, 0)
