"""What fit.fasttext says of a classifier on people's labels, and with one source less."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ultraclean.errors import DataError
from ultraclean.stages.fit import fasttext_tests
from ultraclean.stages.fit.fasttext import Fasttext

Table = Callable[..., Any]
SMALL: dict[str, Any] = {"dim": 8, "bucket": 5_000, "min_count": 2, "epochs": 15, "lr": 0.5}


def prose(n: int, words: list[str], seed: int) -> list[str]:
    chance = random.Random(seed)
    common = ["the", "and", "of", "a", "it", "was", "中文"]
    return [
        " ".join(chance.choice(words if chance.random() < 0.3 else common) for _ in range(30))
        for _ in range(n)
    ]


def test_labels_of_people_and_one_source_less(memory_table: Table, tmp_path: Path) -> None:
    """Proofs and recipes are good, advertising is not; only proofs teach what a proof is."""
    proofs, recipes, sale = ["theorem", "lemma"], ["flour", "butter"], ["buy", "click", "free"]
    tables = {
        "proofs": memory_table("proofs", text=prose(80, proofs, 1)),
        "recipes": memory_table("recipes", text=prose(80, recipes, 2)),
        "web": memory_table("web", text=[*prose(150, sale, 3), None, ""]),
    }
    path = tmp_path / "labels.jsonl.gz"
    judged = [(text, 1) for text in prose(30, recipes, 4)] + [
        (t, 0) for t in prose(30, ["stone"], 5)
    ]
    with gzip.open(path, "wt") as stream:
        stream.writelines(json.dumps({"text": t, "label": n}) + "\n" for t, n in judged)
    stage = Fasttext(
        positive=("proofs", "recipes"),
        negative="web",
        labels=str(path),
        leave_one_out=True,
        **SMALL,
    )
    assert not stage.problems()
    card = stage.make(tables, str(tmp_path / "model"), map)
    plain = Fasttext(positive=("proofs", "recipes"), negative="web", **SMALL)
    alone = plain.make(tables, str(tmp_path / "plain"), map)
    assert card["model"] == alone["model"], "to be measured changes no model"
    assert "human" not in alone and "without" not in alone

    assert card["human"]["auc"] > 0.95 and card["human"]["n"] == 60
    assert 0 <= card["human"]["calibration_error"] <= 1
    without = {row["table"]: row for row in card["without"]}
    assert set(without) == {"proofs", "recipes"}
    assert without["recipes"]["human_auc"] < 0.8 < without["proofs"]["human_auc"]
    assert without["recipes"]["auc_change"] <= 0 <= without["recipes"]["decided_otherwise"] <= 1
    assert json.loads(json.dumps(card, allow_nan=False)) == card


def test_a_source_without_which_nothing_is_left(memory_table: Table, tmp_path: Path) -> None:
    tables = {
        "few": memory_table("few", text=prose(12, ["theorem"], 1)),
        "many": memory_table("many", text=prose(60, ["lemma"], 2)),
        "web": memory_table("web", text=prose(80, ["buy"], 3)),
    }
    stage = Fasttext(positive=("few", "many"), negative="web", leave_one_out=True, **SMALL)
    rows = stage.make(tables, str(tmp_path / "model"), map)["without"]
    assert rows[1] == {
        "table": "many",
        "per_class": 12,
        "reason": "too few documents are left to train on",
    }


def test_labels_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    stage = Fasttext(positive="a", negative="b", labels=str(path))
    assert stage.problems() == [f"labels: there is no file {path}"]
    path.write_text('{"text": "x"}\n')
    assert stage.problems() == [f"labels: {path}:1 is no object with text and label"]
    path.write_text('{"text": "x", "label": 1}\n\n')
    assert stage.problems() == [f"labels: {path} has 1 lines and not both labels"]
    path.write_text('{"text": "x", "label": 7}\n')
    with pytest.raises(DataError, match="a label of 0 or 1, not 7"):
        fasttext_tests.labelled(str(path))


def test_what_changes() -> None:
    positive = np.array([True, True, False, False])
    whole, less = np.array([0.9, 0.8, 0.2, 0.1]), np.array([0.9, 0.3, 0.4, 0.1])
    found = fasttext_tests.compared(whole, less, positive, 0.5)
    assert found == {"auc": 0.75, "auc_change": -0.25, "decided_otherwise": 0.25}
