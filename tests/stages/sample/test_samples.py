"""sample.random, reservoir, stratified, mix, upsample: the right numbers, the same on any executor."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ultraclean import Pipeline, read, sample
from ultraclean.document import KEY, PARENT, Batch, child_keys, keys_of
from ultraclean.errors import DataError, StageError
from ultraclean.executors import Executor, InlineExecutor
from ultraclean.stages.sample import mix as mixing
from ultraclean.stages.sample.mix import Mix
from ultraclean.stages.sample.random import Random
from ultraclean.stages.sample.reservoir import Reservoir
from ultraclean.stages.sample.stratified import Stratified
from ultraclean.stages.sample.upsample import Upsample

RunBarrier = Callable[..., Any]


def batch_of(n_docs: int, /, **columns: Any) -> Batch:
    return Batch.of(**{KEY: keys_of("t", "rows", np.arange(n_docs)), **columns})


# --- random ---------------------------------------------------------------------------------------


def test_a_share_is_about_that_share_and_grows_with_it() -> None:
    batch = batch_of(20_000)
    kept = {share: Random(share=share).open()(batch).keep for share in (0.0, 0.1, 0.5, 1.0)}
    assert not kept[0.0].any()
    assert kept[1.0].all()
    assert abs(kept[0.1].mean() - 0.1) < 0.01
    assert not (kept[0.1] & ~kept[0.5]).any()
    other = Random(share=0.1, seed=5).open()(batch).keep
    assert abs((kept[0.1] & other).mean() - 0.01) < 0.004


def test_a_chance_for_each_document() -> None:
    chances = [0.0, 1.0, 2.5, None, float("nan"), -1.0]
    decision = Random(column="p").open()(batch_of(6, p=pa.array(chances, pa.float64())))
    assert decision.keep.tolist() == [False, True, True, False, False, False]
    assert decision.reasons == ("not_sampled",)
    assert decision.threshold[0] == 0.0 <= decision.value[0] < 1
    with pytest.raises(StageError, match="the column 'p': string is not a number"):
        Random(column="p").open()(batch_of(1, p=["x"]))


@given(cut=st.integers(0, 50), share=st.floats(0, 1))
def test_splitting_changes_no_choice(cut: int, share: float) -> None:
    batch = batch_of(50)
    judge = Random(share=share, seed=1).open()
    parts = [judge(batch.slice(0, cut)).keep, judge(batch.slice(cut, 50 - cut)).keep]
    assert np.concatenate(parts).tolist() == judge(batch).keep.tolist()


def test_fields() -> None:
    for stage in (Random, lambda **fields: Stratified(by="g", **fields)):
        with pytest.raises(ValidationError, match="set either share or"):
            stage()
    with pytest.raises(ValidationError, match="a weight is more than 0"):
        Mix(weights={"a": 1, "b": 0})
    with pytest.raises(ValidationError, match="at least one"):
        Upsample(column="n", steps={})


# --- reservoir and stratified ---------------------------------------------------------------------


@pytest.mark.parametrize("memory_bytes", [2**29, 2**14])
def test_an_exact_number(run_barrier: RunBarrier, memory_bytes: int) -> None:
    table = pa.table({"text": [str(number) for number in range(900)]})
    found = {}
    for shards in (1, 5):
        result = run_barrier(
            Reservoir(count=100, seed=3), table, n_shards=shards, memory_bytes=memory_bytes
        )
        assert sum(result.keep) == 100
        assert result.card["dropped"] == 800
        found[shards] = result.keep
    assert found[1] == found[5]
    every = run_barrier(Reservoir(count=5000), table)
    assert all(every.keep)


def test_weights_of_a_reservoir(run_barrier: RunBarrier) -> None:
    """Documents of three times the weight are taken about three times as often; of none, last."""
    weights = [1.0, 3.0, 0.0, None] * 2000
    table = pa.table({"w": pa.array(weights, pa.float64())})
    result = run_barrier(Reservoir(count=400, weight="w", seed=1), table)
    kept = Counter(weight for weight, keep in zip(weights, result.keep, strict=True) if keep)
    assert sum(kept.values()) == 400
    assert set(kept) == {1.0, 3.0}
    assert 2.2 < kept[3.0] / kept[1.0] < 3.9
    few = run_barrier(Reservoir(count=4100, weight="w"), table)
    kept = Counter(weight for weight, keep in zip(weights, few.keep, strict=True) if keep)
    assert kept[1.0] == kept[3.0] == 2000


def test_strata(run_barrier: RunBarrier) -> None:
    groups = ["en"] * 500 + ["zh"] * 90 + [None] * 30 + ["😀"] * 3
    random.Random(1).shuffle(groups)
    table = pa.table({"g": groups})
    by_count = run_barrier(Stratified(by="g", count=50), table)
    by_share = run_barrier(Stratified(by="g", share=0.1), table)
    kept = [
        Counter(group for group, keep in zip(groups, result.keep, strict=True) if keep)
        for result in (by_count, by_share)
    ]
    assert kept[0] == {"en": 50, "zh": 50, None: 30, "😀": 3}
    assert kept[1] == {"en": 50, "zh": 9, None: 3, "😀": 1}


# --- mix --------------------------------------------------------------------------------------------


def mixed(
    run: RunBarrier, sources: list[Any], sizes: list[int], stage: Mix, **options: Any
) -> tuple[dict[str, int], Any]:
    table = pa.table({"_source": pa.array(sources, pa.string()), "n_tokens": sizes})
    result = run(stage, table, **options)
    kept: Counter[str] = Counter()
    for source, size, keep in zip(sources, sizes, result.keep, strict=True):
        kept[source] += size if keep else 0
    return kept, result


@pytest.mark.parametrize("n_shards", [1, 7])
def test_weights_and_a_budget_of_tokens(run_barrier: RunBarrier, n_shards: int) -> None:
    chance = random.Random(2)
    sources = chance.choices(["web", "books", "code"], weights=[8, 2, 2], k=3000)
    sizes = [chance.randint(0, 200) for _ in sources]
    weights = {"web": 0.5, "books": 0.3, "code": 0.2}
    stage = Mix(weights=weights, size="n_tokens", total=60_000, seed=4)
    kept, result = mixed(run_barrier, sources, sizes, stage, n_shards=n_shards)
    for name, weight in weights.items():
        told = result.card["sources"][name]
        assert 60_000 * weight - 200 <= kept[name] <= 60_000 * weight
        assert told["kept_size"] == kept[name]
    n_kept = sum(result.keep)
    assert n_kept == sum(one["kept_documents"] for one in result.card["sources"].values())
    assert result.card["dropped"] == 3000 - n_kept
    json.dumps(result.card)
    _, smaller = mixed(
        run_barrier, sources, sizes, stage.model_copy(update={"total": 30_000}), n_shards=n_shards
    )
    assert all(keep for keep, also in zip(result.keep, smaller.keep, strict=True) if also)


def test_the_cut_is_exact_with_few_bits(
    run_barrier: RunBarrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Documents in order of their random number, against sorting them."""
    chance = random.Random(9)
    sizes = [chance.randint(1, 9) for _ in range(500)]
    stage = Mix(weights={"a": 1}, size="n_tokens", total=777, seed=2)
    _, result = mixed(run_barrier, ["a"] * 500, sizes, stage)
    keys = pa.array(result.keys, pa.binary(16))
    order = np.argsort(mixing.random64(keys, 2))
    through = np.cumsum(np.array(sizes)[order])
    expected = np.zeros(500, dtype=bool)
    expected[order[: np.searchsorted(through, 777, side="right")]] = True
    assert result.keep == expected.tolist()


def test_a_source_that_is_short(run_barrier: RunBarrier) -> None:
    sources, weights = ["a"] * 1000 + ["b"] * 10 + ["c"] * 5, {"a": 3, "b": 1}
    sizes = [1] * len(sources)
    kept, result = mixed(run_barrier, sources, sizes, Mix(weights=weights))
    assert kept == {"a": 30, "b": 10, "c": 0}
    assert {decision.reasons[code] for decision in result.decisions for code in decision.code if code >= 0} == {"over_budget", "no_weight"}  # fmt: skip
    kept, _ = mixed(run_barrier, sources, sizes, Mix(weights=weights, total=400))
    assert kept == {"a": 30, "b": 10, "c": 0}
    kept, _ = mixed(run_barrier, sources, sizes, Mix(weights=weights, total=400, short="keep"))
    assert kept == {"a": 300, "b": 10, "c": 0}
    with pytest.raises(DataError, match="b has a size of 10, and its part of 400 is 100"):
        mixed(run_barrier, sources, sizes, Mix(weights=weights, total=400, short="stop"))
    with pytest.raises(DataError, match="no document has _source = 'd'"):
        mixed(run_barrier, sources, sizes, Mix(weights={"a": 1, "d": 1}))


# --- upsample -----------------------------------------------------------------------------------------


def test_copies_have_keys_of_their_own() -> None:
    batch = batch_of(6, n=pa.array([1.0, 3.0, None, 0.2, -4.0, 1000.0]), text=list("abcdef"))
    made = Upsample(column="n", max_copies=5).open()(batch).data.to_pydict()
    assert "".join(made["text"]) == "abbbcdefffff"
    assert len(set(made[KEY])) == 12
    parents = [parent for parent in made[PARENT] if parent is not None]
    assert parents == [batch[KEY][1].as_py()] * 2 + [batch[KEY][5].as_py()] * 4
    expected = child_keys(batch[KEY].slice(1, 1), np.array([2])).to_pylist()
    assert made[KEY][3:4] == expected


def test_steps_and_parts_of_a_copy() -> None:
    stage = Upsample(column="n", steps={2: 2, 5: 3, 1000: 1})
    batch = batch_of(8, n=[1, 2, 4, 5, 999, 1000, 5000, 0])
    counts = Counter(stage.open()(batch)["n"].to_pylist())
    assert counts == {1: 1, 2: 2, 4: 2, 5: 3, 999: 3, 1000: 1, 5000: 1, 0: 1}
    many = Upsample(column="n").open()(batch_of(10_000, n=[2.3] * 10_000))
    assert abs(many.num_rows - 23_000) < 200


@settings(max_examples=30)
@given(cut=st.integers(0, 40), seed=st.integers(0, 5))
def test_splitting_changes_no_copy(cut: int, seed: int) -> None:
    batch = batch_of(40, n=[number / 7 for number in range(40)])
    repeat = Upsample(column="n", seed=seed).open()
    parts = [repeat(batch.slice(0, cut)), repeat(batch.slice(cut, 40 - cut))]
    rows = [row for part in parts for row in part.data.to_pylist()]
    assert rows == repeat(batch).data.to_pylist()


# --- all of them in a pipeline ------------------------------------------------------------------------


def test_the_same_rows_on_any_executor(tmp_path: Path, executor: Executor) -> None:
    for name, n in (("a", 300), ("b", 100)):
        lines = [json.dumps({"text": f"{name} {i}", "w": i % 4}) + "\n" for i in range(n)]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    columns = {"w": "int64"}
    pipeline = Pipeline(
        name="samples",
        seed=8,
        tables={
            "a": [read.Jsonl(path=str(tmp_path / "a.jsonl"), columns=columns)],
            "b": [read.Jsonl(path=str(tmp_path / "b.jsonl"), columns=columns)],
            "mix": [
                read.Table(tables=("a", "b")),
                sample.Random(share=0.9),
                sample.Mix(weights={"a": 2, "b": 1}, total=150),
                sample.Upsample(column="w"),
                sample.Reservoir(count=60),
                sample.Stratified(by="w", share=0.5),
            ],
        },
    )
    found = []
    for number, one in enumerate((executor, InlineExecutor())):
        done = pipeline.run(str(tmp_path / f"run-{number}"), executor=one)
        found.append([r for batch in done.table("mix").batches() for r in batch.data.to_pylist()])
    assert found[0] == found[1]
    assert 30 <= len(found[0]) <= 32
    assert any(row["_parent"] for row in found[0])
