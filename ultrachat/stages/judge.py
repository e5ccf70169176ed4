"""Judges dialogues in the TIGERScore form: a list of errors, each with a reduction; the score is minus the sum.

TIGERScore (Jiang et al. 2024, arXiv 2310.00752), with any teacher, or several different ones whose scores are
averaged (Zhang et al. 2024, arXiv 2406.03248: heterogeneous judges together are more accurate and more stable).
Different on purpose: a malformed judgement says what is wrong with it and is counted, it is no score; aspects
are those of the task; what is judged is delimited as data.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from ultrachat.dialogue import Dialogue, of_row
from ultrachat.judging import ASPECTS, Malformed, parse, schema
from ultrachat.prompts import prompt
from ultraclean.document import Batch
from ultraclean.llm import Constraint, OpenTeacher, Request, Response, Teacher
from ultraclean.stage import Decision, Filter, Resources, at_least, at_most, decide
from ultraclean.text.languages import language_of

Task = Literal[
    "instruction", "qa", "maths", "summary", "translation", "data_to_text", "code", "tools", "dialogue"
]  # fmt: skip


class Judge(Filter):
    version: ClassVar[int] = 2
    stage: ClassVar[str] = "chat.judge"
    paper: ClassVar[str] = "TIGERScore (arXiv 2310.00752); LLMasEvaluator (arXiv 2406.03248)"
    reasons: ClassVar[tuple[str, ...]] = ("not_judged", "judges_disagree", "low_score")

    judges: Teacher | tuple[Teacher, ...] = Field(description="the model that judges, or several")
    task: Task = Field(default="instruction", description="which aspects errors are of")
    min_judges: int = Field(default=1, ge=1, description="so many give a well-formed judgement")
    min_score: float | None = Field(
        default=None, le=0, description="mean score at least; 0 is best"
    )
    max_spread: float | None = Field(
        default=None, ge=0, description="the best and the worst score are so far apart at most"
    )

    def needs(self) -> tuple[str, ...]:
        return ("messages",)

    def adds(self) -> Mapping[str, pa.DataType]:
        return {"judge_score": pa.float64(), "judgement": pa.string()}

    def contents(self) -> tuple[str, ...]:
        return tuple(f"judge.{code} {prompt('judge', code).hash}" for code in ("en", "zh"))

    @property
    def teachers(self) -> tuple[Teacher, ...]:
        return (self.judges,) if isinstance(self.judges, Teacher) else self.judges

    @property
    def resources(self) -> Resources:
        return Resources(gpus=sum(one.resources.gpus for one in self.teachers), model=True)

    def open(self) -> Callable[[Batch], Decision]:
        opened = [teacher.shared() for teacher in self.teachers]
        return lambda batch: self.judged(opened, batch)

    def judged(self, opened: list[OpenTeacher], batch: Batch) -> Decision:
        """The decision on a batch by the open teachers of `judges`."""
        dialogues = [
            None if messages is None else of_row(messages)
            for messages in batch["messages"].to_pylist()
        ]
        rows = [row for row, one in enumerate(dialogues) if one is not None and one.turns]
        said: list[list[dict[str, Any]]] = [[] for _ in dialogues]
        for teacher, judge in zip(opened, self.teachers, strict=True):
            asked = [self._request(dialogues[row], judge) for row in rows]
            for row, response in zip(rows, teacher.generate(asked), strict=True):
                said[row].append({"judge": judge.model, **self._read(response)})
        return self._decision(said)

    def _request(self, dialogue: Dialogue | None, judge: Teacher) -> Request:
        assert dialogue is not None
        *before, last = dialogue.turns
        instruction = "\n\n".join(
            turn.content if len(before) == 1 else f"{turn.role}: {turn.content}" for turn in before
        )
        calls = [f"{call.name}({call.arguments})" for call in last.tool_calls]
        answer = "\n".join([last.content, *calls]).strip()
        language = "zh" if language_of(f"{instruction}\n{answer}"[:2000]) == "zh" else "en"
        messages = prompt("judge", language).messages(
            task=self.task,
            aspects=", ".join(ASPECTS[self.task]),
            instruction=instruction,
            answer=answer,
        )
        constraint = Constraint(json_schema=schema(ASPECTS[self.task]))
        return Request.of(messages, sampling=judge.sampling, constraint=constraint)

    def _read(self, response: Response) -> dict[str, Any]:
        if response.text is None:
            return {"malformed": str(response.problem), "detail": response.detail[:200]}
        try:
            found = parse(response.text, ASPECTS[self.task])
        except Malformed as wrong:
            return {"malformed": wrong.reason, "detail": wrong.detail[:200]}
        return {"score": found.score, "errors": [vars(error) for error in found.errors]}

    def _decision(self, said: list[list[dict[str, Any]]]) -> Decision:
        scores = [[one["score"] for one in each if "score" in one] for each in said]
        mean = np.array([np.mean(each) if each else np.nan for each in scores], dtype=np.float64)
        spread = [max(each) - min(each) if each else np.nan for each in scores]
        measured = {
            "n_judged": np.array([len(each) for each in scores], dtype=np.float64),
            "spread": np.array(spread, dtype=np.float64),
            "score": mean,
        }
        rules = [
            at_least("not_judged", "n_judged", self.min_judges),
            at_most("judges_disagree", "spread", self.max_spread),
            at_least("low_score", "score", self.min_score),
        ]
        texts = [json.dumps(each, ensure_ascii=False) for each in said]
        columns = {
            "judge_score": pa.array(mean, pa.float64(), from_pandas=True),
            "judgement": pa.array(texts, pa.string()),
        }
        found: Counter[str] = Counter({"judgements": sum(map(len, said))})
        found.update(f"malformed_{one['malformed']}" for each in said for one in each if "malformed" in one)  # fmt: skip
        decision = decide(measured, rules, columns)
        return Decision(
            decision.reasons,
            decision.code,
            decision.value,
            decision.threshold,
            decision.numbers,
            decision.columns,
            detail=pa.array([text[:1000] for text in texts], pa.string()),
            found=dict(found),
        )

    def card(self, n_docs: int, found: Mapping[str, int]) -> dict[str, Any]:
        """How many judgements there were, and how many were malformed, by what was wrong."""
        asked = found.get("judgements", 0)
        bad = sum(n for name, n in found.items() if name.startswith("malformed_"))
        alarms = [f"{bad} of {asked} judgements are malformed"] if bad * 2 > asked else []
        return {"dialogues": n_docs, **found, **({"alarms": alarms} if alarms else {})}
