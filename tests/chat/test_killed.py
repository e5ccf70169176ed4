"""`kill -9` of a run that asks a teacher, and the same command again: no answer is paid for twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

PIPELINE = """
name: killed
tables:
  tried:
    - read.jsonl: {{path: "{path}"}}
    - chat.knowledge:
        teacher: {{engine: openai, model: tiny, base_url: "{url}", max_concurrency: 4}}
        n_points: 1
        n_answers: 1
  kept: [{{read.table: tried}}, chat.passed, write.jsonl]
"""
ANSWER = "Rivers rise in spring because the snow on the mountains melts."


def test_a_killed_run_asks_nothing_again(
    serve: Callable[..., Any], fake: ModuleType, tmp_path: Path
) -> None:
    def behave(body: dict[str, Any], number: int) -> tuple[int, Any]:
        said = json.dumps(body)
        text = ANSWER
        if "points" in said and "response_format" in said and "questions" not in said:
            text = json.dumps({"points": [ANSWER]})
        elif "response_format" in said:
            text = json.dumps({"questions": ["Why do rivers rise in spring?"]})
        elif "Rewrite the question" in said:
            text = "What makes rivers rise when it gets warm?"
        return 200, fake.completion(text)

    server = serve(behave)
    server.delay_s = 0.05
    source = tmp_path / "d.jsonl"
    source.write_text("\n".join(json.dumps({"text": f"Text number {n}."}) for n in range(40)))
    pipeline = tmp_path / "p.yaml"
    pipeline.write_text(PIPELINE.format(path=source, url=server.base_url))
    out = tmp_path / "run"
    command = [sys.executable, "-m", "ultraclean", "run", str(pipeline), "--out", str(out)]
    command += ["--address", "inline", "--quiet"]

    run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(server.bodies) < 60 and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert 60 <= len(server.bodies) < 200, "it was killed half-way"

    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    asked = Counter(json.dumps(body, sort_keys=True) for body in server.bodies)
    # Those that were under way at the kill had no answer yet: at most as many as ran at once.
    assert sum(count - 1 for count in asked.values()) <= 4
    n_asked = len(server.bodies)
    assert len(asked) == 40 * (1 + 1 + 1 + 2)

    again = subprocess.run(command, check=False, capture_output=True, text=True)
    assert again.returncode == 0 and len(server.bodies) == n_asked
    lines = [
        json.loads(line)
        for file in (out / "tables" / "kept").glob("*.jsonl*")
        for line in _text(file).splitlines()
    ]
    assert lines and all(line["messages"] for line in lines)


def _text(file: Path) -> str:
    import zstandard

    raw = file.read_bytes()
    if file.suffix == ".zst":
        raw = zstandard.ZstdDecompressor().decompressobj().decompress(raw)
    return raw.decode()
