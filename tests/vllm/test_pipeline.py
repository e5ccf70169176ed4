"""The shipped pipeline with the real vLLM and its small real teacher: every track, one document each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TRACKS = {"instruction", "knowledge", "math", "code", "long_context", "tools", "interpreter", "survey"}  # fmt: skip


def test_every_track_by_the_real_teacher_and_a_rerun_that_asks_nothing(
    home: Path, shared_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "ultraclean", "run", "ultrachat_v2", "--out", str(out)]
    command += ["--address", "inline", "--only", "yields"]
    command += ["--set", "documents.sample.reservoir.count=1"]
    env = {
        **os.environ,
        "DATA": str(shared_data),
        "TEACHER": str(home / "smollm2"),
        "VLLM_PYTHON": str(home / "venv" / "bin" / "python"),
    }
    kept = []
    for _ in range(2):
        done = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        lines = [file.read_bytes().count(b"\n") for file in (out / "responses").glob("*.jsonl")]
        kept.append(sum(lines))
    assert kept[0] == kept[1] >= len(TRACKS)
    card = json.loads(next((out / "models").glob("yields/**/card.json")).read_text())
    assert set(card["tracks"]) == TRACKS
    assert all(row["attempts"] for row in card["tracks"].values())
