"""The benchmark's own arithmetic, and that a loop runs and its results agree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ARITHMETIC = """
from bench.measure import Way, markdown, rows
ours = Way("ours", None, n_bytes=10_000_000, n_docs=100, seconds=[1.0, 2.0, 1.0])
peer = Way("peer", None, n_bytes=1_000_000, n_docs=10, goal=3, seconds=[0.4, 0.4, 0.5])
(row,) = rows("loop", "english", ours, [peer])
assert (row.rate, row.docs_per_s, row.peer_rate) == (10.0, 100.0, 2.5), row
found = [round(one, 6) for one in (row.ratio, row.low, row.high)]
assert found == [4, 2, 5] and row.met, row
print(markdown([row]))
"""


def bench(*arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_ratio_is_of_rates_in_the_same_round() -> None:
    shown = bench("-c", ARITHMETIC)
    assert (
        "| english | ours | 10 MB/s | 100 | peer | 2.5 MB/s | **4.0** (2.0–5.0) | 3x | yes |"
        in shown
    )


def test_unknown_loops_are_named() -> None:
    command = [sys.executable, "-m", "bench", "nothing"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT
    )
    assert done.returncode == 2
    assert "no such loop: nothing; there are classifier, chain" in done.stderr


def test_every_loop_has_a_place_in_the_document() -> None:
    loops = bench("-c", "from bench.__main__ import LOOPS; print(' '.join(LOOPS))").split()
    document = (ROOT / "docs" / "performance.md").read_text()
    for name in loops:
        assert f"<!-- bench:{name} -->" in document
        assert (ROOT / "tests" / "bench" / f"{name}.py").is_file()


@pytest.mark.slow
def test_a_loop_runs_and_agrees(shared_data: Path) -> None:
    program = """
from bench.__main__ import Run
from bench.corpora import corpora
from bench import unicode
texts = [one.first(50_000) for one in corpora(None, 200_000)]
rows = list(unicode.rows(Run(texts, True, None)))
assert [row.corpus for row in rows] == ["english", "chinese"], rows
assert all(row.ratio > 0 and row.agrees.startswith("0 of ") for row in rows), rows
"""
    bench("-c", program)
