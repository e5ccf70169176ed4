"""An index, documents around a document, and surveys whose citations exist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from played import TEACHER, batch_of, check_rows, check_split, make, reasons, refuse

from ultrachat.stages.long_context import LongContext, answers
from ultrachat.stages.survey import Survey
from ultraclean.document import Batch
from ultraclean.llm import Request
from ultraclean.stage import Rows
from ultraclean.stages.fit.index import Index
from ultraclean.text import bm25

DOCUMENTS: list[str | None] = [
    f"Report {n}: the river Oder rose by {n} centimetres in spring. " + f"word{n} filler text " * 40
    for n in range(30)
]


class Table(Rows):
    name = "t"
    n_docs = 30

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        yield batch_of(DOCUMENTS[:13])
        yield batch_of(DOCUMENTS[13:])


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("index"))
    card = Index(tables="t").make({"t": Table()}, folder, map)
    assert card["documents"] == 30
    return folder


def test_bm25_is_its_formula() -> None:
    texts = ["the river rises", "春天河水上涨。", "", "the the the snow", "River 2024 snow 河水"]
    index = bm25.Index(*bm25.build(texts))
    for query in ("the river", "河水", "snow snow 2024", "nothing"):
        wanted = bm25.reference(texts, query)
        found = dict(index.search(query, 10))
        np.testing.assert_allclose([found.get(n, 0.0) for n in range(5)], wanted, rtol=1e-12)
    assert [row for row, _ in index.search("the river", 1)] == [0]


def teacher(**changed: Any) -> Any:
    def script(prompt: str, request: Request, number: int) -> Any:
        if prompt in changed:
            return changed[prompt]
        said = request.messages[-1]["content"]
        if prompt == "long_question":
            n = said.split("Report ")[1].split(":")[0]
            asked = f"By how much did the Oder rise, as report {n} says?"
            return {"questions": [{"question": asked, "answer": f"{n} centimetres"}]}
        if prompt == "long_without":
            return "I do not know that."
        n = said.split("as report ")[1].split(" ")[0]
        return f"It rose by {n} centimetres." if f"by {n} centimetres" in said else "Not said."

    return script


def stage_of(index: str, **more: Any) -> LongContext:
    fields = {"index": index, "min_tokens": 500, "max_tokens": 1500, "n_questions": 1, **more}
    return LongContext(teacher=TEACHER, **fields)


def test_the_document_stands_at_a_random_place(index: str) -> None:
    stage = stage_of(index)
    batch = batch_of(DOCUMENTS)
    made, _ = make(stage, batch, teacher())
    good = check_rows(stage, batch, made)
    assert len(good) == 30, reasons(made)
    places = {tuple(row["proof"]["place"]) for row in good}
    assert len({place for place, _ in places}) > 3
    lengths = [row["context_tokens"] for row in good]
    assert min(lengths) < 750 and max(lengths) > 1250 and max(lengths) <= 1500
    for row in good:
        assert abs(row["context_tokens"] - row["wanted_tokens"]) < 20
        assert row["proof"]["gold"] in row["prompt"]
    check_split(stage, batch_of(DOCUMENTS[:3]), teacher())


def test_each_check_has_its_reason(index: str) -> None:
    one = batch_of(DOCUMENTS[:1])
    asked = {"questions": [{"question": "By how much did it rise there?", "answer": "ten miles"}]}
    cases: dict[str, dict[str, Any]] = {
        "not_in_document": {"long_question": asked},
        "known_without": {"long_without": "It was 0 centimetres, of course."},
        "wrong": {"long_answer": "It rose by 77 centimetres."},
    }
    for reason, changed in cases.items():
        assert reasons(make(stage_of(index), one, teacher(**changed))[0]) == [reason]
    few = stage_of(index, min_tokens=30_000, max_tokens=40_000)
    assert reasons(make(few, one, teacher())[0]) == ["too_few_distractors"]
    assert reasons(make(stage_of(index), one, refuse)[0]) == ["refused"]
    assert answers("It was the Red Sea.", "red sea") and not answers("reddish sea", "red sea")


def survey(cited: str = "[1]", keys: Sequence[str] = ("1", "2")) -> Any:
    def script(prompt: str, request: Request, number: int) -> Any:
        if prompt == "survey_question":
            return "How do rivers rise in spring, and where?"
        if prompt == "survey_plan":
            part = {"title": "The rise", "content": "How it goes.", "keys": list(keys)}
            return {"title": "Rivers", "sections": [part]}
        return f"The river Oder rose by some centimetres in that spring, as was reported {cited}."

    return script


def test_surveys_cite_what_exists(index: str) -> None:
    stage = Survey(teacher=TEACHER, index=index, n_papers=4, min_sections=1)
    batch = batch_of(DOCUMENTS[:2])
    made, _ = make(stage, batch, survey())
    good = check_rows(stage, batch, made)
    assert len(good) == 2 and len(good[0]["proof"]["papers"]) == 4
    assert [t.role for t in good[0]["dialogue"].turns] == ["user", "assistant"] * 2
    one = batch_of(DOCUMENTS[:1])
    assert reasons(make(stage, one, survey(cited="[9]"))[0]) == ["unknown_citation"]
    assert reasons(make(stage, one, survey(cited="somewhere"))[0]) == ["too_few_citations"]
    assert reasons(make(stage, one, survey(keys=("7",)))[0]) == ["schema"]
    assert reasons(make(stage, one, refuse)[0]) == ["refused"]
