"""Two scripted judges: errors, none, a malformed judgement, a dialogue that is absent."""

import json

import pyarrow as pa

from ultrachat.dialogue import COLUMNS
from ultrachat.stages.judge import Judge
from ultraclean.document import Batch
from ultraclean.llm import Rule, Teacher
from ultraclean.stage import Stage


def case() -> tuple[Stage, Batch]:
    error = {"error_location": "all", "error_aspect": "Accuracy", "explanation": "It is wrong.",
             "severity": "Major", "score_reduction": 4}  # fmt: skip
    strict = Rule(pattern="wrong", answers=(json.dumps({"errors": [error]}),))
    broken = Rule(pattern="broken", answers=('{"errors": [{}]}',))
    kind = Rule(pattern=".", answers=('{"errors": []}',))
    judges = (
        Teacher(engine="scripted", model="strict", rules=(broken, strict, kind)),
        Teacher(engine="scripted", model="kind", rules=(broken, kind)),
    )
    said = ["right", "wrong", "broken", None, "对的。"]
    messages = [
        text and [{"role": "user", "content": "Say it."}, {"role": "assistant", "content": text}]
        for text in said
    ]
    return Judge(judges=judges, min_score=-1.5), Batch.of(
        messages=pa.array(messages, COLUMNS["messages"])
    )
