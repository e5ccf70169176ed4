"""Many dialogues with a teacher at once, each at its own pace; and the budget of a run."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from ultraclean.llm import OpenTeacher, Play, Request, Response, TeacherError, responses_in
from ultraclean.llm.scripted import Scripted


def echo(request: Request, number: int) -> str:
    return str(request.messages[-1]["content"])


def counting(number: int, n_turns: int) -> Play[list[str]]:
    said: list[str] = []
    for turn in range(n_turns):
        (response,) = yield [Request.of(f"{number}.{turn}")]
        said.append(response.text or "")
    return said


def test_results_are_in_order_whatever_their_length() -> None:
    with OpenTeacher(Scripted(echo), "s") as teacher:
        told = teacher.play([counting(number, number % 5) for number in range(200)])
        assert told == [[f"{n}.{turn}" for turn in range(n % 5)] for n in range(200)]
        assert teacher.play([]) == []


def test_a_slow_dialogue_holds_up_no_other() -> None:
    ended: list[str] = []

    class Slow(Scripted):
        async def ask(self, request: Request) -> Response:
            while request.messages[-1]["content"].startswith("slow") and not ended:
                await asyncio.sleep(0.01)
            return await super().ask(request)

    def play(name: str, n_turns: int) -> Play[None]:
        for turn in range(n_turns):
            yield [Request.of(f"{name} {turn}")]
        ended.append(name)

    with OpenTeacher(Slow(echo), "s") as teacher:
        teacher.play([play("slow", 1), play("quick", 20)])
    assert ended == ["quick", "slow"]


def test_an_error_in_a_play_ends_all_and_the_teacher_goes_on() -> None:
    def broken() -> Play[list[str]]:
        yield [Request.of("x")]
        raise KeyError("mine")

    with OpenTeacher(Scripted(echo, delay_s=0.05), "s") as teacher:
        with pytest.raises(KeyError, match="mine"):
            teacher.play([broken(), *(counting(n, 3) for n in range(5))])
        assert teacher.play([counting(1, 1)]) == [["1.0"]]


def test_equal_questions_are_asked_once_also_from_two_threads() -> None:
    engine = Scripted(echo, delay_s=0.2)
    with OpenTeacher(engine, "s") as teacher:
        threads = [
            threading.Thread(target=teacher.generate, args=([Request.of("same")] * 3,))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(engine.asked) == 1 and teacher.meter.requests == 6 and teacher.meter.cached == 5


def test_checks_run_beside_each_other() -> None:
    together = threading.Barrier(4, timeout=30)

    def checking() -> Play[int]:
        yield [Request.of("x")]
        return together.wait()  # ends only when four are here

    with OpenTeacher(Scripted(echo), "s") as teacher:
        assert sorted(teacher.play([checking() for _ in range(4)])) == [0, 1, 2, 3]


def test_a_budget_holds_for_all_workers_of_a_run_and_for_its_later_starts(tmp_path: Path) -> None:
    prices = {"prices": (0.0, 1e6), "max_cost": 10.0}  # one per token; an answer here has 1 token
    one = OpenTeacher(Scripted(echo), "s", **prices)  # type: ignore[arg-type]
    other = OpenTeacher(Scripted(echo), "s", **prices)  # type: ignore[arg-type]
    with one, other, responses_in(str(tmp_path)):
        one.generate([Request.of(f"{n}") for n in range(7)])
        time.sleep(0.25)  # workers look for each other's answers five times a second
        other.generate([Request.of(f"1{n}") for n in range(3)])
        time.sleep(0.25)
        with pytest.raises(TeacherError, match="has cost 10, max_cost is 10"):
            one.generate([Request.of("more")])
        assert one.generate([Request.of("3")])[0].cached  # what was paid for stays free
    later = OpenTeacher(Scripted(echo), "s", **prices)  # type: ignore[arg-type]
    with later, responses_in(str(tmp_path)), pytest.raises(TeacherError, match="max_cost is 10"):
        later.generate([Request.of("more")])
