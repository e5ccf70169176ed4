"""verify.registry: what is measured of a seed, whose verdict it keeps, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ultraclean import pipeline_file
from ultraclean.engine import run
from ultraclean.errors import DataError
from ultraclean.stages.verify.registry import FILE, Registry, read

Table = Callable[..., Any]
BOOKS = {"source": "openstax.org", "language": "en", "polarity": "positive", "licence": "CC BY 4.0"}
WEB = {"source": "a crawl", "language": "en", "polarity": "negative", "licence": "none stated"}


def verdict(folder: Path, **outcomes: str) -> str:
    folder.mkdir()
    rows = [
        {"arm": name, "outcome": outcome, "mean": 0.0123, "n_seeds": 3}
        for name, outcome in outcomes.items()
    ]
    (folder / "card.json").write_text(json.dumps({"verdicts": rows}))
    return str(folder)


def test_a_registry_is_written_and_read_again(memory_table: Table, tmp_path: Path) -> None:
    tables = {
        "books": memory_table("books", text=["Ein Text: Grüße.", None, "two"]),
        "web": memory_table("web", text=["one"]),
    }
    said = verdict(tmp_path / "verify", books="accepted", web="rejected")
    first = Registry(seeds={"books": BOOKS, "web": WEB}, verdict=said)
    card = first.make(tables, str(tmp_path / "a"), map)
    assert (card["accepted"], card["negative"]) == (["books"], ["web"])
    books, web = read(str(tmp_path / "a" / FILE))
    assert books["documents"] == 3 and books["bytes"] == len("Ein Text: Grüße.two".encode())
    assert books["verdict"] == "accepted" and books["gain"] == 0.0123 and web["n_seeds"] == 3
    assert books["licence"] == "CC BY 4.0" and not books["changed"]
    assert "| books | openstax.org | en | positive | CC BY 4.0 | 3 | 21 |" in card["table"]

    # Another order of the same documents keeps the verdict; another text does not.
    known = str(tmp_path / "a" / FILE)
    again = Registry(seeds={"books": BOOKS}, known=known)
    tables["books"] = memory_table("books", text=["two", "Ein Text: Grüße.", ""])
    card = again.make(tables, str(tmp_path / "b"), map)
    assert card["accepted"] == ["books"] and not card["changed"]
    assert [row["seed"] for row in card["rows"]] == ["books", "web"], "others are kept as they are"
    tables["books"] = memory_table("books", text=["two", "three"])
    card = again.make(tables, str(tmp_path / "c"), map)
    assert card["accepted"] == [] and card["changed"] == ["books"]
    assert card["reason"] == "no positive seed is accepted: books not verified"


def test_a_registry_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "known.jsonl"
    stage = Registry(seeds={"books": BOOKS}, known=str(path))
    assert stage.problems() == [f"known: {path}: there is no such registry"]
    path.write_text("{}\n")
    assert "known.jsonl:1 lacks hash, language, licence" in stage.problems()[0]
    path.write_text("no\n")
    with pytest.raises(DataError, match=r"known\.jsonl:1 is not JSON"):
        read(str(path))
    with pytest.raises(ValidationError, match="licence"):
        Registry(seeds={"books": {**BOOKS, "licence": ""}})
    with pytest.raises(ValidationError, match="polarity"):
        Registry(seeds={"books": {**BOOKS, "polarity": "good"}})


PIPELINE = """
name: seeds
tables:
  books: [{{read.text: {{path: "{folder}/*.txt"}}}}]
  seeds:
    - verify.registry:
        seeds: {{books: {{source: here, language: en, polarity: positive, licence: CC0}}}}
"""


def test_in_a_pipeline(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A text.")
    text = PIPELINE.format(folder=tmp_path)
    pipeline = pipeline_file.parse(text, "seeds.yaml")
    assert pipeline_file.parse(pipeline.to_yaml(), "seeds.yaml") == pipeline
    card = run(pipeline, str(tmp_path / "run")).card("seeds")
    assert card["rows"][0]["documents"] == 1 and card["rows"][0]["verdict"] is None
