"""`sample.quantile` from sketch to decision, against sorting everything."""

from __future__ import annotations

import itertools
import math
import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from ultraclean.document import Batch
from ultraclean.errors import StageError
from ultraclean.stages.sample.quantile import Quantile
from ultraclean.stages.sample.selection import digit_of

RunBarrier = Callable[..., Any]


def brute_force(
    stage: Quantile, keys: list[bytes], values: list[float | None], groups: list[Any]
) -> tuple[list[bool], list[float]]:
    """(kept, threshold of the group) for each row."""

    def place(row: int) -> tuple[bool, float, bytes]:
        value = values[row]
        missing = value is None or math.isnan(value)
        return missing, 0.0 if missing else -value, keys[row]  # type: ignore[operator]

    members = defaultdict(list)
    for row, group in enumerate(groups):
        members[group if stage.per else 0].append(row)
    keep, threshold = [False] * len(values), [math.nan] * len(values)
    for rows in members.values():
        rows.sort(key=place)
        n_kept = stage.n_kept(len(rows))
        last = values[rows[n_kept - 1]]
        for rank, row in enumerate(rows):
            keep[row] = rank < n_kept
            threshold[row] = math.nan if last is None else last
    return keep, threshold


STAGES = (
    Quantile(column="q", share=0.1),
    Quantile(column="q", count=5, per="g"),
    Quantile(column="q", share=0.35, per="g"),
    Quantile(column="q", share=1),
    Quantile(column="q", count=10_000),
)
VALUES = {
    "random": lambda draw: draw.random(),
    "ties": lambda draw: draw.choice([0.5, 0.25, -0.0, 0.0, None, math.nan, -1.0, -math.inf]),
    "equal": lambda draw: 0.5,
    "null": lambda draw: None,
}


@pytest.mark.parametrize("kind", list(VALUES))
@pytest.mark.parametrize("n_docs", [1, 400])
def test_whole_barrier_is_the_brute_force(run_barrier: RunBarrier, kind: str, n_docs: int) -> None:
    draw = random.Random(kind)
    values = [VALUES[kind](draw) for _ in range(n_docs)]
    groups = [draw.choice(["a"] * 8 + ["b", "", None, "我"]) for _ in values]
    table = pa.table({"q": pa.array(values, pa.float64()), "g": pa.array(groups, pa.string())})
    for stage, (n_shards, batch_rows, memory_bytes) in itertools.product(
        STAGES, ((1, 1000, 2**29), (3, 17, 2**15), (2, 17, 2**14))
    ):
        result = run_barrier(
            stage, table, n_shards=n_shards, batch_rows=batch_rows, memory_bytes=memory_bytes
        )
        keep, threshold = brute_force(stage, result.keys, values, groups)
        assert result.keep == keep
        cut = np.concatenate([decision.threshold for decision in result.decisions])
        value = np.concatenate([decision.value for decision in result.decisions])
        for row in np.flatnonzero(~np.array(keep)):
            np.testing.assert_equal(cut[row], threshold[row])
            np.testing.assert_equal(value[row], math.nan if values[row] is None else values[row])
        assert np.isnan(cut[np.array(keep)]).all()
        assert result.card["dropped"] == keep.count(False)
        assert result.card["documents"] == n_docs
        assert result.card["missing"] == sum(v is None or math.isnan(v) for v in values)
        assert result.card["groups"] == (len(set(groups)) if stage.per else 1)
        measured = np.concatenate([decision.numbers["q"] for decision in result.decisions])
        np.testing.assert_equal(measured, [math.nan if v is None else v for v in values])


def test_radix_passes_are_few_for_scores_and_end_in_the_keys_for_ties(
    run_barrier: RunBarrier,
) -> None:
    draw = random.Random(3)
    scores = pa.table({"q": [draw.random() for _ in range(2000)]})
    ties = pa.table({"q": [1.0] * 2000})
    stage = Quantile(column="q", share=0.5)
    small = {"memory_bytes": 2**14, "n_shards": 2}
    assert run_barrier(stage, scores).card["rounds"] == 0
    assert 1 <= run_barrier(stage, scores, **small).card["rounds"] <= 3
    # Five and a third digits are the value, which all share.
    assert 5 <= run_barrier(stage, ties, **small).card["rounds"] <= 8


def test_digits_are_the_bits_in_order() -> None:
    draw = random.Random(1)
    words = [[draw.getrandbits(64) for _ in range(3)] for _ in range(20)]
    for row, (a, b, c) in enumerate(words):
        whole = a << 128 | b << 64 | c
        for number in range(16):
            wanted = whole >> (192 - 12 * (number + 1)) & 4095
            assert digit_of(np.array(words, dtype=np.uint64), number)[row] == wanted


def test_a_share_is_exact_as_written() -> None:
    assert Quantile(column="q", share=0.1).n_kept(30) == 3
    assert Quantile(column="q", share=0.7).n_kept(10) == 7
    assert Quantile(column="q", share=0.1).n_kept(1) == 1
    assert Quantile(column="q", share=1e-5).n_kept(1_000_001) == 11
    assert Quantile(column="q", count=7).n_kept(3) == 3


def test_integers_and_dates_are_compared(run_barrier: RunBarrier) -> None:
    days = pa.array([3, 1, 2], pa.int32()).cast(pa.date32())
    assert run_barrier(Quantile(column="d", count=2), pa.table({"d": days})).keep == [
        True,
        False,
        True,
    ]
    numbers = pa.table({"d": pa.array([3, None, 2], pa.int64())})
    assert run_barrier(Quantile(column="d", count=1), numbers).keep == [True, False, False]


def test_a_column_of_text_is_refused() -> None:
    with pytest.raises(StageError) as raised:
        Quantile(column="q", share=0.5).sketch()(Batch.of(q=["high"]))
    assert str(raised.value) == (
        "sample.quantile: the column 'q': string is not a number, a boolean or a date"
    )


@pytest.mark.parametrize("fields", [{}, {"share": 0.5, "count": 5}])
def test_share_or_count(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="set either share or count"):
        Quantile(column="q", **fields)


def test_a_batch_split_anywhere_gives_the_same_sketches() -> None:
    batch = Batch.of(q=pa.array([1, None, 3, 2]), g=pa.array(["x", None, "", "x"]))
    sketch = Quantile(column="q", share=0.5, per="g").sketch()
    whole = sketch(batch).to_pylist()
    for cut in range(5):
        parts = [sketch(batch.slice(0, cut)), sketch(batch.slice(cut, 4 - cut))]
        assert str([row for part in parts for row in part.to_pylist()]) == str(whole)
    assert whole[0]["group_high"] == whole[3]["group_high"] != whole[1]["group_high"]
    assert whole[1]["group_high"] != whole[2]["group_high"]
    assert Quantile(column="q", share=0.5, per="g").needs() == ("q", "g")
