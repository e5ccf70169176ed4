"""A task holds about `memory_bytes`, also where every document is a copy: measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, sys
import numpy as np
from ultraclean.document import AT, KEY, Batch, keys_of
from ultraclean.exchange import Piece, Sketches
from ultraclean.executors import InlineExecutor
from ultraclean.executors.base import in_order
from ultraclean.rowgroups import Output
from ultraclean.stages.dedup.minhash import Minhash

folder, n_docs, n_shards = sys.argv[1], 100_000, 4
stage = Minhash(max_cluster=None, bands=4, rows=32)
sketch, pieces = stage.sketch(), []
for shard in range(n_shards):
    output = None
    for start in range(0, n_docs, 20_000):
        rows = sketch(Batch.of(text=["the same seven words in all documents"] * 20_000))
        at = (shard << 32) + np.arange(start, start + 20_000)
        import pyarrow as pa
        rows = rows.append_column(AT, pa.array(at)).append_column(KEY, keys_of("t", str(shard), at))
        output = output or Output(f"{folder}/{shard}.parquet", rows.schema)
        output.add(rows)
    output.close()
    groups = tuple((f"{folder}/{shard}.parquet", g) for g in range(output.entry()["n_groups"]))
    pieces.append(Piece(groups, n_docs))
made = Sketches(pieces, [n_docs] * n_shards, folder + "/steps", in_order(InlineExecutor()), int(sys.argv[2]))
card = stage.resolve(made)
print(json.dumps({"dropped": card["dropped"], "steps": made.steps}))
"""
MEMORY = 64 * 2**20


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the kernel does not tell the peak of a task"
)
def test_every_step_keeps_to_its_bound_where_all_are_copies(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path), str(MEMORY)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["dropped"] == 399_999
    peaks = {step["step"]: step["peak_bytes"] for step in told["steps"]}
    idle = min(peaks.values())
    over = {
        name: (peak - idle) / MEMORY for name, peak in peaks.items() if peak - idle > 1.5 * MEMORY
    }
    assert not over, over
