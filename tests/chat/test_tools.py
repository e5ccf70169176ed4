"""Requests, calls that fit and agree, simulated results; and programs that were run on a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from played import TEACHER, TEXTS, batch_of, check_rows, check_split, make, reasons, refuse

from ultrachat.formats import to_mcp
from ultrachat.sandbox import available
from ultrachat.stages.interpreter import Interpreter
from ultrachat.stages.tools import Tools, same_calls
from ultrachat.toollist import read_tools
from ultraclean.errors import DataError
from ultraclean.llm import Request


def tool(name: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {"name": name, "description": f"{name} of a city", "inputSchema": schema}


@pytest.fixture
def stage(tmp_path: Path) -> Tools:
    path = tmp_path / "tools.json"
    names = ["weather", "map", "news", "time", "mayor"]
    path.write_text(json.dumps({"tools": [tool(name) for name in names]}))
    return Tools(
        teacher=TEACHER, tools=str(path), n_tools=1, n_distractors=3, n_turns=2, max_calls=1
    )


def teacher(**changed: Any) -> Any:
    def script(prompt: str, request: Request, number: int) -> Any:
        if prompt in changed:
            return changed[prompt]
        said = request.messages[-1]["content"]
        zh = "。" in request.messages[0]["content"]
        if prompt in ("tools_query", "tools_more"):
            name = json.loads(next(x for x in said.split("\n") if x.startswith('{"name"')))["name"]
            asked = f"请问罗马的{name}是什么？" if zh else f"What is the {name} of Rome?"
            return {"request": asked, "calls": [{"name": name, "arguments": {"city": "Rome"}}]}
        if prompt == "tools_call":
            asked = [x for x in said.split("\n") if x.startswith("user: ")][-1]
            name = next(n for n in ("weather", "map", "news", "time", "mayor") if n in asked)
            call = {"name": name, "arguments": {"city": " rome"}}
            return {"thought": f"The tool {name} knows.", "calls": [call]}
        if prompt == "tools_result":
            return {"status": "ok", "result": "fine"}
        return "罗马一切都好，没有什么特别的。" if zh else "In Rome it is fine, as far as is known."

    return script


def test_dialogues_of_two_turns(stage: Tools) -> None:
    batch = batch_of(TEXTS)
    made, _ = make(stage, batch, teacher())
    good = check_rows(stage, batch, made)
    assert len(good) == 5, reasons(made)
    for row in good:
        turns = row["dialogue"].turns
        assert [t.role for t in turns] == ["user", "assistant", "tool", "assistant"] * 2
        assert turns[1].reasoning and len(row["dialogue"].tools) == 4
        assert turns[2].tool_call_id == turns[1].tool_calls[0].id
        assert "<|tool_call_start|>" in to_mcp(row["dialogue"])["conversations"][1]["value"]
    check_split(stage, batch_of(TEXTS[:3]), teacher())


def test_each_check_has_its_reason(stage: Tools) -> None:
    rome = {"thought": "It knows.", "calls": [{"name": "map", "arguments": {"city": "Oslo"}}]}
    cases: dict[str, dict[str, Any]] = {
        "schema": {"tools_call": {"thought": "none", "calls": []}},
        "calls_disagree": {"tools_call": rome},
        "mentions_source": {"tools_answer": "According to the document it is fine in Rome."},
        "malformed_json": {"tools_query": "no JSON"},
        "too_short": {"tools_answer": "Fine."},
    }
    for reason, changed in cases.items():
        found = set(reasons(make(stage, batch_of(TEXTS[:1]), teacher(**changed))[0]))
        assert found <= {reason, "schema"} and found, (reason, found)
    assert reasons(make(stage, batch_of(TEXTS[:1]), refuse)[0]) == ["refused"]


def test_calls_are_compared_by_value() -> None:
    one = {"name": "f", "arguments": {"a": " Rome", "n": 3, "yes": True}}
    assert same_calls(
        [one], [{"name": "f", "arguments": {"n": "3.0", "a": "rome", "yes": True}}]
    ).ok
    assert not same_calls([one], [one, one]).ok
    assert not same_calls(
        [one], [{"name": "f", "arguments": {"a": "Rome", "n": 3, "yes": False}}]
    ).ok


def test_lists_of_tools(tmp_path: Path, shared_data: Path) -> None:
    path = tmp_path / "t.jsonl"
    lines = [
        {"type": "function", "function": {"name": "a", "parameters": {}}},
        {"tools": json.dumps([tool("b")])},
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    assert [one["name"] for one in read_tools(str(path))] == ["a", "b"]
    path.write_text("{}")
    with pytest.raises(DataError, match="holds no tool"):
        read_tools(str(path))
    path.write_text("{]")
    with pytest.raises(DataError, match="neither JSON nor JSON lines"):
        read_tools(str(path))
    (wrong,) = Tools(teacher=TEACHER, tools=str(tmp_path / "none")).problems()
    assert "there is no such list" in wrong


@pytest.mark.skipif(available() is not None, reason="no sandbox here")
def test_programs_are_run_and_traces_with_ten_failures_dropped() -> None:
    stage = Interpreter(teacher=TEACHER, language="en")
    steps = [
        {"thought": "Read it.", "code": "print(undefined)"},
        {"thought": "Count.", "code": "print(len(open('document.txt').read().split()))"},
        {"thought": "Done.", "answer": "The text has twelve words in all."},
    ]

    def script(prompt: str, request: Request, number: int) -> Any:
        if prompt == "interpreter_task":
            return "How many words does my file have?"
        return steps[request.messages[-1]["content"].count("tool: ")]

    batch = batch_of(TEXTS[:1])
    made, _ = make(stage, batch, script)
    (row,) = check_rows(stage, batch, made)
    assert row["proof"]["checks"] == {"programs": 2, "failures": 1, "ran": True}
    assert (
        "NameError" in row["dialogue"].turns[2].content and row["dialogue"].turns[4].content == "12"
    )

    def failing(prompt: str, request: Request, number: int) -> Any:
        bad = {"thought": "Try.", "code": "import numpy"}
        return "How many words?" if prompt == "interpreter_task" else bad

    made, asked = make(stage, batch, failing)
    assert reasons(made) == ["failed_too_often"] and len(asked) == 1 + 10

    def lazy(prompt: str, request: Request, number: int) -> Any:
        return "How many words?" if prompt == "interpreter_task" else steps[2]

    assert reasons(make(stage, batch, lazy)[0]) == ["no_call"]
