"""Requests with calls that agree or not, by a scripted teacher."""

import json
import tempfile
from pathlib import Path

from ultrachat.stages.tools import Tools
from ultraclean.document import Batch
from ultraclean.llm import Rule, Teacher
from ultraclean.stage import Stage

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def case() -> tuple[Stage, Batch]:
    path = Path(tempfile.mkdtemp()) / "tools.json"
    path.write_text(json.dumps([{"name": "add", "parameters": SCHEMA}]))
    call = '[{"name": "add", "arguments": {"n": 2}}]'
    other = call.replace("2", "3")
    rules = (
        Rule(pattern="nothing", answers=("I cannot.",), finish="content_filter"),
        Rule(pattern='"request"', answers=(f'{{"request": "What is 2 added?", "calls": {call}}}',)),
        Rule(
            pattern='"thought".*"arguments"', answers=(f'{{"thought": "Add.", "calls": {call}}}',)
        ),
        Rule(pattern="play a tool|扮演", answers=('{"status": "ok", "result": "4"}',)),
        Rule(pattern=".", answers=(f"The answer is four, not {other}.",)),
    )
    teacher = Teacher(engine="scripted", model="scripted", rules=rules)
    texts = ["The river rises in spring.", "春天河水上涨。", None, "", "nothing 😀", "a\r\nb"]
    return Tools(teacher=teacher, tools=str(path), n_tools=1, max_calls=1), Batch.of(text=texts)
