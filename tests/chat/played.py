"""What the tests of tracks share: documents, and a teacher that answers by the prompt it is asked with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from ultrachat.dialogue import of_row, problem
from ultrachat.stages.passed import Passed
from ultrachat.track import Track
from ultraclean.document import KEY, PARENT, Batch, keys_of
from ultraclean.llm import OpenTeacher, Request, Sample, Sampling, Teacher
from ultraclean.llm.scripted import Scripted

TEXTS = [
    "The river rises in spring, when the snow of the mountains melts.",
    "春天河水上涨，岸边的柳树发芽了。山上的雪融化，流进河里。",
    "",
    None,
    "A 😀 story.\r\nTwo lines of it.",
]
TEACHER = Teacher(engine="scripted", model="s", sampling=Sampling(max_tokens=100))
Answer = str | Sample | dict[str, Any] | None
Script = Callable[[str, Request, int], Answer]
"""`script(prompt, request, sample number)`."""


def batch_of(texts: list[str | None]) -> Batch:
    keys = keys_of("t", "p", np.arange(len(texts)))
    return Batch.of(
        **{KEY: keys, "text": pa.array(texts, pa.large_string()), "url": ["u"] * len(texts)}
    )


def prompt_of(stage: Track, request: Request) -> str:
    """Which of the stage's prompts a request was made with, by the words that begin its system turn."""
    system = request.messages[0]["content"]
    for name in stage.asks:
        for language in ("en", "zh"):
            shipped = stage.prompt(name, language)
            if shipped.system == system and _begins(shipped.user, request.messages[-1]["content"]):
                return name
    raise AssertionError(f"a request by no prompt of {stage.stage}: {request}")


def _begins(template: str, said: str) -> bool:
    return said.startswith(template.split("{{", maxsplit=1)[0][:40])


def make(stage: Track, batch: Batch, script: Script) -> tuple[Batch, list[Request]]:
    """The stage's rows, and every request that reached the teacher."""

    def answer(request: Request, number: int) -> str | Sample | None:
        said = script(prompt_of(stage, request), request, number)
        return json.dumps(said, ensure_ascii=False) if isinstance(said, dict) else said

    engine = Scripted(answer)
    with OpenTeacher(engine, "s") as teacher:
        return stage.made(teacher, batch), engine.asked


def reasons(made: Batch) -> list[str | None]:
    """The reason of each row, None for a dialogue; all of them are reasons of chat.passed."""
    found = [said and said.split(":")[0] for said in made["problem"].to_pylist()]
    assert {one for one in found if one} <= set(Passed.reasons), found
    return found


def check_rows(stage: Track, batch: Batch, made: Batch) -> list[dict[str, Any]]:
    """What holds of every row of every track; returns the good ones."""
    for name, kind in stage.adds().items():
        assert made[name].type == kind, name
    assert len(set(made[KEY].to_pylist())) == made.num_rows
    documents = set(batch[KEY].to_pylist())
    good = []
    for row in made.data.to_pylist():
        assert row[PARENT] in documents and row["url"] == "u" and row["track"] == stage.track
        assert (row["problem"] is None) == (row["messages"] is not None)
        if row["messages"] is None:
            continue
        dialogue = of_row(row["messages"], row["tools"])
        assert problem(dialogue) is None, dialogue
        proof = json.loads(row["proof"])
        assert proof["teacher"] == "s" and proof["document"] == row[PARENT].hex()
        assert proof["prompts"] and proof["checks"]
        for name, digest in proof["prompts"].items():
            assert digest == stage.prompt(name, row["language"]).hash
        good.append({**row, "proof": proof, "dialogue": dialogue})
    return good


def check_split(stage: Track, batch: Batch, script: Script) -> None:
    """Splitting a batch anywhere gives the same rows."""
    whole = make(stage, batch, script)[0].data
    for cut in range(batch.num_rows + 1):
        halves = (batch.slice(0, cut), batch.slice(cut, batch.num_rows - cut))
        parts = [make(stage, half, script)[0].data for half in halves]
        joined = pa.Table.from_batches(parts).combine_chunks()
        assert joined.equals(pa.Table.from_batches([whole]).combine_chunks())


def refuse(prompt: str, request: Request, number: int) -> Sample:
    return Sample(refusal="I cannot.")


def by_prompt(answers: Mapping[str, Answer]) -> Script:
    return lambda prompt, request, number: answers[prompt]
