"""Nothing is paid twice: responses kept by content, by several workers, after `kill -9`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from ultraclean import storage
from ultraclean.llm import (
    Constraint,
    OpenTeacher,
    Request,
    Response,
    Rule,
    Sample,
    Sampling,
    Teacher,
    responses_in,
    spent,
)
from ultraclean.llm.cache import Cache
from ultraclean.llm.scripted import Scripted


def echo(request: Request, number: int) -> str:
    return f"{request.messages[-1]['content']} {number}"


def test_the_second_time_is_free(tmp_path: Path) -> None:
    requests = [Request.of(f"q{number}", n=2) for number in range(50)]
    with responses_in(str(tmp_path)):
        with OpenTeacher(Scripted(echo), "m") as first:
            paid = first.generate(requests)
        with OpenTeacher(engine := Scripted(echo), "m") as second:
            free = second.generate(requests)
            assert engine.asked == [] and second.meter.cached == 50
            assert second.meter.completion_tokens == 0 < first.meter.completion_tokens
    assert [r.samples for r in free] == [r.samples for r in paid]
    assert all(r.cached for r in free) and not any(r.cached for r in paid)
    assert spent(str(tmp_path))["m"]["responses"] == 50


def test_equal_questions_are_asked_once() -> None:
    with OpenTeacher(engine := Scripted(echo), "m") as teacher:
        responses = teacher.generate([Request.of("same")] * 5)
    assert len(engine.asked) == 1 and {r.text for r in responses} == {"same 0"}
    assert [r.cached for r in responses] == [False, True, True, True, True]


@pytest.mark.parametrize(
    "other",
    [
        Request.of("p"),
        Request.of("q", system="s"),
        Request.of("q", sampling=Sampling(seed=1)),
        Request.of("q", n=2),
        Request.of("q", logprobs=0),
        Request.of("q", tools=({"name": "t"},)),
        Request.of("q", constraint=Constraint(choice=("q",))),
        Request.of("q", constraint=Constraint(regex="q")),
    ],
)
def test_whatever_differs_is_another_question(other: Request) -> None:
    assert Request.of("q").key("m") != other.key("m")
    assert Request.of("q").key("m") != Request.of("q").key("n")
    assert Request.of("q").key("m") == Request.of([{"content": "q", "role": "user"}]).key("m")


def test_failures_are_asked_again_and_bad_answers_are_not(tmp_path: Path) -> None:
    class Failing(Scripted):
        async def ask(self, request: Request) -> Response:
            await super().ask(request)
            return Response(problem="server_error")

    request = Request.of("q", constraint=Constraint(choice=("a",)))
    with responses_in(str(tmp_path)):
        for engine, problem in (
            (Failing(), "server_error"),
            (Scripted(lambda request, number: "b"), "not_a_choice"),
            (Scripted(lambda request, number: "a"), "not_a_choice"),
        ):
            with OpenTeacher(engine, "m") as teacher:
                assert teacher.generate([request])[0].problem == problem


def test_everything_a_sample_has_is_kept(tmp_path: Path) -> None:
    sample = Sample(
        text="文 \n\x00 😀",
        finish="tool_calls",
        reasoning="because",
        tool_calls=({"id": "1", "name": "t", "arguments": '{"a": 1}'},),
        logprobs=({"token": "a", "logprob": -1.0, "top": [["a", -1.0]]},),
    )
    cache = Cache(str(tmp_path))
    cache.put("ab" * 16, "m", Response((sample,), model="m-v2", attempts=3))
    cache.close()
    kept = Cache(str(tmp_path)).get("ab" * 16)
    assert kept is not None and kept.samples == (sample,)
    assert (kept.model, kept.attempts, kept.cached) == ("m-v2", 3, True)


def test_workers_see_each_other(tmp_path: Path) -> None:
    first, second = Cache(str(tmp_path)), Cache(str(tmp_path))
    first.put("00" * 16, "m", Response((Sample("a"),)))
    second._refreshed = 0.0
    second.refresh()
    first.put("11" * 16, "m", Response((Sample("b"),)))
    second._refreshed = 0.0
    second.refresh()
    assert [second.get(key * 16).text for key in ("00", "11")] == ["a", "b"]  # type: ignore[union-attr]


def test_half_a_line_is_no_response(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path))
    cache.put("00" * 16, "m", Response((Sample("a"),)))
    cache.put("11" * 16, "m", Response((Sample("b"),)))
    cache.close()
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for cut in range(len(whole)):
        file.write_bytes(whole[:cut])
        again = Cache(str(tmp_path))
        found = [again.get(key * 16) is not None for key in ("00", "11")]
        assert found == [cut > whole.index(b"\n"), False]


def test_kill_9_loses_no_answer_that_came(tmp_path: Path) -> None:
    script = """
import os, sys, time
from ultraclean.llm import OpenTeacher, Request, responses_in
from ultraclean.llm.scripted import Scripted
with responses_in(sys.argv[1]), OpenTeacher(Scripted(lambda r, n: "a"), "m") as teacher:
    for number in range(100):
        teacher.generate([Request.of(str(number))])
    print("said", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"said\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with responses_in(str(tmp_path)), OpenTeacher(engine := Scripted(echo), "m") as teacher:
        teacher.generate([Request.of(str(number)) for number in range(101)])
    assert [request.messages[0]["content"] for request in engine.asked] == ["100"]


def test_an_object_store(s3_folder: str) -> None:
    folder = storage.join(s3_folder, "responses")
    requests = [Request.of(str(number)) for number in range(150)]
    with responses_in(folder):
        with OpenTeacher(Scripted(echo), "m") as teacher:
            teacher.generate(requests)
            teacher.generate(requests)
            assert teacher.meter.cached == 150
        with OpenTeacher(engine := Scripted(echo), "m") as teacher:
            assert [r.text for r in teacher.generate(requests)] == [f"{n} 0" for n in range(150)]
    assert engine.asked == [] and 2 <= len(storage.names_in(folder)) <= 4


def test_threads_share_a_teacher(tmp_path: Path) -> None:
    with OpenTeacher(engine := Scripted(echo, delay_s=0.01), "m") as teacher:

        def work(start: int) -> None:
            with responses_in(str(tmp_path)):
                teacher.generate([Request.of(str(number)) for number in range(start, start + 20)])

        threads = [threading.Thread(target=work, args=(20 * number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(engine.asked) == 160 and spent(str(tmp_path))["m"]["responses"] == 160


# --- the scripted teacher -----------------------------------------------------------------------


def test_rules_answer_by_pattern() -> None:
    settings: dict[str, Any] = {
        "engine": "scripted",
        "model": "s",
        "rules": [
            {"pattern": r"capital of (\w+)", "answers": [r"The capital of \1.", "Ask an atlas."]},
            {"pattern": "list", "answers": [r'{"items": ["\d"]}']},
            {"pattern": ".", "answers": ["no"], "finish": "content_filter"},
        ],
    }
    teacher = Teacher(**settings)
    assert Teacher(**teacher.model_dump()) == teacher
    with teacher.open() as opened:
        asked = [Request.of("capital of France?", n=2), Request.of("list"), Request.of("other")]
        first, second, third = opened.generate(asked)
    assert [s.text for s in first.samples] == ["The capital of France.", "Ask an atlas."]
    assert second.text == r'{"items": ["\d"]}'
    assert third.problem == "refused"


def test_other_rules_are_another_teacher(tmp_path: Path) -> None:
    with responses_in(str(tmp_path)):
        for said in ("one", "two", "one"):
            rules = (Rule(pattern=".", answers=(said,)),)
            with Teacher(engine="scripted", model="s", rules=rules).open() as opened:
                assert opened.generate([Request.of("q")])[0].text == said
        assert opened.meter.cached == 1


def test_without_a_rule_the_answer_has_the_form(tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {
            "level": {"enum": ["easy", "hard"]},
            "points": {"type": "array", "items": {"type": "string"}, "minItems": 2},
            "score": {"type": "integer", "minimum": 3, "maximum": 4},
            "share": {"type": "number"},
            "flag": {"type": "boolean"},
        },
        "required": ["level", "points", "score", "share", "flag"],
    }
    requests = [
        Request.of(f"{number}", constraint=Constraint(json_schema=schema)) for number in range(20)
    ]
    requests.append(Request.of("q", constraint=Constraint(choice=("yes", "no"))))
    with Teacher(engine="scripted", model="s").open() as opened, responses_in(str(tmp_path)):
        responses = opened.generate(requests)
        assert [r.problem for r in responses] == [None] * 21
        assert opened.generate([Request.of("free text")])[0].problem == "empty"
    replay = Teacher(engine="scripted", model="s", recording=str(tmp_path))
    with replay.open() as opened:
        assert [r.samples for r in opened.generate(requests)] == [r.samples for r in responses]
        assert opened.generate([Request.of("new")])[0].problem == "not_recorded"


def test_settings_that_contradict_are_refused() -> None:
    with pytest.raises(ValueError, match="rules and recording belong to engine: scripted"):
        Teacher(model="m", rules=(Rule(pattern="a", answers=("b",)),))
    with pytest.raises(ValueError, match="max_cost needs"):
        Teacher(model="m", max_cost=3)
    with pytest.raises(ValueError, match="one of json_schema, choice and regex"):
        Constraint()
