"""The shipped recipe `refine` end to end with a scripted teacher: rounds, guards, the stop rule."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars
import pytest

from ultraclean import pipeline_file
from ultraclean.errors import DataError
from ultraclean.pipeline_file import shipped_pipelines

WORDS = "river snow mountain spring water flood wall city year house bridge stone forest winter summer valley".split()  # noqa: SIM905
RULES = r"""
            engine: scripted
            rules:
              - {pattern: 'points', answers: ['{"points": ["PLAIN"]}']}
              - {pattern: '<document-\w+>\n(.{60}).*?\n</document.*"pairs"', answers: ['{"pairs": [{"question": "Why is it so that \1", "answer": "It is so in the valley."}]}']}
              - {pattern: 'posts', answers: ['{"title": "half']}
              - {pattern: 'Rewrite.*<document-\w+>\n(.*?)\n</document', answers: ['REWRITTEN']}
              - {pattern: '.', answers: ['I cannot.'], finish: content_filter}
"""


def documents(folder: Path) -> Path:
    text = folder / "text"
    text.mkdir()
    lines = []
    for n in range(12):
        words = random.Random(n).choices(WORDS, k=110)
        lines.append(json.dumps({"id": str(n), "text": f"The {' '.join(words)} of the {n}"}))
    (text / "openstax.jsonl.gz").write_text("\n".join(lines))
    return folder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("DATA", str(documents(tmp_path)))
    written = shipped_pipelines()["refine"].read_text()
    assert "            base_url: http://localhost:8000/v1\n" in written

    def start(rewritten: str, pairs: str = '"pairs"') -> Any:
        rules = RULES.replace("REWRITTEN", rewritten).replace("\"pairs\"'", f"{pairs}'").replace("PLAIN", "The snow of the valley is the water of the city.")  # fmt: skip
        text = written.replace(
            "            base_url: http://localhost:8000/v1\n", rules.lstrip("\n")
        )
        return pipeline_file.parse(text, "refine").run(str(tmp_path / "run"), address="inline")

    return start


def test_rounds_go_on_while_texts_stay_diverse(run: Callable[..., Any], tmp_path: Path) -> None:
    finished = run(r"\1, and such it is in the city.")
    cards = [finished.done[finished.plan.artifact_of[f"diversity@{n}"]].card for n in (1, 2)]
    assert all(card["diverse"] for card in cards), cards
    dropped = finished.dropped("fresh@1").collect()
    counts = dict(dropped.group_by("reason").len().iter_rows())
    assert counts["malformed_json"] == 12 and counts["refused"] == 12
    pool = finished.scan("refined").collect()
    assert pool.height > 24 and pool["_key"].n_unique() == pool.height
    written = sorted((tmp_path / "run" / "tables").iterdir())
    assert [folder.name for folder in written] == ["fresh@1", "fresh@2", "refined"]
    proofs = finished.scan("fresh@1").select("proof", "task").collect()
    assert set(proofs["task"]) >= {"rewrite", "qa"}
    assert all(json.loads(proof)["prompts"] for proof in proofs["proof"])
    assert polars.read_parquet(tmp_path / "run" / "tables" / "refined").height == pool.height


def test_a_collapse_ends_the_run_with_its_reason(run: Callable[..., Any]) -> None:
    same = "In this text we speak of the snow that melts and of the river which rises in spring, as ever. "
    with pytest.raises(
        DataError,
        match=r"diversity.diverse: of seeds it has only: .*(distinct|openings|compressed)",
    ):
        run(rf"{same}\1", pairs="no such prompt")
