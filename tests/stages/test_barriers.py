"""What holds for every barrier: no documents, one shard without documents, pickles."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ultraclean.exchange import Sketches
from ultraclean.stage import Barrier
from ultraclean.stages.dedup.exact import Exact
from ultraclean.stages.dedup.minhash import Minhash
from ultraclean.stages.sample.mix import Mix
from ultraclean.stages.sample.quantile import Quantile
from ultraclean.stages.sample.reservoir import Reservoir
from ultraclean.stages.sample.stratified import Stratified

STAGES: list[Barrier] = [
    Exact(),
    Minhash(),
    Minhash(verify=0.8),
    Quantile(column="q", share=0.5),
    Quantile(column="q", count=2, per="text"),
    Mix(weights={"one two three four five": 1}, source="text", total=2),
    Reservoir(count=2, weight="q"),
    Stratified(by="text", count=2),
]
COLUMNS = {"text": pa.string(), "q": pa.float64()}


@pytest.fixture(params=STAGES, ids=lambda stage: f"{stage.stage}-{STAGES.index(stage)}")
def stage(request: pytest.FixtureRequest) -> Barrier:
    found: Barrier = request.param
    return found


def test_no_sketches(stage: Barrier, tmp_path: Path) -> None:
    sketches = Sketches([], [], str(tmp_path), map)
    card = stage.resolve(sketches)
    assert card["documents"] == card["dropped"] == 0
    assert sketches.verdicts_of(0) is None
    json.dumps(card)


def test_no_rows(stage: Barrier, run_barrier: Callable[..., Any]) -> None:
    table = pa.table({name: pa.array([], kind) for name, kind in COLUMNS.items()})
    result = run_barrier(stage, table)
    assert result.keep == []
    assert result.card["documents"] == 0


def test_shards_without_rows_and_without_verdicts(
    stage: Barrier, run_barrier: Callable[..., Any]
) -> None:
    table = pa.table({"text": ["one two three four five"] * 3, "q": [1.0, 2.0, 3.0]})
    result = run_barrier(stage, table, n_shards=9)
    assert len(result.keep) == 3
    assert result.keep.count(False) == result.card["dropped"] > 0


def test_a_batch_without_rows_has_a_sketch_of_the_same_schema(stage: Barrier) -> None:
    from ultraclean.document import Batch, keys_of

    keys = keys_of("t", "rows", np.arange(2))
    batch = Batch.of(text=["one two three four five", None], q=[1.0, None], _key=keys)
    sketch = stage.sketch()
    assert sketch(batch.slice(0, 0)).schema == sketch(batch).schema
    assert sketch(batch.slice(0, 0)).num_rows == 0


def test_a_stage_survives_a_pickle(stage: Barrier) -> None:
    assert pickle.loads(pickle.dumps(stage)) == stage
