"""The shipped pipeline with all tracks, its teacher a server by HTTP: killed, run again, and every table looked at."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ultrachat.sandbox import available
from ultraclean.pipeline_file import shipped_pipelines

TRACKS = ("instruction", "knowledge", "math", "code", "long_context", "tools", "interpreter", "survey")  # fmt: skip
AT_ONCE = 4


def with_teacher(text: str, url: str) -> str:
    """The shipped file with another teacher: one that is asked at `url`."""
    teacher = f'{{engine: openai, model: tiny, base_url: "{url}", max_concurrency: {AT_ONCE}}}'
    text, large = re.subn(r"(teacher: &\w+)\n(?: {10}.*\n)+", rf"\1 {teacher}\n", text)
    text, small = re.subn(r"(teacher:(?: &\w+)?) {engine: vllm.*}", rf"\1 {teacher}", text)
    assert (large, small) == (1, 2)
    return text


@pytest.mark.slow
@pytest.mark.skipif(available() is not None, reason="no sandbox here")
def test_all_tracks_to_a_trained_model_and_a_kill_that_costs_no_request(
    serve: Callable[..., Any], fake: Any, shared_data: Path, tmp_path: Path
) -> None:
    from good_teacher import GoodTeacher
    from test_artifacts import tokenizer

    server = serve(GoodTeacher())
    server.delay_s = 0.02
    pipeline = tmp_path / "ultrachat.yaml"
    text = with_teacher(shipped_pipelines()["ultrachat_v2"].read_text(), server.base_url)
    pipeline.write_text(text.replace("vocab_size: 49152", "vocab_size: 300"))
    tokenizer(tmp_path)
    out = tmp_path / "run"
    command = [sys.executable, "-m", "ultraclean", "run", str(pipeline), "--out", str(out)]
    command += ["--address", "inline", "--quiet", "--set", "documents.sample.reservoir.count=20"]
    env = {**os.environ, "DATA": str(shared_data), "TEACHER": str(tmp_path), "VLLM_PYTHON": "-"}

    run = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 240
    while len(server.bodies) < 150 and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    assert run.stderr is not None
    assert len(server.bodies) >= 150, run.stderr.read().decode()[-2000:]
    run.stderr.close()
    run.wait()
    done = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    asked = Counter(json.dumps(body, sort_keys=True) for body in server.bodies)
    # What was under way at the kill had no answer yet.
    assert sum(count - 1 for count in asked.values()) <= AT_ONCE
    n_asked = len(server.bodies)
    again = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
    assert again.returncode == 0 and len(server.bodies) == n_asked

    yields = json.loads(next((out / "models").glob("yields/**/card.json")).read_text())
    assert set(yields["tracks"]) == set(TRACKS) and not yields["alarms"], yields
    assert all(row["dialogues"] for row in yields["tracks"].values())
    released = lines(out / "tables" / "released")
    by_track = Counter(one["track"] for one in released)
    assert set(by_track) == set(TRACKS), by_track
    for one in released:
        assert one["messages"][-1]["role"] == "assistant"
        proof = json.loads(one["proof"])
        assert proof["prompts"] and proof["checks"] and proof["document"]
    for track in TRACKS:
        only = lines(out / "tables" / f"only-{track}")
        assert len(only) == by_track[track]
    card = json.loads(next((out / "models").glob("model/**/card.json")).read_text())
    assert card["tokens"] >= 2e4


def lines(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for file in sorted(folder.glob("*.jsonl"))
        for line in file.read_text().splitlines()
    ]
