"""Real tool calls pass; broken ones, broken anew each time, are all caught."""

from __future__ import annotations

import copy
import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from ultrachat.checks.tools import check_call, check_calls

SEED = random.SystemRandom().randrange(2**32)
ADD = {
    "name": "add",
    "parameters": {
        "type": "dict",
        "properties": {
            "a": {"type": "int"},
            "b": {"type": "float", "enum": [1.5, 2]},
            "words": {"type": "list", "items": {"type": "str"}},
            "any": {"type": "any"},
        },
        "required": ["a"],
    },
}


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"name": "add", "arguments": {"a": 1}}, None),
        ({"name": "add", "arguments": '{"a": 1, "b": 2, "words": ["x"], "any": null}'}, None),
        ('{"name": "add", "arguments": {"a": 1}}', None),
        ('{"name": "add", "arguments": {"a": 1', "malformed_call"),
        ({"tool": "add"}, "malformed_call"),
        ([1], "malformed_call"),
        ({"name": "subtract", "arguments": {}}, "unknown_tool"),
        ({"name": "add", "arguments": '{"a": '}, "malformed_arguments"),
        ({"name": "add", "arguments": [1]}, "malformed_arguments"),
        ({"name": "add", "arguments": {}}, "missing_argument"),
        ({"name": "add", "arguments": {"a": 1, "c": 2}}, "unknown_argument"),
        ({"name": "add", "arguments": {"a": "1"}}, "wrong_argument"),
        ({"name": "add", "arguments": {"a": 1, "b": 3}}, "wrong_argument"),
        ({"name": "add", "arguments": {"a": 1, "words": [1]}}, "wrong_argument"),
        ({"name": "add", "arguments": {"a": True}}, "wrong_argument"),
    ],
)
def test_calls(call: Any, reason: str | None) -> None:
    for tools in ([ADD], [{"type": "function", "function": ADD}]):
        assert check_call(call, tools).reason == reason


def test_the_first_wrong_call_is_told() -> None:
    calls = [{"name": "add", "arguments": {"a": 1}}, {"name": "x"}]
    assert check_calls(calls, [ADD]).detail == "x" and check_calls([], [ADD]).ok


def test_a_tool_whose_schema_is_wrong() -> None:
    tool = {"name": "t", "parameters": {"properties": {"a": {"minimum": "low"}}}}
    assert check_call({"name": "t", "arguments": {"a": 1}}, [tool]).reason == "bad_schema"
    assert check_call({"name": "t"}, [{"name": "t"}]).ok


def broken(
    rng: random.Random, call: dict[str, Any], tool: dict[str, Any]
) -> tuple[Any, str] | None:
    """The call with one thing wrong, and the reason that must be found."""
    call = copy.deepcopy(call)
    properties = tool["parameters"].get("properties", {})
    required = [
        name for name in tool["parameters"].get("required", []) if name in call["arguments"]
    ]
    typed = [
        n
        for n in call["arguments"]
        if properties.get(n, {}).get("type") in ("string", "number", "integer", "boolean")
    ]
    kind = rng.choice(["name", "missing", "extra", "type", "torn", "torn arguments"])
    if kind == "name":
        call["name"] += rng.choice(["s", "_v2", " "])
        return call, "unknown_tool"
    if kind == "missing" and required:
        del call["arguments"][rng.choice(required)]
        return call, "missing_argument"
    if kind == "extra":
        call["arguments"][f"extra_{rng.randrange(100)}"] = 1
        return call, "unknown_argument"
    if kind == "type" and typed:
        name = rng.choice(typed)
        call["arguments"][name] = rng.choice([{"value": 1}, [1], None])
        return call, "wrong_argument"
    text = json.dumps(call)
    if kind == "torn":
        return text[: rng.randrange(1, len(text))], "malformed_call"
    if kind == "torn arguments" and call["arguments"]:
        arguments = json.dumps(call["arguments"])
        return {
            **call,
            "arguments": arguments[: rng.randrange(1, len(arguments))],
        }, "malformed_arguments"
    return None


@pytest.mark.parametrize("language", ["en", "zh"])
def test_real_calls_against_broken_ones(shared_data: Path, language: str) -> None:
    rng = random.Random(f"{SEED} {language}")
    with gzip.open(shared_data / "sft" / f"glaive_toolcall_{language}_demo.jsonl.gz") as stream:
        rows = [json.loads(line) for line in stream]
    n_calls = n_broken = 0
    unfit = []
    for row in rows:
        tools = json.loads(row["tools"])
        for turn in row["conversations"]:
            if turn["from"] != "function_call":
                continue
            n_calls += 1
            verdict = check_call(turn["value"], tools)
            if not verdict.ok:
                unfit.append((turn["value"][:200], verdict))
                continue
            call = json.loads(turn["value"])
            tool = next(tool for tool in tools if tool["name"] == call["name"])
            for _ in range(10):
                made = broken(rng, call, tool)
                if made is not None:
                    n_broken += 1
                    assert check_call(made[0], tools).reason == made[1], f"seed {SEED}: {made}"
    assert n_calls > 100 and n_broken > 5 * n_calls
    assert len(unfit) <= 0.1 * n_calls, unfit
