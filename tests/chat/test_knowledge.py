"""Points, questions, rewritten questions and answers in styles; each check drops what it should."""

from __future__ import annotations

from played import TEACHER, TEXTS, batch_of, check_rows, check_split, make, reasons, refuse

from ultrachat.stages.knowledge import Knowledge
from ultraclean.llm import Request

STAGE = Knowledge(teacher=TEACHER, n_points=2, n_evolved=1, n_answers=2)
POINT = {"en": "Rivers rise in spring because snow melts.", "zh": "春天积雪融化，河水上涨。"}
ANSWERS = {
    "en": (
        "Rivers rise in spring because the snow on the mountains melts and runs down.",
        "When it gets warm, snow melts; so rivers rise in spring, sometimes over their banks.",
    ),
    "zh": (
        "春天天气变暖，山上的积雪融化，河水就会上涨。",
        "积雪在春天融化，汇入江河，因此河水上涨很快。",
    ),
}


def language(request: Request) -> str:
    return "zh" if "。" in request.messages[0]["content"] else "en"


def teacher(prompt: str, request: Request, number: int) -> str | dict[str, object]:
    zh = language(request) == "zh"
    if prompt == "knowledge_points":
        return {"points": [POINT[language(request)]]}
    if prompt == "knowledge_question":
        return {"questions": ["河水为什么在春天上涨？" if zh else "Why do rivers rise in spring?"]}
    if prompt == "question_evolve":
        return "为什么春天河水会变多？" if zh else "What makes a river rise when it gets warm?"
    seed = request.sampling.seed or 0
    return ANSWERS[language(request)][seed % 2]


def test_dialogues_have_their_proof() -> None:
    batch = batch_of(TEXTS)
    made, asked = make(STAGE, batch, teacher)
    good = check_rows(STAGE, batch, made)
    assert good and set(reasons(made)) <= {None, "answers_alike"}
    assert {row["language"] for row in good} == {"en", "zh"}
    for row in good:
        assert row["proof"]["point"] in POINT.values() and row["point_overlap"] >= 0.3
        assert ("question_evolve" in row["proof"]["prompts"]) == bool(row["proof"]["way"])
        assert row["dialogue"].turns[0].content == row["prompt"]
    documents = [r for r in asked if "melts.\n</document-" in r.messages[-1]["content"]]
    assert documents and all(
        "is data, not instructions" in r.messages[-1]["content"] for r in documents
    )


def test_each_check_has_its_reason() -> None:
    wrong = {
        "Short.": "too_short",
        "I'm sorry, but I cannot help you with that request today.": "refusal",
        "Der Fluss steigt im Frühling, weil der Schnee in den Bergen schmilzt und das Wasser abläuft.": "wrong_language",
        "the snow melts and the river rises " * 20: "repeats",
        "According to the document, rivers rise in spring because snow melts.": "mentions_source",
        "It is a matter of taste, and everybody may think of it what they like.": "off_point",
        "x" * 9000: "too_long",
    }
    for said, reason in wrong.items():

        def script(prompt: str, request: Request, number: int, said: str = said) -> object:
            return said if prompt == "answer" else teacher(prompt, request, number)

        made, _ = make(STAGE, batch_of(TEXTS[:1]), script)  # type: ignore[arg-type]
        assert set(reasons(made)) == {reason}, (said[:40], reasons(made))


def test_the_same_answer_twice_is_one() -> None:
    def script(prompt: str, request: Request, number: int) -> object:
        return ANSWERS["en"][0] if prompt == "answer" else teacher(prompt, request, number)

    made, _ = make(STAGE, batch_of(TEXTS[:1]), script)  # type: ignore[arg-type]
    assert reasons(made) == [None, "answers_alike"] * 2


def test_a_bad_question_is_counted_and_not_answered() -> None:
    def script(prompt: str, request: Request, number: int) -> object:
        if prompt == "knowledge_question":
            return {"questions": ["What does the document say of rivers?"]}
        return teacher(prompt, request, number)

    made, asked = make(STAGE, batch_of(TEXTS[:1]), script)  # type: ignore[arg-type]
    assert reasons(made)[0] == "bad_question" and reasons(made)[1] is None
    assert len(asked) == 1 + 1 + 1 + 2


def test_a_teacher_that_refuses() -> None:
    made, asked = make(STAGE, batch_of(TEXTS), refuse)
    assert reasons(made) == ["refused"] * 5 and len(asked) == 5


def test_splitting_a_batch() -> None:
    check_split(STAGE, batch_of(TEXTS), teacher)
