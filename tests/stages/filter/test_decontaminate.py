"""filter.decontaminate: items of evaluations found in documents and dialogues, and what is said."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zstandard

from ultraclean.document import Batch
from ultraclean.errors import DataError
from ultraclean.pipeline import Pipeline
from ultraclean.stage import Decision
from ultraclean.stages.filter.decontaminate import Benchmark, Decontaminate, spoken
from ultraclean.stages.read.jsonl import Jsonl
from ultraclean.summary import funnel
from ultraclean.trace import trace

QUESTION = (
    "A train leaves the old station at nine in the morning and drives north at sixty miles an "
    "hour; when does it reach the bridge?"
)
ANSWER = "It reaches the bridge at eleven, two hours after it has left, since it is 120 miles away."
CHINESE = "小明有十二个苹果，他把其中的三分之一给了妹妹，又买了五个，现在他一共有多少个苹果？"
SHORT = "Which of these eight words is the longest?"


@pytest.fixture
def evals(tmp_path: Path) -> Path:
    folder = tmp_path / "evals"
    folder.mkdir()
    maths = [{"question": QUESTION, "answer": ANSWER}, {"question": CHINESE, "answer": "13"}]
    (folder / "maths.jsonl").write_text("\n\n".join(map(json.dumps, maths)) + "\n")
    (folder / "quiz.jsonl").write_text(json.dumps({"query": SHORT, "gold": 1, "choices": ["a", "longest"]}))  # fmt: skip
    return folder


def judged(texts: list[str | None], evals: Path, **fields: Any) -> Decision:
    stage = Decontaminate(benchmarks=f"{evals}/*.jsonl", **fields)
    assert stage.problems() == []
    return stage.open()(Batch.of(text=pa.array(texts, pa.string())))


def test_says_which_item_which_words_and_what_share(evals: Path) -> None:
    page = f"Some page. {QUESTION.upper().replace(' ', '  —  ')}\r\nMore of it."
    decision = judged(["Nothing of it.", page, None, "", f"x {CHINESE} 😀", SHORT], evals)
    assert [decision.reasons[code] if code >= 0 else None for code in decision.code] == [
        *[None, "contaminated", None, None, "contaminated", "contaminated"]
    ]
    n_question, n_item = len(QUESTION.split()), len((QUESTION + " " + ANSWER).split())
    assert decision.value[1] == pytest.approx(n_question / n_item)
    assert decision.threshold[1] == 0.0
    numbers = decision.numbers
    assert numbers["benchmark"].tolist()[4:] == [0, 1]
    assert numbers["item"][[1, 4, 5]].tolist() == [1, 3, 1]  # blank lines count as lines
    assert numbers["first_word"][[1, 4, 5]].tolist() == [2, 1, 0]
    assert numbers["n_items"].tolist() == [0, 1, 0, 0, 1, 1]
    assert numbers["document_fraction"][1] == pytest.approx(n_question / (n_question + 5))
    assert np.isnan(numbers["item"][[0, 2, 3]]).all()


def test_limits_and_the_column_of_what_was_found(evals: Path) -> None:
    texts: list[str | None] = [f"Look: {QUESTION} Well.", "clean", QUESTION + " " + ANSWER]
    decision = judged(texts, evals, max_item_fraction=0.9, into="found")
    assert decision.keep.tolist() == [True, True, False]
    found = decision.columns["found"].to_pylist()
    assert found[1] is None
    assert json.loads(found[0]) == [
        {
            "benchmark": "maths",
            "item": 1,
            "fraction": round(decision.numbers["item_fraction"][0], 6),
            "words": [QUESTION.lower().replace(";", "").rstrip("?")],
            "at": [1],
        }
    ]
    off = judged(texts, evals, max_item_fraction=None)
    assert off.keep.all()
    document = judged(texts, evals, max_item_fraction=None, max_document_fraction=0.95)
    assert document.keep.tolist() == [True, True, False]
    assert document.reasons[document.code[2]] == "contaminated_document"
    assert document.value[2] == 1.0


def test_short_items_are_found_whole_and_only_whole(evals: Path) -> None:
    part = "Which of these eight words is the short one?"
    assert judged([part, f"({SHORT})"], evals).keep.tolist() == [True, False]
    longer = judged([SHORT], evals, ngram=4, min_words=2)
    assert longer.numbers["benchmark"].tolist() == [1]
    assert judged([part], evals, ngram=4).keep.tolist() == [False]


def test_dialogues(evals: Path) -> None:
    messages = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
    shapes = [
        json.dumps(messages),
        json.dumps([{"from": "human", "value": QUESTION}, {"from": "gpt", "value": ANSWER}]),
        json.dumps([{"role": "user", "content": [{"type": "text", "text": QUESTION + ANSWER}]}]),
        json.dumps([{"role": "user", "content": "hello"}, {"role": "tool", "content": None}]),
        "no JSON, yet " + QUESTION,
        '"a string"',
        None,
    ]
    stage = Decontaminate(benchmarks=str(evals), column="messages", dialogue=True, into="found")
    decision = stage.open()(Batch.of(messages=shapes))
    assert decision.keep.tolist() == [False, False, False, True, False, True, True]
    # the n-grams that reach from the question into the answer are found, too
    assert decision.numbers["item_fraction"][0] == 1.0
    assert len(json.loads(decision.columns["found"][0].as_py())[0]["words"]) == 1
    assert spoken('[["a", {"text": "b"}], 3]') == "a\nb"


def test_choices_and_names_of_fields(tmp_path: Path) -> None:
    words = "the one right answer among the choices has many words of its own and is found here"
    items = {
        "number": {"question": "Q?", "choices": ["no", words], "answer": 1},
        "letter": {"question": "Q?", "options": ["no", words], "answer": "B"},
        "hub": {"question": "Q?", "choices": {"text": ["no", words], "label": ["1", "2"]}, "answerKey": "2"},
        "listed": {"question": "Q?", "answer": [words, "no"]},
        "own": {"frage": words, "n": 3},
    }  # fmt: skip
    for name, item in items.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_text(json.dumps(item))
        fields = {"query": "frage"} if name == "own" else {}
        decision = Decontaminate(benchmarks=str(path), **fields).open()(
            Batch.of(text=[words, "no"])
        )
        assert decision.keep.tolist() == [False, True], name
    both = Decontaminate(
        benchmarks=[str(tmp_path / "hub.jsonl"), {"path": str(tmp_path / "own.jsonl"), "query": "frage"}]
    )  # fmt: skip
    assert both.open()(Batch.of(text=[words])).numbers["n_items"].tolist() == [2]


def test_compressed_files_are_told_by_content(evals: Path, tmp_path: Path) -> None:
    raw = (evals / "maths.jsonl").read_bytes()
    (tmp_path / "a.jsonl").write_bytes(gzip.compress(raw))
    (tmp_path / "b.jsonl").write_bytes(zstandard.compress(raw))
    for name in ("a.jsonl", "b.jsonl"):
        stage = Decontaminate(benchmarks=str(tmp_path / name))
        assert stage.problems() == []
        assert stage.open()(Batch.of(text=[QUESTION])).keep.tolist() == [False]
    (tmp_path / "a.jsonl").write_bytes(gzip.compress(raw)[:-9])
    with pytest.raises(DataError, match=r"a\.jsonl: the compressed file is damaged"):
        Decontaminate(benchmarks=str(tmp_path / "a.jsonl")).open()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '{"frage": "x", "antwort": "y"}',
            "line 1: the item has the fields frage, antwort; a question was expected in one of "
            "question, query, prompt",
        ),
        ("[1]", "line 1: an object was expected, one item a line"),
        ('\n{"a', "line 2: not a line of JSON"),
        ("\n", "there is no item in this file"),
        ("{}", r"the item has the fields \(none\)"),
    ],
)
def test_files_of_another_kind(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(content)
    stage = Decontaminate(benchmarks=str(path))
    (problem,) = stage.problems()
    with pytest.raises(DataError, match=message):
        stage.open()
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(problem)


def test_nothing_to_find_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"question": "too short?", "answer": "yes"}')
    with pytest.raises(DataError, match=r"x\.jsonl: no item has 8 words, so none could ever be"):
        Decontaminate(benchmarks=str(path)).open()
    path.write_text(json.dumps({"question": QUESTION}))
    with pytest.raises(DataError, match="no item has 12 words in a row of which one is its answer"):
        Decontaminate(benchmarks=str(path), dialect="datatrove").open()
    missing = Decontaminate(benchmarks=str(tmp_path / "none" / "*.jsonl"))
    assert missing.problems() == [f"no benchmark file matches '{tmp_path}/none/*.jsonl'"]
    with pytest.raises(DataError, match="no benchmark file matches"):
        missing.open()


def test_files_are_those_that_the_glob_finds(evals: Path) -> None:
    stage = Decontaminate(benchmarks=[f"{evals}/*.jsonl", Benchmark(path="gone.jsonl")])
    assert stage.files() == (f"{evals}/maths.jsonl", f"{evals}/quiz.jsonl", "gone.jsonl")
    assert stage.adds() == {} and stage.needs() == ("text",)


def test_a_batch_cut_anywhere_gives_the_same(evals: Path) -> None:
    rng = random.Random(5)
    pieces = [QUESTION, ANSWER, CHINESE, SHORT, "other words", "A train leaves the old station"]
    texts = [" ".join(rng.choices(pieces, k=rng.randint(0, 4))) for _ in range(60)]
    batch = Batch.of(text=pa.array([*texts, None], pa.large_string()))
    judge = Decontaminate(benchmarks=str(evals), into="found", max_item_fraction=0.9).open()
    whole = judge(batch)
    cuts = sorted(rng.sample(range(61), 5))
    parts = [judge(batch.slice(a, b - a)) for a, b in zip([0, *cuts], [*cuts, 61], strict=True)]
    assert np.concatenate([part.code for part in parts]).tolist() == whole.code.tolist()
    for name, values in whole.numbers.items():
        np.testing.assert_array_equal(np.concatenate([p.numbers[name] for p in parts]), values)
    told = [row for part in parts for row in part.columns["found"].to_pylist()]
    assert told == whole.columns["found"].to_pylist()
    assert 5 < whole.keep.sum() < 55


def test_real_items_planted_in_real_text(shared_data: Path) -> None:
    """Every item of two evaluations is found where it is, and hardly a review holds one."""
    items = read(shared_data / "eval/gsm8k.jsonl.gz")[:200]
    reviews = [row["text"] for row in read(shared_data / "text/imdb.jsonl.gz")[:400]]
    planted = [
        f"{review[:300]}\n{item['context']}\n{item['chain_of_thought']}\n{review[300:]}"
        for review, item in zip(reviews, items, strict=False)
    ]
    stage = Decontaminate(benchmarks=f"{shared_data}/eval/*.jsonl.gz")
    assert stage.problems() == []
    decision = stage.open()(Batch.of(text=planted + reviews))
    assert decision.code[:200].tolist() == [0] * 200
    assert decision.numbers["item"][:200].tolist() == list(range(1, 201))
    assert decision.value[:200].min() > 0.9
    assert decision.keep[200:].all()


def read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def run_over(texts: list[str], evals: Path, tmp_path: Path) -> tuple[Pipeline, Any]:
    lines = [json.dumps({"id": str(number), "text": text}) for number, text in enumerate(texts)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    stages = [Jsonl(path=str(tmp_path / "in.jsonl")), Decontaminate(benchmarks=str(evals))]
    pipeline = Pipeline(name="p", tables={"web": stages}, shard_bytes=400)
    return pipeline, pipeline.run(str(tmp_path / "out"), address="inline")


def test_a_run_tells_both_ways(evals: Path, tmp_path: Path) -> None:
    """Per document the items and their words; per benchmark and item the documents."""
    texts = ["clean text", QUESTION, f"x {QUESTION}", f"{CHINESE} {SHORT}", "more clean text"]
    pipeline, finished = run_over(texts, evals, tmp_path)
    dropped = finished.dropped("web").sort("id").collect()
    assert dropped["id"].to_list() == ["1", "2", "3"]
    assert dropped["reason"].to_list() == ["contaminated"] * 3
    assert (dropped["value"] > dropped["threshold"]).all()
    told = [json.loads(detail) for detail in dropped["detail"]]
    assert [(one["benchmark"], one["item"]) for one in told[2]] == [("maths", 3), ("quiz", 1)]
    assert told[1][0]["words"] == [QUESTION.lower().replace(";", "").rstrip("?")]
    assert told[1][0]["fraction"] == round(dropped["value"][1], 6)

    benchmark, item = (f"filter.decontaminate.{name}" for name in ("benchmark", "item"))
    found = finished.numbers("web").drop_nulls(item).group_by(benchmark, item).len().sort(item)
    assert found.collect()["len"].sum() == 3
    run = json.loads((tmp_path / "out/run.json").read_text())
    (card,) = [segment["card"] for segment in run["segments"] if "card" in segment]
    assert card == {
        "filter.decontaminate": {
            "benchmarks": [
                {"benchmark": "maths", "items": 2, "found": 2, "documents": 3},
                {"benchmark": "quiz", "items": 1, "found": 1, "documents": 1},
            ],
            "items": [
                {"benchmark": "maths", "item": 1, "documents": 2},
                {"benchmark": "maths", "item": 3, "documents": 1},
                {"benchmark": "quiz", "item": 1, "documents": 1},
            ],
        }
    }
    assert "DROPPED by filter.decontaminate: contaminated" in (life := trace(pipeline, str(tmp_path / "out"), "3"))  # fmt: skip
    assert '"benchmark": "quiz", "item": 1' in life
    page = (tmp_path / "out/report.html").read_text()
    assert "filter.decontaminate.benchmarks" in page and "quiz" in page
    assert "which of these eight words is the longest" in page


def test_an_index_that_matches_nothing_is_an_alarm(evals: Path, tmp_path: Path) -> None:
    run_over(["clean text", "other text"], evals, tmp_path)
    run = json.loads((tmp_path / "out/run.json").read_text())
    (alarm,) = [alarm for s in run["segments"] for alarm in s.get("card", {}).get("alarms", ())]
    assert alarm.startswith(
        "filter.decontaminate: none of the 3 items of maths, quiz was found in any of 2 documents"
    )
    assert f"ALARM {alarm}" in funnel(run)
    assert "none of the 3 items of maths" in (tmp_path / "out/report.html").read_text()
    (evals / "quiz.jsonl").unlink()
    (evals / "maths.jsonl").write_text("[]")
    card = Decontaminate(benchmarks=str(evals)).card(2, {})
    assert "what was found cannot be told" in card["alarms"][0]


def test_messages_as_arrow_lists(evals: Path) -> None:
    messages = [[{"role": "user", "content": QUESTION}], [{"role": "user", "content": "hi"}], None]
    decision = Decontaminate(benchmarks=str(evals), column="messages").open()(
        Batch.of(messages=messages)
    )
    assert decision.keep.tolist() == [False, True, True]
