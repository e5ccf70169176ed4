"""Collapsed tables are told from diverse ones, on samples that do not depend on batches."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ultraclean.errors import DataError
from ultraclean.stage import Rows
from ultraclean.stages.refine.diversity import Diversity, measures

RNG = np.random.default_rng(5)
WORDS = [f"w{n}" for n in range(3000)]
Table = Callable[..., Rows]


def texts(n: int, vocabulary: int) -> list[str]:
    return [" ".join(RNG.choice(WORDS[:vocabulary], 50)) for _ in range(n)]


def test_a_collapse_is_seen(memory_table: Table, tmp_path: Path) -> None:
    seeds = memory_table("seeds", text=texts(200, 3000))
    stage = Diversity(table="refined", against="seeds", sample_words=4000)

    def card(refined: list[str]) -> dict[str, Any]:
        return stage.make({"refined": memory_table("refined", text=refined), "seeds": seeds}, str(tmp_path), map)  # fmt: skip

    good = card(texts(150, 3000))
    assert good["diverse"] and not good["collapsed"] and good["n_words"] == 4000
    assert min(good["shares"].values()) > 0.9
    fewer = card(texts(150, 100))
    assert fewer["collapsed"] and "distinct_1" in fewer["reason"]
    openings = card([f"In this article we see {text}" for text in texts(150, 3000)])
    assert openings["collapsed"] and openings["reason"].startswith(
        "of seeds it has only: openings 0.0"
    )
    same = card([texts(1, 3000)[0]] * 150)
    assert same["shares"]["compressed"] < 0.2 and same["shares"]["distinct_4"] < 0.2
    assert json.loads((tmp_path / "card.json").read_text()) == same


def test_batches_do_not_matter_and_samples_are_of_one_size(
    memory_table: Table, tmp_path: Path
) -> None:
    many = texts(300, 500)
    found = []
    for batch_rows in (1, 7, 1000):
        rows = memory_table("t", batch_rows=batch_rows, text=many)
        found.append(Diversity(table="t", sample_words=1000).make({"t": rows}, str(tmp_path), map))
    assert found[0] == found[1] == found[2] and found[0]["diverse"]
    # a tenth of the texts is as diverse as all, since as many words are looked at
    both = {"few": memory_table("few", text=many[:30]), "many": memory_table("many", text=many)}
    card = Diversity(table="many", against="few").make(both, str(tmp_path), map)
    assert card["n_words"] == 1500 and 0.9 < card["shares"]["distinct_2"] < 1.1


def test_vectors(memory_table: Table, tmp_path: Path) -> None:
    wide = RNG.normal(size=(100, 8)).tolist()
    narrow = (RNG.normal(size=(100, 8)) * 0.1 + 1).tolist()
    words = texts(100, 3000)
    tables = {"narrow": memory_table("narrow", text=words, v=narrow), "wide": memory_table("wide", text=words, v=wide)}  # fmt: skip
    stage = Diversity(table="narrow", against="wide", vector="v")
    card = stage.make(tables, str(tmp_path), map)
    assert card["collapsed"] and card["measures"]["wide"]["spread"] > 0.9
    pairs = np.array(wide) / np.linalg.norm(wide, axis=1)[:, None]
    cosines = (pairs @ pairs.T)[np.triu_indices(100, 1)]
    assert card["measures"]["wide"]["spread"] == pytest.approx(1 - cosines.mean(), abs=1e-5)


def test_distinct_n_is_what_it_says() -> None:
    found = measures([(["a", "b", "a", "b"], None), (["a", "b"], None)], 100)
    assert found["distinct_1"] == pytest.approx(2 / 6, abs=1e-6)
    assert found["distinct_2"] == pytest.approx(2 / 4) and found["openings"] == 1


def test_bad_tables(memory_table: Table, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"refine.diversity: the table t has no words to measure"):
        Diversity(table="t").make({"t": memory_table("t", text=["", None])}, str(tmp_path), map)
    with pytest.raises(DataError, match=r"the table t has no column 'v'"):
        rows = memory_table("t", text=["a b"])
        Diversity(table="t", vector="v").make({"t": rows}, str(tmp_path), map)
