"""filter.badwords: words of a document's language, shares that stay, lists that are none."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ultraclean.document import KEY, Batch, keys_of
from ultraclean.stage import Decision
from ultraclean.stages.filter.badwords import Badwords


def folder_of_lists(folder: Path) -> str:
    folder.mkdir()
    (folder / "en").write_text("bad\nbad word\nc++\nCapital\n", "utf-8")
    (folder / "zh.txt.gz").write_bytes(gzip.compress("傻瓜\n性\nabc\n".encode()))
    (folder / "README.md").write_text("these are words")
    return str(folder)


def reasons(decision: Decision) -> list[str | None]:
    return [None if code < 0 else decision.reasons[code] for code in decision.code]


def judge(stage: Badwords, *texts: str | None, **columns: Any) -> Decision:
    return stage.open()(Batch.of(text=pa.array(texts, pa.string()), **columns))


def test_words_of_the_documents_language(tmp_path: Path) -> None:
    lists = folder_of_lists(tmp_path / "lists")
    rows = {
        "A bad, BAD day": ("en", "badwords"),
        "badly _bad bad_ 2bad": ("en", None),
        "I like c++.": (None, "badwords"),
        "Capital capital": ("en", None),
        "是傻瓜吗": ("zh", "badwords"),
        "性 bad": ("zh", None),
        "xabcx": ("zh", "badwords"),
        "傻瓜 bad": ("fr", None),
        "": ("en", None),
    }
    stage = Badwords(lists=lists)
    assert stage.needs() == ("text", "language")
    assert [Path(path).name for path in stage.files()] == ["en", "zh.txt.gz"]
    assert stage.problems() == []
    languages = [language for language, _ in rows.values()]
    found = judge(stage, *rows, language=languages)
    assert reasons(found) == [reason for _, reason in rows.values()]
    assert found.numbers["n_badwords"].tolist() == [2, 0, 1, 0, 1, 0, 1, 0, 0]
    strict = judge(Badwords(lists=lists, no_list="drop", allowed=()), *rows, language=languages)
    assert reasons(strict)[5:8] == ["badwords", "badwords", "no_list"]
    assert set(reasons(strict)) - {None} == set(Badwords.reasons)
    plain = Badwords(lists={"en": f"{lists}/en"}, language=None, max_badwords=1)
    assert plain.needs() == ("text",)
    assert reasons(judge(plain, "bad", "bad bad word", None)) == [None, "badwords", None]


def test_a_share_stays_by_the_key(tmp_path: Path) -> None:
    stage = Badwords(
        lists=folder_of_lists(tmp_path / "lists"), language=None, keep_fraction=0.3, seed=3
    )
    keys = keys_of("t", "f", np.arange(4000))
    batch = Batch.of(text=["bad"] * 4000).with_columns({KEY: keys})
    whole = stage.open()(batch)
    assert abs(whole.keep.mean() - 0.3) < 0.03
    assert (whole.numbers["n_badwords"] == 1).all()
    for cut in (0, 7, 4000):
        parts = [stage.open()(batch.slice(0, cut)), stage.open()(batch.slice(cut, 4000 - cut))]
        np.testing.assert_array_equal(np.concatenate([part.code for part in parts]), whole.code)
    other = stage.model_copy(update={"seed": 4}).open()(batch)
    assert (other.code != whole.code).any()


def test_lists_that_are_none(tmp_path: Path) -> None:
    (problem,) = Badwords(lists=str(tmp_path / "no")).problems()
    assert problem == (
        f"the folder {tmp_path}/no of lists is not there, or has no files `LANGUAGE.txt`"
    )
    (problem,) = Badwords(lists={"en": str(tmp_path / "en")}).problems()
    assert "cannot be read" in problem
    (tmp_path / "en.gz").write_bytes(gzip.compress(b"bad\n" * 100)[:25])
    (problem,) = Badwords(lists={"en": str(tmp_path / "en.gz")}).problems()
    assert "en.gz cannot be read" in problem
    (tmp_path / "de").write_text("# none\n")
    assert Badwords(lists={"de": str(tmp_path / "de")}).problems() == [
        f"the list {tmp_path}/de has no entries"
    ]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view()])
def test_types_and_slices(kind: Any, tmp_path: Path) -> None:
    stage = Badwords(lists=folder_of_lists(tmp_path / "lists"))
    column = pa.array(["bad", None, "bad 中文 😀", "fine"], kind).slice(1)
    found = stage.open()(Batch.of(text=column, language=["en", "en", None]))
    assert reasons(found) == [None, "badwords", None]
