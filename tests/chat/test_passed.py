"""Dialogues that passed stay; each failure has its reason."""

from __future__ import annotations

import pyarrow as pa

from ultrachat.dialogue import COLUMNS, Dialogue, Turn
from ultrachat.stages.passed import Passed
from ultraclean.document import Batch


def test_reasons() -> None:
    said = Dialogue((Turn("user", "q"), Turn("assistant", "a"))).row()["messages"]
    problems = [
        None,
        "refused: no",
        "cut: reached max_tokens",
        None,
        "made up: x",
        "",
        "no_strict_pass: title",
    ]
    messages = [said, None, None, None, None, said, None]
    batch = Batch.of(problem=problems, messages=pa.array(messages, COLUMNS["messages"]))
    decide = Passed().open()
    found = decide(batch)
    reasons = [found.reasons[code] if code >= 0 else None for code in found.code]
    assert reasons == [None, "refused", "cut", "no_dialogue", "other", None, "no_strict_pass"]
    for cut in range(8):
        parts = [decide(batch.slice(0, cut)), decide(batch.slice(cut, 7 - cut))]
        assert [*parts[0].code, *parts[1].code] == list(found.code)


def test_every_problem_of_a_teacher_is_a_reason() -> None:
    import re
    from pathlib import Path

    import ultraclean.llm.answers
    import ultraclean.llm.openai

    for module in (ultraclean.llm.answers, ultraclean.llm.openai):
        source = Path(str(module.__file__)).read_text()
        named = re.findall(r'(?:_bad\(sample, |Later\(|problem=)"(\w+)"', source)
        assert named and set(named) - {"unreachable", "busy"} <= set(Passed.reasons)
