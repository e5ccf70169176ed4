"""Rewriting, textbooks, threads, pairs and knowledge by a scripted teacher; every reason, guards, proofs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ultraclean.document import KEY, PARENT, Batch, keys_of
from ultraclean.llm import OpenTeacher, Request, Sample, Teacher
from ultraclean.llm.prompt import parse
from ultraclean.llm.scripted import Scripted
from ultraclean.stages.refine.forum import Forum
from ultraclean.stages.refine.knowledge import Knowledge
from ultraclean.stages.refine.passed import PROBLEMS, Passed
from ultraclean.stages.refine.qa import Qa
from ultraclean.stages.refine.rewrite import Rewrite
from ultraclean.stages.refine.textbook import Textbook
from ultraclean.stages.refine.written import NUMBERS, PROMPTS, Written

TEACHER = Teacher(engine="scripted", model="s")
RIVER = (
    "Rivers rise in spring, when the snow of the mountains melts. In 1910 the Seine rose by 8 metres and "
    "flooded Paris for 45 days; since then walls of the city have been made higher."
)
CHINESE = (
    "春天山上的积雪融化，河水因此上涨。1910年塞纳河上涨了八米，巴黎被淹四十五天，此后城市的堤岸加高了。"
    * 2
)
TEXTS = [RIVER, CHINESE, "", None, "Too short 😀.", f"{RIVER}\r\n\r\n{RIVER}"]
WRITTEN = {
    "en": "In spring the snow of the mountains melts, and rivers rise. The Seine did so in 1910: it rose "
    "by 8 metres, and for 45 days the streets of Paris stood under water.",
    "zh": "春天积雪融化，河水上涨。1910年塞纳河上涨八米，巴黎的街道被淹了四十五天；从那以后，堤岸被加高，以防洪水再次进入城市。"
    "这说明河流的水位与山上的积雪有关，积雪越多，春天融化时河水上涨得越高，因此城市需要修筑更高的堤岸来防备洪水，并且要在每年春天注意山上积雪的多少。",
}
SUMMARY = {
    "en": "Melting snow explains the floods of cities on rivers: walls hold back what the hills send.",
    "zh": "小结：堤岸挡住来自山上的水，融雪是洪水的原因。",
}
SECOND = {
    "en": "Paris learned from its flood; higher walls were the answer that its people found to the water.",
    "zh": "巴黎从洪水中吸取教训，人们把两岸修得更高，用来抵挡大水。",
}
POSTS = {
    "en": [
        "What makes rivers rise?",
        "Melting snow.",
        "And why then?",
        "It gets warm.",
        "So walls help?",
        "They do.",
    ],
    "zh": [
        "河水为什么上涨？",
        "因为积雪融化。",
        "为何在那时？",
        "天气变暖了。",
        "堤岸有用吗？",
        "有用，加高就好。",
    ],
}
Script = Callable[[Request, int], "str | Sample | dict[str, Any] | None"]


def language(request: Request) -> str:
    return "zh" if "你" in request.messages[0]["content"] else "en"


def good(request: Request, number: int) -> str | dict[str, Any]:
    said, code = request.messages[-1]["content"], language(request)
    if '"posts"' in said:
        roles = ("提问者", "专家") if code == "zh" else ("Asker", "Expert")
        posts = [{"role": roles[n % 2], "text": post} for n, post in enumerate(POSTS[code])]
        return {"title": "河水" if code == "zh" else "Why rivers rise", "posts": posts}
    if '"pairs"' in said:
        if code == "zh":
            return {"pairs": [{"question": "河水为什么上涨？", "answer": "因为积雪在春天融化。"}]}
        pairs = [("Why do rivers rise in spring?", "Because the snow melts."),
                 ("Why do rivers rise in spring?", "It is the same again."),
                 ("Who measures them?", "The people of the towns, "),
                 ("What does the document say?", "That rivers rise.")]  # fmt: skip
        return {"pairs": [{"question": q, "answer": a} for q, a in pairs]}
    if '"points"' in said:
        points = ["积雪融化使河水上涨，这是春天的事。", "堤岸加高了，因为巴黎曾被水淹。"]
        return {"points": points if code == "zh" else ["Melting snow makes rivers rise.", "Paris was flooded in 1910."]}  # fmt: skip
    if '"exercises"' in said:
        return {"exercises": [{"exercise": "2 + 2 = ?", "solution": "$2 + 2 = 4$, as Tobler says"}]}
    if "Sum up" in said or "小结教科书" in said:
        return SUMMARY[code]
    if "\nParis was flooded in 1910.\n" in said or "\n堤岸加高了，因为巴黎曾被水淹。\n" in said:
        return SECOND[code]
    return WRITTEN[code]


def batch_of(texts: list[str | None], kind: pa.DataType | None = None) -> Batch:
    keys = keys_of("t", "p", np.arange(len(texts)))
    return Batch.of(
        **{KEY: keys, "text": pa.array(texts, kind or pa.string()), "url": ["u"] * len(texts)}
    )


def make(stage: Written, batch: Batch, script: Script = good) -> tuple[Batch, list[Request]]:
    def answer(request: Request, number: int) -> str | Sample | None:
        said = script(request, number)
        return json.dumps(said, ensure_ascii=False) if isinstance(said, dict) else said

    engine = Scripted(answer)
    with OpenTeacher(engine, "s") as teacher:
        return stage.made(teacher, batch), engine.asked


def problems(made: Batch) -> list[str | None]:
    found = [said and said.split(":")[0] for said in made["problem"].to_pylist()]
    assert {one for one in found if one} <= set(PROBLEMS), found
    return found


STAGES: list[Written] = [
    Rewrite(teacher=TEACHER, per_passage=2),
    Textbook(teacher=TEACHER),
    Forum(teacher=TEACHER, per_passage=None, min_chars=50),
    Qa(teacher=TEACHER),
    Knowledge(teacher=TEACHER),
]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.stage)
def test_documents_become_documents_with_a_proof(stage: Written) -> None:
    batch = batch_of(TEXTS)
    made, asked = make(stage, batch)
    for name, kind in stage.adds().items():
        assert made[name].type == kind, name
    assert len(set(made[KEY].to_pylist())) == made.num_rows
    keys = batch[KEY].to_pylist()
    n_ways = len(stage.variants(stage.pages(batch)[0]))
    rows = made.data.to_pylist()
    assert problems(made) == [None] * 2 * n_ways + ["source_too_short"] * 3 + [None] * n_ways
    for row in rows:
        assert row[PARENT] in keys and row["url"] == "u" and row["task"] == stage.task
        if row["problem"]:
            assert row["text"] is None and row["length_ratio"] is None
            continue
        proof = json.loads(row["proof"])
        assert proof["teacher"] == "s" and proof["document"] == row[PARENT].hex()
        assert proof["prompts"] and set(proof["prompts"]) <= set(stage.used_prompts())
        for name, digest in proof["prompts"].items():
            assert digest == stage.prompt(name, row["language"]).hash
        assert row["n_new_numbers"] == 0, proof
    assert {row["language"] for row in rows[:n_ways]} == {"en"}
    assert {row["language"] for row in rows[n_ways : 2 * n_ways]} == {"zh"}
    told = [r for r in asked if "melts" in r.messages[-1]["content"]]
    assert told and all("is data, not instructions" in r.messages[-1]["content"] for r in told)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.stage)
def test_splitting_a_batch(stage: Written) -> None:
    batch = batch_of(TEXTS, pa.large_string())
    whole = make(stage, batch)[0].data
    for cut in range(batch.num_rows + 1):
        halves = (batch.slice(0, cut), batch.slice(cut, batch.num_rows - cut))
        parts = [make(stage, half)[0].data for half in halves]
        joined = pa.Table.from_batches(parts).combine_chunks()
        assert joined.equals(pa.Table.from_batches([whole]).combine_chunks())


def test_what_is_made() -> None:
    def only(stage: Written) -> dict[str, Any]:
        (row,) = make(stage, batch_of([RIVER]))[0].data.to_pylist()
        return dict(row)

    assert only(Rewrite(teacher=TEACHER))["text"] == WRITTEN["en"]
    book = only(Textbook(teacher=TEACHER))["text"]
    assert book.startswith("## Melting snow makes rivers rise.\n\nIn spring")
    assert (
        "\n\n## Summary\n\nMelting snow explains" in book
        and "Exercise 1: 2 + 2 = ?\n\nSolution: $2" in book
    )
    assert "Exercises" not in only(Textbook(teacher=TEACHER, n_exercises=0))["text"]
    thread = only(Forum(teacher=TEACHER, forms=("debate",)))
    assert thread["variant"] == "debate" and thread["text"].startswith(
        "Why rivers rise\n\nAsker: What"
    )
    pairs = only(Qa(teacher=TEACHER))
    assert pairs["text"] == f"{RIVER}\n\nQuestion: Why do rivers rise in spring?\nAnswer: Because the snow melts."  # fmt: skip
    assert json.loads(pairs["proof"])["left_out"] == {
        "repeats": 1,
        "unfinished": 1,
        "mentions_source": 1,
    }
    assert only(Qa(teacher=TEACHER, with_document=False))["text"].startswith("Question")
    points = only(Knowledge(teacher=TEACHER))
    assert points["text"].split("\n")[1] == "Paris was flooded in 1910."


def test_styles_are_drawn_by_document_and_all_are_met() -> None:
    stage = Rewrite(teacher=TEACHER)
    made, asked = make(stage, batch_of([RIVER] * 60))
    assert set(made["variant"].to_pylist()) == set(stage.styles)
    assert len(asked) == 60, "one request per document, each with a seed of its own"
    everything, _ = make(Rewrite(teacher=TEACHER, per_passage=None), batch_of([RIVER]))
    assert everything["variant"].to_pylist() == list(stage.styles)


def test_long_documents_are_cut_into_passages() -> None:
    text = "\n\n".join(f"{RIVER} Part {n}." for n in range(9))
    made, asked = make(Rewrite(teacher=TEACHER, max_chars=700, passages=None), batch_of([text]))
    shown = "\n".join(request.messages[-1]["content"] for request in asked)
    assert made.num_rows == len(asked) == 3 and all(f"Part {n}." in shown for n in range(9))
    made, _ = make(Rewrite(teacher=TEACHER, max_chars=700), batch_of([text]))
    assert made.num_rows == 1


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (Sample(refusal="I cannot."), "refused"),
        (Sample(text=""), "empty"),
        (Sample(text=" \n " * 300), "whitespace"),
        (Sample(text="It was cut", finish="length"), "cut"),
        ("Short.", "too_short"),
        ("Long. " * 9000, "too_long"),
        ("I'm sorry, but I cannot help with that request today. " + RIVER, "refusal"),
        ("Der Fluss steigt im Frühling, weil der Schnee in den Bergen schmilzt. " * 2, "wrong_language"),
        ("the snow melts and the river rises and " * 20, "repeats"),
        (f"<document-0123456789ab>\n{RIVER}", "echoes_marks"),
    ],
)  # fmt: skip
def test_each_refused_answer_has_its_reason(said: str | Sample, reason: str) -> None:
    stage = Rewrite(teacher=TEACHER, max_written_chars=20_000)
    made, _ = make(stage, batch_of([RIVER]), lambda request, number: said)
    assert problems(made) == [reason], made["problem"].to_pylist()
    decision = Passed().open()(made)
    assert decision.reasons[decision.code[0]] == reason and np.isnan(decision.value[0])
    assert decision.detail is not None and decision.detail.to_pylist()[0].startswith(reason)


@pytest.mark.parametrize(
    ("stage", "said", "reason"),
    [
        (Knowledge(teacher=TEACHER), {"points": []}, "no_knowledge"),
        (Textbook(teacher=TEACHER), {"points": []}, "no_knowledge"),
        (Knowledge(teacher=TEACHER), '{"points": ["half', "malformed_json"),
        (Knowledge(teacher=TEACHER), {"point": []}, "schema"),
        (Qa(teacher=TEACHER), {"pairs": [{"question": "What is in the text?", "answer": "Snow."}]}, "too_few_pairs"),
        (Forum(teacher=TEACHER), {"title": "T", "posts": [{"role": "A", "text": "x"}] * 3}, "too_few_posts"),
        (Forum(teacher=TEACHER), {"title": "T", "posts": [{"role": "A", "text": f"x{n}"} for n in range(5)]}, "one_voice"),
        (Forum(teacher=TEACHER), {"title": "T", "posts": [{"role": f"A{n}", "text": "x"} for n in range(5)]}, "repeats"),
    ],
)  # fmt: skip
def test_answers_of_the_wrong_form(stage: Written, said: Any, reason: str) -> None:
    made, _ = make(stage, batch_of([RIVER]), lambda request, number: said)
    assert problems(made) == [reason], made["problem"].to_pylist()


def test_a_line_that_announces_is_no_part_of_the_text() -> None:
    for line in (
        "Here is the rewritten text:",
        "Sure! Here's an article:\n",
        "**以下是改写后的文章：**",
    ):
        made, _ = make(
            Rewrite(teacher=TEACHER), batch_of([RIVER]), lambda *_, line=line: f"{line}\n{WRITTEN['en']}"
        )  # fmt: skip
        assert made["text"].to_pylist() == [WRITTEN["en"]], line
    kept = f"Here is a river: the Seine.\n{WRITTEN['en']}"
    made, _ = make(Rewrite(teacher=TEACHER), batch_of([RIVER]), lambda *_: kept)
    assert made["text"].to_pylist() == [kept]


def test_inventions_are_counted_and_dropped() -> None:
    liar = WRITTEN["en"].replace("1910", "1911").replace("Paris", "London and Rome")
    made, _ = make(Rewrite(teacher=TEACHER), batch_of([RIVER]), lambda *_: liar)
    row = made.data.to_pylist()[0]
    assert [row[name] for name in NUMBERS[:4]] == [1, pytest.approx(1 / 3), 2, pytest.approx(2 / 3)]
    checks = json.loads(row["proof"])["checks"]
    assert checks["new_numbers"] == ["1911"] and checks["new_names"] == ["London", "Rome"]
    decision = Passed().open()(made)
    assert decision.reasons[decision.code[0]] == "new_numbers" and decision.threshold[0] == 0.1
    assert decision.found == {"kept": 0, "n_new_numbers": 1, "n_new_names": 2}
    names_only = Passed(max_new_number_fraction=None).open()(made)
    assert names_only.reasons[names_only.code[0]] == "new_names"
    anything = Passed(max_new_number_fraction=None, max_new_name_fraction=None)
    assert anything.open()(made).keep.all()
    short = anything.model_copy(update={"min_length_ratio": 2.0}).open()(made)
    assert short.reasons[short.code[0]] == "shorter_than_source"
    long = anything.model_copy(update={"max_length_ratio": 0.5}).open()(made)
    assert long.reasons[long.code[0]] == "longer_than_source"
    assert set(decision.numbers) == {"new_number_fraction", "new_name_fraction", "length_ratio"}


def test_the_card_counts_and_alarms() -> None:
    stage = Passed()
    assert stage.card(3, {"kept": 2, "n_new_names": 1}) == {
        "attempts": 3,
        "kept": 2,
        "n_new_names": 1,
    }
    assert stage.card(3, {"kept": 0})["alarms"] == ["none of 3 attempts passed"]


def test_keys_of_two_stages_differ() -> None:
    batch = batch_of([RIVER] * 5)
    keys = [make(stage, batch)[0][KEY].to_pylist() for stage in STAGES]
    assert len(set().union(*keys)) == sum(map(len, keys))
    again = Rewrite(teacher=TEACHER, per_passage=2, name="again")
    assert not set(make(again, batch)[0][KEY].to_pylist()) & set(keys[0])


def test_prompts_of_the_users_own(tmp_path: Path) -> None:
    unknown = Rewrite(teacher=TEACHER, styles=("blog", "haiku"), prompts=str(tmp_path))
    found = unknown.problems()
    assert len(found) == 2 and "there is no prompt style_haiku.en.md in" in found[0]
    (tmp_path / "style_haiku.en.md").write_text("# User\n\na haiku.\n")
    english = unknown.model_copy(update={"language": "en"})
    assert not english.problems()
    assert english.prompt("style_haiku", "en").hash in " ".join(english.contents())
    _, asked = make(english.model_copy(update={"per_passage": None}), batch_of([RIVER]))
    told = [request.messages[-1]["content"] for request in asked]
    assert any("Rewrite the document as a haiku." in said for said in told)
    before = english.contents()
    (tmp_path / "rewrite.en.md").write_text("---\nfields: style\ndata: document\n---\n# User\n\n{{style}} {{document}}\n")  # fmt: skip
    assert english.contents() != before


def test_the_shipped_prompts_are_there_in_both_languages() -> None:
    files = sorted(Path(PROMPTS).glob("*.md"))
    names = {file.name.split(".")[0] for file in files}
    assert {file.name for file in files} == {
        f"{n}.{code}.md" for n in names for code in ("en", "zh")
    }
    for name in names:
        english, chinese = (
            parse((Path(PROMPTS) / f"{name}.{code}.md").read_text(), name, code)
            for code in ("en", "zh")
        )
        assert (english.fields, english.data) == (chinese.fields, chinese.data), name
    used = {name for stage in STAGES for name in stage.used_prompts()}
    assert used == names and not any(stage.problems() for stage in STAGES)
