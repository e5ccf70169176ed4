"""The shipped loop on real text, small: killed on the way, and right about what is known."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ultraclean.stages.verify.registry import FILE, read

SMALL = [
    "rounds.max=1",
    "seeds.verify.anneal.base_tokens=600e3",
    "seeds.verify.anneal.model=tiny",
    *(
        f"{table}.verify.anneal.{setting}"
        for table in ("seeds", "verdict")
        for setting in ("tokens=40e3", "seeds=[5]", "evaluation_bytes=5000")
    ),
]
LEAST_MARGIN = 0.002
"""Bits per byte between a bound and the limit it was held against: what another CPU may change."""


def start(out: Path, data: Path) -> subprocess.Popen[bytes]:
    settings = [part for setting in SMALL for part in ("--set", setting)]
    command = [sys.executable, "-m", "ultraclean", "run", "ultraclean_loop", "--quiet"]
    environment = {"DATA": str(data), "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, "--out", str(out), "--address", "inline", *settings],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
    )


def kill_when(child: subprocess.Popen[bytes], there: Callable[[], bool]) -> None:
    while not there():
        assert child.poll() is None, f"it ended with {child.returncode} before it could be killed"
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL


def written(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in out.glob("verify/*/*/trials/*.json")}


def card(out: Path, table: str) -> dict[str, Any]:
    (path,) = out.glob(f"verify/{table}/*/card.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def kept(out: Path) -> list[dict[str, Any]]:
    table = pq.read_table(out / "tables" / "clean", columns=["id", "text"])
    return sorted(table.to_pylist(), key=lambda row: (row["id"], row["text"]))


def n_out(out: Path, segment: str) -> int:
    segments = json.loads((out / "run.json").read_text())["segments"]
    return int(next(one["n_out"] for one in segments if one["name"] == segment))


def decided_by(found: dict[str, Any], arm: str) -> float:
    """How far the bound that decided lies from the minimum effect."""
    (row,) = [row for row in found["verdicts"] if row["arm"] == arm]
    limit: float = found["settings"]["minimum_effect"]
    print(arm, row["outcome"], row["mean"], row["low"], row["high"])
    low, high = float(row["low"]), float(row["high"])
    return low - limit if row["outcome"] == "accepted" else limit - high


@pytest.fixture(scope="module")
def killed(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run that was killed within or between its 50 trials, of the seeds or of the round."""
    out = tmp_path_factory.mktemp("loop") / "run"
    n_trials = random.randrange(1, 48)
    print(f"killed after {n_trials} of 50 trials")
    kill_when(start(out, shared_data), lambda: len(written(out)) >= n_trials)
    before = written(out)
    assert start(out, shared_data).wait() == 0
    after = written(out)
    assert len(after) == 50
    assert all(after[path] == when for path, when in before.items()), "a trial was run twice"
    yield out
    shutil.rmtree(out.parent)


@pytest.mark.slow
def test_seeds_are_judged_rightly(killed: Path) -> None:
    seeds = card(killed, "seeds")
    assert seeds["valid"], seeds["reason"]
    assert seeds["accepted"] == ["articles"], seeds["table"]
    assert seeds["rejected"] == ["markup"], seeds["table"]
    assert min(decided_by(seeds, arm) for arm in ("articles", "markup")) > LEAST_MARGIN
    (path,) = killed.glob(f"verify/registry/*/{FILE}")
    assert {row["seed"]: row["verdict"] for row in read(str(path))} == {
        "articles": "accepted",
        "markup": "rejected",
        "web": None,
    }


@pytest.mark.slow
def test_the_classifier_is_accepted_and_keeps_what_is_good(killed: Path) -> None:
    verdict = card(killed, "verdict@1")
    assert verdict["accepted"] == ["filtered@1"], verdict["reason"]
    assert decided_by(verdict, "filtered@1") > LEAST_MARGIN
    (path,) = killed.glob("models/quality@1/*/card.json")
    quality = json.loads(path.read_text())
    assert quality["positive"] == ["articles"]
    assert quality["human"]["n"] == 246 and quality["human"]["auc"] > 0.7

    # Of the pool, sections of textbooks and news are known to be good; pages with markup are not.
    found, n_pool = kept(killed), n_out(killed, "web/2")
    n_good = n_out(killed, "sections/0") + n_out(killed, "news/0")
    good = [row for row in found if re.match(r"m\d{5}$|bbc/", row["id"])]
    print(f"kept {len(found)} of {n_pool} documents, {len(good)} of {n_good} good ones among them")
    assert 0.35 * n_pool < len(found) < 0.45 * n_pool
    assert len(good) / len(found) > 1.5 * n_good / n_pool
    assert not [
        row["id"] for row in found if row["text"].lstrip().startswith(("<!", "<html", "<head"))
    ]


@pytest.mark.slow
def test_the_report_shows_it(killed: Path) -> None:
    page = (killed / "report.html").read_text()
    for shown in ("Training curves", "articles.placebo", "filtered@1", "MIT", "markup"):
        assert shown in page
