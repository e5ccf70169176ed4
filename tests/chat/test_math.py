"""Problems whose answers agree; what does not agree, is too easy or falls at reflection goes."""

from __future__ import annotations

import pytest
from played import TEACHER, TEXTS, batch_of, check_rows, check_split, make, reasons, refuse

from ultrachat.checks.maths.agreement import agreement
from ultrachat.stages.math import LEVELS, TOPICS, Math
from ultraclean.llm import Request, Sample

STAGE = Math(teacher=TEACHER, n_paths=2, n_samples=2, keep_easy=1.0)
PROBLEM = "A farmer has 12 cows and buys half as many again. How many has he now?"


def teacher(
    answers: tuple[str, ...] = ("18", "\\frac{36}{2}"), gold: str = "18", reflected: str = "18"
) -> object:
    def script(prompt: str, request: Request, number: int) -> str | dict[str, object]:
        if prompt in ("math_problem", "math_from_document"):
            return {"problems": [{"problem": PROBLEM, "answer": gold}]}
        if prompt == "math_reflect":
            return f"Twelve and six are eighteen, so it stands. \\boxed{{{reflected}}}"
        return f"Half of 12 is 6, and 12 + 6 is the sum. So \\boxed{{{answers[number % len(answers)]}}}"

    return script


def run(script: object, stage: Math = STAGE, n: int = 1) -> list[str | None]:
    made, _ = make(stage, batch_of(TEXTS[:n]), script)  # type: ignore[arg-type]
    return reasons(made)


def test_what_agrees_is_kept_with_its_proof() -> None:
    batch = batch_of(TEXTS)
    made, _ = make(STAGE, batch, teacher())  # type: ignore[arg-type]
    good = check_rows(STAGE, batch, made)
    assert len(good) == 2 * 4  # two paths each; the Chinese document has English answers
    assert reasons(made).count("wrong_language") == 2
    for row in good:
        proof = row["proof"]
        assert proof["checks"]["agreeing"] == 4 and row["pass_rate"] == 1.0
        assert proof["topic"] in TOPICS["en"] and proof["level"] in LEVELS["en"]
        assert row["dialogue"].turns[1].content.count("\\boxed") == 2  # solution and reflection
    assert len({row["proof"]["path"] for row in good[:2]}) == 2


def test_each_check_has_its_reason() -> None:
    assert run(teacher(answers=("18", "17"))) == [None, None]  # two of four agree
    assert run(teacher(answers=("1", "2")), STAGE.model_copy(update={"min_agreement": 0.6})) == [
        "no_agreement"
    ]
    assert run(teacher(gold="17")) == ["writer_disagrees"]
    assert run(teacher(reflected="17")) == ["reflection_disagrees"] * 2
    easy = STAGE.model_copy(update={"keep_easy": 0.0})
    assert run(teacher(), easy) == ["easy_sampled_down"]
    assert run(teacher(answers=("18", "5")), easy) == [None, None]  # pass rate one half is not easy
    assert set(run(refuse, n=5)) == {"refused"}


def test_solutions_without_an_answer() -> None:
    def script(prompt: str, request: Request, number: int) -> object:
        if prompt == "math_solution":
            return "I would have to think about that."
        return teacher()(prompt, request, number)  # type: ignore[operator]

    assert run(script) == ["no_answer"]

    def mute(prompt: str, request: Request, number: int) -> object:
        return Sample(text="") if prompt == "math_solution" else teacher()(prompt, request, number)  # type: ignore[operator]

    assert run(mute) == ["empty"]


def test_agreement_is_by_meaning() -> None:
    said = ["so \\boxed{0.5}", "\\boxed{\\frac12}", "\\boxed{2}", "no idea", "the answer is 1/2."]
    found = agreement(said)
    assert found.members == (0, 1, 4) and found.answer == "0.5"
    assert agreement(["", "none"]).answer is None


def test_the_grid_is_sound() -> None:
    cells = [STAGE.cell(page) for page in STAGE.pages(batch_of(["text"] * 300))]
    assert {cell.topic for cell in cells} == set(TOPICS["en"])
    high = {
        "differential geometry",
        "linear algebra",
        "ordinary and partial differential equations",
    }
    assert all(cell.level == "university" for cell in cells if cell.topic in high)
    assert len({cell.form for cell in cells}) == 3
    with pytest.raises(ValueError, match="n_paths"):
        Math(teacher=TEACHER, n_paths=5)


def test_splitting_a_batch() -> None:
    check_split(STAGE, batch_of(TEXTS), teacher())  # type: ignore[arg-type]
