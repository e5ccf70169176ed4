"""Workers and nodes killed in each step of `dedup.minhash` on two Ray nodes: the same result."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

# fmt: off
STEPS = [
    "read", "sketch",
    "candidates", "winners", "winners-home", "members", "twins-counted", "twins-home",  # identical sets
    "meet", "link", "settle", "label", "labels-home",  # components
    "weights", "heavy", "sample", "candidate-sets", "verified", "large-decide", "large-sweep",  # the loop
    "heads", "sizes-of-heads", "compared", "decided-home", "ask", "asked-home", "answer", "answers-home",
    "verdict-rows", "verdicts", "sizes", "by-corpus", "index", "short", "apply", "write",
]
NODES = ["sketch", "winners", "meet", "settle", "large-sweep", "answer", "apply"]
# fmt: on
EVERY = STEPS if os.environ.get("ULTRACLEAN_EVERY_KILL") else []
"""One run strikes every step; each by itself takes twenty minutes, and is asked for by this variable."""

Strike = Callable[..., list[str]]


def corpus(folder: Path) -> None:
    """Chains of edits that closure would swallow, pairs, copies, documents too short and others."""
    draw = random.Random(5)
    texts = []
    for _ in range(4):
        words = new_words(draw, 100)
        for _ in range(16):
            texts.append(" ".join(words))
            words[draw.randrange(100)] = f"w{draw.randrange(10**6)}"
    for _ in range(20):
        words = new_words(draw, 16)
        texts += [" ".join(words), " ".join([*words[:-1], "other"])]
    texts += draw.sample(texts, 20) + ["too short"] * 3
    texts += [" ".join(new_words(draw, 40)) for _ in range(60)]
    draw.shuffle(texts)
    for name, some in (("old", texts[:60]), ("new", texts[60:])):
        table = pa.table({"id": [f"{name}{i}" for i in range(len(some))], "text": some})
        pq.write_table(table, folder / f"{name}.parquet", row_group_size=30)


def new_words(draw: random.Random, n_words: int) -> list[str]:
    return [f"w{draw.randrange(10**6)}" for _ in range(n_words)]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Strike]]:
    """(folder of the runs, a function that makes one more run on the nodes): (out, what, *steps)."""
    folder = tmp_path_factory.mktemp("killed")
    corpus(folder)
    script = str(Path(__file__).with_name("killed_steps.py"))
    with (
        (folder / "stderr.txt").open("w+") as errors,
        subprocess.Popen(
            [sys.executable, script, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "RAY_DEDUP_LOGS": "0"},
        ) as process,
    ):
        assert process.stdin and process.stdout

        def told(first: str) -> list[str]:
            for line in process.stdout or ():
                if line.split()[:1] == [first]:
                    return line.split()[1:]
            raise AssertionError((folder / "stderr.txt").read_text()[-3000:])

        def strike(*words: str) -> list[str]:
            process.stdin.write(" ".join(words) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            return told("struck")

        told("ready")
        yield folder, strike
        process.stdin.close()
        assert process.wait(60) == 0, (folder / "stderr.txt").read_text()[-3000:]


def shown(out: Path) -> dict[str, Any]:
    """The card, and digests of all that a run shows and leaves for later runs."""
    found: dict[str, Any] = {"card": json.loads((out / "card.json").read_text())}
    for what in ("tables", "dropped", "numbers", "index"):
        files = [file for file in (out / what).rglob("*-*.parquet") if file.is_file()]
        assert files or what == "numbers", what
        for file in files:
            name = str(file.relative_to(out))
            found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def check(nodes: tuple[Path, Strike], name: str, what: str, steps: list[str]) -> None:
    folder, strike = nodes
    assert strike(name, what, *steps) == sorted(steps)
    assert shown(folder / name) == shown(folder / "whole")


def test_the_corpus_reaches_every_step(nodes: tuple[Path, Strike]) -> None:
    card = json.loads((nodes[0] / "whole" / "card.json").read_text())
    names = {re.sub(r"-\d+", "", step) for step, tasks, _ in card["steps"] if tasks}
    assert names == set(STEPS) - {"read", "sketch", "apply", "write"}
    assert card["rounds"] > 1
    assert card["dropped"] > card["dropped_by_index"] > 0
    assert card["closure_would_drop"] > card["dropped"]
    assert card["pairs"]["identical"] > 0
    assert card["too_short"] > 0


def test_workers_killed_in_some_steps(nodes: tuple[Path, Strike]) -> None:
    steps = ["sketch", "winners", "meet", "settle", "verified", "large-sweep", "verdict-rows"]
    check(nodes, "some", "worker", steps)


@pytest.mark.slow
def test_a_worker_killed_in_every_step_of_one_run(nodes: tuple[Path, Strike]) -> None:
    check(nodes, "every", "worker", STEPS)


@pytest.mark.slow
@pytest.mark.parametrize("step", EVERY or ["meet", "verified"])
def test_a_worker_killed_in_one_step(nodes: tuple[Path, Strike], step: str) -> None:
    check(nodes, f"worker-{step}", "worker", [step])


@pytest.mark.slow
@pytest.mark.parametrize("step", NODES if EVERY else NODES[3:5])
def test_a_node_killed_in_a_step(nodes: tuple[Path, Strike], step: str) -> None:
    check(nodes, f"node-{step}", "node", [step])
