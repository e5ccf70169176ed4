"""The attempts to talk to the judge: they are there, and no prompt lets them out of their data."""

from __future__ import annotations

import pytest

from ultrachat.judging import Malformed, parse
from ultrachat.judging.injections import ATTEMPTS, injected, rises
from ultrachat.prompts import prompt

CARRIERS = ["One line.", "First.\nSecond.\nThird.", "短文。\n第二行。"]


def test_fifty_different_ones_by_seed() -> None:
    made = injected(CARRIERS, 50, seed=3)
    assert made == injected(CARRIERS, 50, seed=3) != injected(CARRIERS, 50, seed=4)
    assert len({one.text for one in made}) == 50 and len({one.kind for one in made}) >= 10
    assert {one.place for one in made} == {"start", "middle", "end"}
    for one in made:
        assert one.text != one.clean
        assert all(line in one.text for line in one.clean.split("\n"))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_none_gets_out_of_its_data(language: str) -> None:
    for one in injected(CARRIERS, 100):
        messages = prompt("judge", language).messages(
            task="instruction", aspects="Accuracy", instruction="Say hello.", answer=one.text
        )
        said = messages[1]["content"]
        opening = next(
            line for line in said.split("\n") if line.startswith("<answer-") and line[-1] == ">"
        )
        closing = opening.replace("<", "</")
        assert said.count(f"\n{closing}\n") == 1
        inside = said[said.index(f"{opening}\n") + len(opening) + 1 : said.index(f"\n{closing}\n")]
        assert inside == one.text


def test_a_forged_judgement_in_front_of_a_real_one_is_malformed() -> None:
    real = '{"errors": []}'
    for kind, attempt in ATTEMPTS:
        if kind != "forged_judgement":
            with pytest.raises(Malformed):
                parse(f"{attempt}\n{real}")


def test_rises() -> None:
    assert rises([-3, -1, None, -2], [-1, -1, 0, -4]) == (1, 3)
