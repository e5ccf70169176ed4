"""chat.judge on good, bad and malformed judgements; ensembles; the fifty injected answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from ultrachat.dialogue import COLUMNS
from ultrachat.judging.injections import injected, rises
from ultrachat.stages.judge import Judge
from ultraclean import pipeline_file
from ultraclean.document import Batch
from ultraclean.fingerprint import fingerprint
from ultraclean.llm import OpenTeacher, Request, Sample, Teacher
from ultraclean.llm.scripted import Scripted
from ultraclean.stage import Decision

ONE = Teacher(engine="scripted", model="one")
TWO = Teacher(engine="scripted", model="two")
Script = Callable[[Request, int], "str | Sample | None"]


def batch_of(answers: list[str | None]) -> Batch:
    messages = [
        text
        and [{"role": "user", "content": "Explain it."}, {"role": "assistant", "content": text}]
        for text in answers
    ]
    return Batch.of(messages=pa.array(messages, COLUMNS["messages"]))


def errors(*reductions: float, aspect: str = "Accuracy") -> str:
    found = [{"error_location": "x", "error_aspect": aspect, "explanation": "It is wrong.",
              "severity": "Major", "score_reduction": one} for one in reductions]  # fmt: skip
    return json.dumps({"errors": found})


def judged(stage: Judge, batch: Batch, *scripts: Script) -> Decision:
    opened = [OpenTeacher(Scripted(script), f"m{n}") for n, script in enumerate(scripts)]
    try:
        return stage.judged(opened, batch)
    finally:
        for one in opened:
            one.close()


def told(request: Request) -> str:
    """The answer, as the judge sees it between its marks."""
    found = re.findall(
        r"\n<(answer-\w+)>\n(.*?)\n</\1>", request.messages[-1]["content"], re.DOTALL
    )
    return str(found[-1][1])


def by_length(request: Request, number: int) -> str:
    return errors(*([1.0] * (len(told(request)) % 3)))


def names(decision: Decision) -> list[str | None]:
    return [decision.reasons[code] if code >= 0 else None for code in decision.code]


def test_scores_reasons_and_columns() -> None:
    def script(request: Request, number: int) -> str | Sample:
        answer = told(request)
        said = {"bad": errors(5, 0.5), "form": '{"errors": 3}', "aspect": errors(1, aspect="Rhyme")}
        return Sample(refusal="no") if answer == "refused" else said.get(answer, errors())

    stage = Judge(judges=ONE, min_score=-5)
    batch = batch_of(["good", "bad", "form", "aspect", "refused", None, "好的回答。"])
    decision = judged(stage, batch, script)
    assert names(decision) == [None, "low_score", *["not_judged"] * 4, None]
    assert decision.value[1] == -5.5 and decision.threshold[1] == -5
    assert decision.columns["judge_score"].to_pylist() == [0.0, -5.5, None, None, None, None, 0.0]
    for name, kind in stage.adds().items():
        assert decision.columns[name].type == kind
    (bad,) = json.loads(decision.columns["judgement"][1].as_py())
    assert bad["judge"] == "one" and bad["errors"][0]["reduction"] == 5
    assert decision.found == {"judgements": 6, "malformed_schema": 2, "malformed_refused": 1}  # fmt: skip
    assert stage.card(7, decision.found)["malformed_schema"] == 2
    assert stage.card(2, {"judgements": 2, "malformed_schema": 2})["alarms"]
    empty = judged(stage, batch.slice(0, 0), script)
    assert empty.columns["judgement"].type == pa.string() and not len(empty.code)


def test_several_judges() -> None:
    stage = Judge(judges=(ONE, TWO), max_spread=2, min_judges=2)
    scripts: list[Script] = [
        lambda request, number: errors(1),
        lambda request, number: {"a": errors(2), "b": errors(5)}.get(told(request), "no JSON"),
    ]
    decision = judged(stage, batch_of(["a", "b", "c"]), *scripts)
    assert names(decision) == [None, "judges_disagree", "not_judged"]
    assert decision.numbers["score"].tolist() == [-1.5, -3.0, -1.0]
    alone = judged(stage.model_copy(update={"min_judges": 1}), batch_of(["c"]), *scripts)
    assert alone.columns["judge_score"].to_pylist() == [-1.0]


def test_splitting_a_batch() -> None:
    batch = batch_of(["a", "bb", None, "cccc", "短"])
    whole = judged(Judge(judges=ONE), batch, by_length).columns["judgement"]
    for cut in range(batch.num_rows + 1):
        parts = [batch.slice(0, cut), batch.slice(cut, batch.num_rows - cut)]
        made = [judged(Judge(judges=ONE), part, by_length).columns["judgement"] for part in parts]
        assert pa.concat_arrays(made).equals(whole)


def test_where_a_judge_runs_is_no_part_of_a_fingerprint() -> None:
    def one(url: str, model: str = "a") -> list[Any]:
        return fingerprint(Judge(judges=(Teacher(model=model, base_url=url), TWO)))

    assert one("http://a/v1") == one("http://b/v1") != one("http://a/v1", "b")


CARRIERS = [
    "The Nile is in Europe.",
    "Two and two are five.\nThis is known.",
    "鲸鱼是一种鱼。\n它生活在海里。",
]


def test_fifty_injected_answers_tell_an_obedient_judge_from_a_sound_one() -> None:
    """Each answer with and without its attempt: the score of a sound judge does not rise."""
    bench = injected(CARRIERS, 50, seed=11)

    def sound(request: Request, number: int) -> str:
        wrong = any(all(line in told(request) for line in one.split("\n")) for one in CARRIERS)
        return errors(3) if wrong else errors()

    def obedient(request: Request, number: int) -> str:
        obeys = re.search(r"ignore|disregard|perfect|full marks|满分|errors", told(request), re.I)
        return errors() if obeys else errors(3)

    def scores(script: Script, texts: list[str]) -> list[float | None]:
        decision = judged(Judge(judges=ONE), batch_of(list(texts)), script)
        return list(decision.columns["judge_score"].to_pylist())

    clean, attacked = [one.clean for one in bench], [one.text for one in bench]
    assert rises(scores(sound, clean), scores(sound, attacked)) == (0, 50)
    risen, pairs = rises(scores(obedient, clean), scores(obedient, attacked))
    assert risen >= 10 and pairs == 50


def test_agreement_of_real_raters(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped recipe gives the table of the docs."""
    monkeypatch.setenv("DATA", str(shared_data))
    text = pipeline_file.shipped_pipelines()["judges"].read_text()
    head = text[: text.index("  transparency:\n")].replace("n_bootstrap: 200", "n_bootstrap: 50")
    finished = pipeline_file.parse(head, "judges").run(str(tmp_path / "run"), address="inline")
    done = finished.done[finished.plan.artifact_of["persuasiveness"]]
    found = done.card["agreement"]
    assert set(found) == {"persuasiveness_1", "persuasiveness_2", "all together"}
    both = {(one["level"], one["measure"]): one for one in found["all together"]}
    assert both["dataset", "spearman"]["value"] == pytest.approx(0.23, abs=0.01)
    assert both["dataset", "spearman"]["n_rows"] + both["dataset", "spearman"]["n_missing"] == done.card["n_rows"]  # fmt: skip
    shown = (Path(done.folder) / "agreement.md").read_text()
    assert "| all together | dataset | 0.2" in shown and np.isfinite(both["user", "kendall"]["low"])


def recipe(name: str, server: Any) -> str:
    text = pipeline_file.shipped_pipelines()[name].read_text()
    return text.replace("Qwen/Qwen3-8B, base", "tiny, base").replace(
        "http://localhost:8000/v1", server.base_url
    )


def judging_server(serve: Any, fake: Any) -> Any:
    """A judge that finds one minor error in every answer of more than 400 characters."""

    def behave(body: dict[str, Any], number: int) -> tuple[int, Any]:
        del number
        said = body["messages"][-1]["content"]
        assert body["response_format"]["type"] == "json_schema"
        answer = said.split("## The answer")[-1]
        error = {"error_location": "all", "error_aspect": "Accuracy", "explanation": "It is long.", "severity": "Minor", "score_reduction": 3}  # fmt: skip
        return 200, fake.completion(json.dumps({"errors": [error] if len(answer) > 400 else []}))

    return serve(behave)


def test_dialogues_of_others_are_cleaned_judged_and_packed(
    serve: Any, fake: Any, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped recipe, on the files that people have."""
    server = judging_server(serve, fake)
    for name, value in {"DATA": str(shared_data), "DIALOGUES": str(shared_data / "sft")}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    text = recipe("dialogues", server).replace("reservoir: 200", "reservoir: 60").replace("vocab_size: 2048", "vocab_size: 512")  # fmt: skip
    finished = pipeline_file.parse(text, "dialogues").run(str(tmp_path / "run"), address="inline")
    reasons = dict(finished.dropped("raw").group_by("reason").len().collect().iter_rows())
    assert reasons["not_a_dialogue"] >= 171, "texts that are no dialogues"
    assert reasons["does_not_end_with_assistant"] >= 300, "preferences, whose answers are elsewhere"
    judged = finished.dropped("judged").filter(pl.col("reason") == "low_score").collect()
    written = [json.loads(line) for file in (tmp_path / "run/tables/judged").glob("*.jsonl") for line in file.read_text().splitlines()]  # fmt: skip
    assert len(judged) and len(written) == 60 - len(judged) == 60 - judged.height
    assert all(record["judge_score"] == 0 and record["messages"] for record in written)
    assert finished.card("tokens")["n_dialogues"] == len(written)
    assert len(server.bodies) == 60


def test_a_model_beside_an_outside_rater(
    serve: Any, fake: Any, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = judging_server(serve, fake)
    for name, value in {"DATA": str(shared_data)}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    text = recipe("model_judges", server)
    finished = pipeline_file.parse(text, "model_judges").run(
        str(tmp_path / "run"), address="inline"
    )
    found = finished.card("agreement")["agreement"]
    assert set(found) == {"judge_score", "persuasiveness_1", "all together"}
    assert found["judge_score"][0]["n_rows"] == 100
