"""`dedup.minhash` with `verify`: input that breaks others, and runs that stop inside any step."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ultraclean import Pipeline, read, write
from ultraclean.engine import run
from ultraclean.executors import InlineExecutor
from ultraclean.stage import Resources
from ultraclean.stages.dedup.minhash import Minhash

RunBarrier = Callable[..., Any]
STAGE = Minhash(verify=0.7)


def test_short_and_empty_documents_are_kept_and_counted(run_barrier: RunBarrier) -> None:
    texts = [None, "", " ", "one two three four", "one two three four", "only these five words now"]
    result = run_barrier(STAGE, pa.table({"text": pa.array(texts, pa.string())}))
    assert result.keep == [True] * len(texts)
    assert result.card["too_short"] == 5


def test_one_hot_key_costs_one_document_after_the_collapse(run_barrier: RunBarrier) -> None:
    texts = ["all of these documents are one and the same"] * 20_000
    texts += ["this is a document of its own", "and here comes quite another one"]
    result = run_barrier(STAGE, pa.table({"text": texts}), n_shards=8, memory_bytes=2**18)
    assert result.keep.count(True) == 3
    assert result.card["pairs"]["identical"] == 19_999
    cost = {step["step"]: step["rows"] for step in result.card["work"]["steps"]}
    assert cost["meet"] == 3 * 14
    assert max(n for name, n in cost.items() if name in ("candidates", "winners")) < 20_000 / 2


def test_all_documents_identical(run_barrier: RunBarrier) -> None:
    result = run_barrier(STAGE, pa.table({"text": ["one two three four five six"] * 500}))
    assert result.keep.count(True) == 1
    assert result.card["sizes"] == {"500": 1}
    assert result.card["closure_would_drop"] == 499


def test_a_document_far_larger_than_a_task(run_barrier: RunBarrier) -> None:
    draw = random.Random(1)
    words = [f"w{draw.randrange(10**6)}" for _ in range(100_000)]
    huge = " ".join(words)
    words[1000] = "edited"
    texts = ["a small document with some words in it", huge, " ".join(words)]
    result = run_barrier(STAGE, pa.table({"text": texts}), memory_bytes=2**20)
    assert result.keep.count(False) == 1
    assert result.keep[0]
    assert 0.99 < max(s for s in result.similarity if s == s) < 1  # noqa: PLR0124 - NaN is not itself


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["words", "one word again and again", "one word"])
def test_documents_of_200_mb(run_barrier: RunBarrier, kind: str) -> None:
    """Two of them and a small one: time and memory grow with the text, and the verdicts are right."""
    n_bytes = 200_000_000
    if kind == "words":
        words = np.random.default_rng(1).integers(10**6, 10**7, n_bytes // 8).astype("U7").tolist()
        one = " ".join(words)
        words[1000] = "edited"
        other = " ".join(words)
    elif kind == "one word":  # fewer words than a shingle has
        one, other = "x" * n_bytes, "y" * n_bytes
    else:
        one, other = "again " * (n_bytes // 6), "again " * (n_bytes // 6 - 1)
    texts = pa.array(["a small document with some words in it", one, other], pa.large_string())
    result = run_barrier(STAGE, pa.table({"text": texts}))
    assert result.keep[0]
    assert result.card["too_short"] == 2 * (kind == "one word")
    assert result.keep.count(False) == (kind != "one word")
    if kind == "words":
        assert 0.999999 < max(s for s in result.similarity if s == s) < 1  # noqa: PLR0124 - NaN is not itself


def test_ids_need_not_differ(tmp_path: Path) -> None:
    texts = ["the first text has these many words"] * 2 + ["another text with its own words here"]
    pq.write_table(pa.table({"id": ["same"] * 3, "text": texts}), tmp_path / "in.parquet")
    stages = [read.Parquet(path=str(tmp_path / "in.parquet")), STAGE, write.Parquet()]
    finished = Pipeline(name="ids", stages=stages).run(str(tmp_path / "out"))
    assert finished.scan("ids").collect().height == 2


class Dying(InlineExecutor):
    """Stops the run after so many units and tasks, as a driver that is killed does.

    Finished tasks of a step count, too: they are asked for again, and answer from their records.
    """

    def __init__(self, most: int) -> None:
        self.most = most

    def map(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        resources: Resources = Resources(),  # noqa: B008 - a frozen value
    ) -> Iterator[tuple[int, Any]]:
        for index, item in enumerate(items):
            if self.most == 0:
                raise KeyboardInterrupt
            self.most -= 1
            yield index, function(item)


def test_a_run_that_stops_after_every_few_tasks(tmp_path: Path) -> None:
    """Chains in tiny tasks, so that all steps and rounds are there; each stop is in another of them."""
    draw = random.Random(5)
    texts = []
    for _ in range(2):
        words = [f"w{draw.randrange(10**6)}" for _ in range(100)]
        for _ in range(8):
            texts.append(" ".join(words))
            words[draw.randrange(100)] = f"w{draw.randrange(10**6)}"
    pq.write_table(pa.table({"text": texts}), tmp_path / "in.parquet")
    stage = Minhash(verify=0.8, index="full", memory_bytes=2**16)
    stages = [read.Parquet(path=str(tmp_path / "in.parquet")), stage, write.Parquet()]
    pipeline = Pipeline(name="stops", stages=stages)
    whole = pipeline.run(str(tmp_path / "whole"))
    n_stops = 0
    while True:
        try:
            stopped = run(pipeline, str(tmp_path / "stopped"), executor=Dying(9 + 13 * n_stops))
            break
        except KeyboardInterrupt:
            n_stops += 1
    assert n_stops >= 3
    assert stopped.scan("stops").collect().equals(whole.scan("stops").collect())
    assert stopped.dropped("stops").collect().equals(whole.dropped("stops").collect())
    parts = [
        sorted((tmp_path / name / "index").rglob("*-*.parquet")) for name in ("whole", "stopped")
    ]
    assert [part.read_bytes() for part in parts[0]] == [part.read_bytes() for part in parts[1]]
    assert parts[0]
