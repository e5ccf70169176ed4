"""Killed drivers, workers and nodes: the same result, and no finished work done again."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PIPELINE = """
name: faults
seed: 5
shard_bytes: 30000
tables:
  raw:
    - read.jsonl: {{path: "{folder}/*.jsonl", columns: {{score: float64}}}}
    - fix.lines
    - filter.length: {{min_chars: 60}}
    - dedup.minhash
  good:
    - read.table: raw
    - filter.where: score >= 0.3
    - write.parquet
"""


def command(pipeline: Path, out: Path, address: str) -> list[str]:
    run = [sys.executable, "-m", "ultraclean", "run", str(pipeline), "--out", str(out)]
    return [*run, "--address", address]


def shown(out: Path) -> dict[str, str]:
    """Digests of everything that a run shows."""
    files = [
        file for what in ("tables", "dropped", "numbers") for file in (out / what).rglob("*.*")
    ]
    assert files
    return {
        str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    }


def records(out: Path) -> dict[str, dict[str, Any]]:
    """Every unit that has a record."""
    found = {}
    for file in (out / "ledger").rglob("*.json*"):
        if file.name == "records.jsonl":
            for line in file.read_text().splitlines():
                record = json.loads(line)
                found[f"{file.parent.name}/{record['unit']}"] = record
        elif file.name[0].isdigit():
            record = json.loads(file.read_text())
            found[f"{file.parent.name}/{record['unit']}"] = record
    return found


@pytest.fixture
def pipeline(make_corpus: Callable[..., Path], tmp_path: Path) -> Path:
    folder = make_corpus(tmp_path / "in", n_files=6, n_docs=300)
    path = tmp_path / "faults.yaml"
    path.write_text(PIPELINE.format(folder=folder))
    return path


@pytest.mark.slow
def test_kill_minus_nine_anywhere(pipeline: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(pipeline, whole, "inline"), check=True, capture_output=True)
    n_units = len(records(whole))
    rng = random.Random(3)
    stops = sorted(rng.sample(range(1, n_units - 1), 3))
    before: dict[str, dict[str, Any]] = {}
    for stop in stops:
        process = subprocess.Popen(
            command(pipeline, killed, "inline"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while len(list((killed / "ledger").rglob("0*.json"))) + len(before) < stop:
            if process.poll() is not None:
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        after = records(killed)
        # What was finished before is finished still, by the process that did it then.
        assert {unit: after[unit]["worker"] for unit in before if "worker" in before[unit]} == {
            unit: record["worker"] for unit, record in before.items() if "worker" in record
        }
        before = after
    last = subprocess.run(
        command(pipeline, killed, "inline"), check=False, capture_output=True, text=True
    )
    assert last.returncode == 0, last.stderr
    assert shown(killed) == shown(whole)
    assert not list(killed.rglob(".*.tmp")) or len(list(killed.rglob(".*.tmp"))) <= len(stops)


@pytest.mark.slow
def test_a_node_dies(pipeline: Path, tmp_path: Path) -> None:
    whole, wounded = tmp_path / "whole", tmp_path / "wounded"
    subprocess.run(command(pipeline, whole, "inline"), check=True, capture_output=True)
    script = Path(__file__).with_name("two_nodes.py")
    done = subprocess.run(
        [sys.executable, str(script), str(pipeline), str(wounded)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "RAY_DEDUP_LOGS": "0"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "killed a node" in done.stdout
    assert shown(wounded) == shown(whole)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_input(
    make_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    """Ten times the input in one shard costs at most 1.1 times the peak."""
    base = make_corpus(tmp_path / "base", n_files=1, n_docs=4000, broken=False)
    lines = (base / "part-0.jsonl").read_text().splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    peaks = []
    for times in (40, 400):  # 45 and 450 MB: the smaller one already fills every buffer
        folder = tmp_path / f"in{times}"
        folder.mkdir()
        with (folder / "all.jsonl").open("w") as file:
            for number in range(times):
                for start in range(0, len(texts), 20):
                    text = f"{number} " + "\n".join(texts[start : start + 20])
                    file.write(json.dumps({"id": f"{number}-{start}", "text": text}) + "\n")
        path = tmp_path / f"{times}.yaml"
        path.write_text(
            # a limit keeps the whole input in one shard
            f'stages:\n  - read.jsonl: {{path: "{folder}/*.jsonl", limit: 1e9}}\n'
            "  - fix.lines\n  - filter.length: {min_chars: 60}\n"
            "  - write.parquet: {row_group_bytes: 4e6}\n"
        )
        out = tmp_path / f"out{times}"
        subprocess.run(command(path, out, "inline"), check=True, capture_output=True)
        peaks.append(max(record["peak_bytes"] for record in records(out).values()))
    assert peaks[1] <= 1.1 * peaks[0], peaks
