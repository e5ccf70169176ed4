"""score.badwords: where words match, by lists and by languages, and as datatrove finds them."""

from __future__ import annotations

import gzip
import json
import random
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ultraclean.document import Batch
from ultraclean.stages.score.badwords import Badwords
from ultraclean.text import lists


def write(path: Path, *words: str) -> str:
    path.write_text("# words\n" + "\n".join(words) + "\n")
    return str(path)


def score(stage: Badwords, *rows: str | None, **columns: Any) -> list[int]:
    made = stage.open()(Batch.of(text=pa.array(rows, pa.string()), **columns))
    assert made["n_badwords"].type == pa.int64()
    return made["n_badwords"].to_pylist()  # type: ignore[no-any-return]


def test_where_words_match(tmp_path: Path) -> None:
    stage = Badwords(lists=write(tmp_path / "all", "bad", "bad word", "c++", "傻瓜", "Über", "🖕"))
    assert score(stage, "Bad. BAD badly _bad bad_ bad", "bad words, bad word", None, "") == [
        3,
        2,
        0,
        0,
    ]
    assert score(stage, "I like c++.", "c+++", "是傻瓜吗傻瓜", "ÜBER über überall", "🖕🖕") == [
        1,
        1,
        2,
        2,
        2,
    ]
    made = stage.open()(Batch.of(text=["bad 傻瓜", None]))
    assert made["badword_fraction"].to_pylist() == [pytest.approx(5 / 6), 0]


def test_the_list_of_a_documents_language(tmp_path: Path) -> None:
    by_language = {"en": write(tmp_path / "en", "gift"), "de": write(tmp_path / "de", "toll")}
    stage = Badwords(lists=by_language)
    assert stage.needs() == ("text", "language")
    columns = {"language": ["en", "de", "fr", None]}
    assert score(stage, *["gift toll toll"] * 4, **columns) == [1, 2, 0, 0]
    assert score(Badwords(lists=tuple(by_language.values())), "gift toll toll") == [3]
    allowed = Badwords(lists=by_language, allowed=("toll",))
    assert score(allowed, *["gift toll toll"] * 4, **columns) == [1, 0, 0, 0]


def test_lists_that_are_none(tmp_path: Path) -> None:
    (problem,) = Badwords(lists=str(tmp_path / "no")).problems()
    assert "cannot be read" in problem
    (problem,) = Badwords(lists=write(tmp_path / "empty")).problems()
    assert "has no entries" in problem


def test_a_pattern_of_many_is_that_of_each() -> None:
    chance = random.Random(3)
    for _ in range(200):
        words = {
            "".join(chance.choices("ab.+ 中", k=chance.randint(1, 4))).strip() for _ in range(6)
        }
        words.discard("")
        text = "".join(chance.choices("ab.+ 中_", k=60))
        found = lists.pattern(words)
        one_by_one = [
            re.search(re.escape(w) if "中" in w else rf"(?<!\w){re.escape(w)}(?!\w)", text)
            for w in words
        ]
        assert bool(found and found.search(text)) == any(one_by_one)


def test_splitting_changes_nothing(tmp_path: Path) -> None:
    rows = ["bad", None, "a bad bad day", "", "中文 😀"] * 5
    count = Badwords(lists=write(tmp_path / "all", "bad")).open()
    batch = Batch.of(text=pa.array(rows, pa.large_string()))
    for cut in (0, 1, 7, 25):
        parts = [count(batch.slice(0, cut)), count(batch.slice(cut, 25 - cut))]
        found = [row for part in parts for row in part.data.to_pylist()]
        assert found == count(batch).data.to_pylist()


def test_as_datatrove_finds_them(shared_data: Path) -> None:
    """The same documents have a match, by the English list, on real text."""
    path = shared_data / "tox" / "en.txt"
    words = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    escaped = "|".join(re.escape(word) for word in words)
    theirs = re.compile(rf"(?:\W|^)({escaped})(?:\W|$)")
    texts = []
    for name in ("imdb", "bbc"):
        (file,) = (shared_data / "text").glob(f"{name}*.gz")
        with gzip.open(file, "rt") as stream:
            texts += [json.loads(line)["text"] for line, _ in zip(stream, range(150), strict=False)]
    found = [n > 0 for n in score(Badwords(lists=str(path)), *texts)]
    assert found == [bool(theirs.search(text.lower())) for text in texts]
    assert any(found)
