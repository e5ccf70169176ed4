"""Workers of Ray with `engine: vllm`: one server for all of them and all tables, started again when killed."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from ultraclean import pipeline_file
from ultraclean.engine import run
from ultraclean.executors import Executor

FAKE = Path(__file__).parent / "fake_server.py"
PIPELINE = """
name: on_ray
shard_bytes: 500
tables:
  documents: [{{read.jsonl: {{path: "{folder}/in/*.jsonl"}}}}]
  first:
    - read.table: documents
    - chat.instruction:
        teacher: &teacher
          engine: vllm
          model: tiny
          python: "{python}"
          gpus: 0
          linger_s: 600
          max_concurrency: 2
          env: {{MARKS: "{folder}/marks", DELAY: "0.2"}}
  second:
    - read.table: documents
    - chat.instruction: {{teacher: *teacher, seed: 1}}
"""


@pytest.mark.slow
def test_one_server_for_all_workers_and_tables(ray_executor: Executor, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    for folder in (marks, tmp_path / "in"):
        folder.mkdir()
    for number in range(6):
        texts = [f"Text number {number} {k}: the river rises in spring." for k in range(4)]
        lines = "\n".join(json.dumps({"text": text}) for text in texts)
        (tmp_path / "in" / f"{number}.jsonl").write_text(lines)
    python = tmp_path / "python"  # what stands for the Python that has vLLM
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE}" "$@"\n')
    python.chmod(0o755)
    pipeline = pipeline_file.parse(PIPELINE.format(folder=tmp_path, python=python), "p.yaml")

    def kill() -> None:
        while not (pids := [int(file.name) for file in marks.iterdir()]):
            time.sleep(0.05)
        time.sleep(1.5)
        os.kill(pids[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    finished = run(pipeline, str(tmp_path / "run"), executor=ray_executor)
    killer.join()
    for table in ("first", "second"):
        said = finished.scan(table).select("problem").collect()["problem"].to_list()
        assert len(said) == 24
        assert not {str(one).split(":")[0] for one in said} & {"server_error", "unreachable"}, said
    pids = sorted(int(file.name) for file in marks.iterdir())
    keepers = {parent for pid in pids if (parent := parent_of(pid))}
    for keeper in keepers:
        os.kill(keeper, signal.SIGKILL)
    assert len(pids) == 2, "one, and one after it was killed"
    assert len(keepers) == 1, "and it waits for the next table"


def parent_of(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except FileNotFoundError:
        return None
