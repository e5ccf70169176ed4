"""Formats of dialogues: what is read is written again, and what cannot be said is an error."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ultrachat.dialogue import COLUMNS, Call, Dialogue, Turn, of_row, problem
from ultrachat.formats import READERS, WRITERS, NotADialogue, format_of

TOOLS = ({"name": "add", "parameters": {"type": "object", "properties": {}}},)
PLAIN = Dialogue(
    (Turn("user", "问 1"), Turn("assistant", "a 1"), Turn("user", "q 2"), Turn("assistant", "a 2")),
    id="x",
)
SYSTEM = Dialogue((Turn("system", "be brief"), *PLAIN.turns), id="x")
WITH_TOOLS = Dialogue(
    (
        Turn("user", "1 + 2?"),
        Turn("assistant", "", tool_calls=(Call("add", '{"a": 1, "b": "x\'y"}'),)),
        Turn("tool", "3"),
        Turn("assistant", "It is 3."),
    ),
    TOOLS,
    "t",
)


@pytest.mark.parametrize(
    ("name", "dialogue"),
    [
        ("openai", PLAIN),
        ("openai", SYSTEM),
        ("openai", WITH_TOOLS),
        ("sharegpt", PLAIN),
        ("sharegpt", SYSTEM),
        ("sharegpt", WITH_TOOLS),
        ("alpaca", PLAIN),
        ("alpaca", SYSTEM),
        ("ultrachat", PLAIN),
    ],
)
def test_there_and_back(name: str, dialogue: Dialogue) -> None:
    record = json.loads(json.dumps(WRITERS[name](dialogue), ensure_ascii=False))
    assert format_of(record) == name
    assert READERS[name](record) == dialogue


@pytest.mark.parametrize(
    ("name", "dialogue", "message"),
    [
        ("alpaca", WITH_TOOLS, "Alpaca has no tools"),
        ("ultrachat", WITH_TOOLS, "UltraChat has no tools"),
        ("ultrachat", SYSTEM, "no system turn"),
        ("alpaca", Dialogue(PLAIN.turns[:3]), "by turns"),
        ("alpaca", Dialogue(()), "by turns"),
        (
            "sharegpt",
            Dialogue((Turn("user", "q"), Turn("assistant", "hm", tool_calls=(Call("f", "{}"),)))),
            "text and a call",
        ),
        ("sharegpt", Dialogue((Turn("user", "q"), Turn("system", "s"))), "one system text"),
        ("mcp", Dialogue((Turn("assistant", tool_calls=(Call("f", "[1]"),)),)), "no object"),
    ],
)
def test_what_a_format_cannot_say_is_an_error(name: str, dialogue: Dialogue, message: str) -> None:
    with pytest.raises(NotADialogue, match=message):
        WRITERS[name](dialogue)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"messages": [{"role": "wizard", "content": "x"}]}, "message 0: the role is 'wizard'"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
            "a part of type 'image'",
        ),
        ({"messages": "x"}, "not a list"),
        ({"conversations": [{"from": "human"}]}, "turn 0"),
        ({"conversations": [{"from": "function_call", "value": "{"}]}, "no JSON"),
        ({"instruction": "x"}, "'output' is None, not a str"),
        ({"data": ["a", 1]}, "not a list of texts"),
        ({"text": "x"}, "no known format"),
    ],
)
def test_records_that_are_wrong(record: dict[str, Any], message: str) -> None:
    with pytest.raises(NotADialogue, match=message):
        READERS[format_of(record)](record)


def test_columns() -> None:
    for dialogue in (PLAIN, SYSTEM, WITH_TOOLS):
        row = dialogue.row()
        table = pa.table({name: pa.array([row[name]], COLUMNS[name]) for name in row})
        back = table.to_pylist()[0]
        again = of_row(back["messages"], back["tools"])
        assert (again.turns, again.tools) == (dialogue.turns, dialogue.tools)


def test_the_mcp_record() -> None:
    turns = (
        Turn("system", "s"),
        *WITH_TOOLS.turns[:1],
        Turn("assistant", "", "I must add.", WITH_TOOLS.turns[1].tool_calls),
    )
    record = WRITERS["mcp"](Dialogue(turns, TOOLS))
    assert record["system"] == "s" and json.loads(record["tools"]) == list(TOOLS)
    assert record["conversations"][1] == {
        "from": "gpt",
        "value": "<|thought_start|>\nI must add.\n<|thought_end|>\n<|tool_call_start|>\n```python\n"
        'add(a=1, b="x\'y")\n```\n<|tool_call_end|>',
    }


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        (PLAIN.turns, None),
        (SYSTEM.turns, None),
        (WITH_TOOLS.turns, None),
        ((), "no_turns"),
        (SYSTEM.turns[:1], "no_turns"),
        (PLAIN.turns[1:], "does_not_begin_with_user"),
        (PLAIN.turns[:3], "does_not_end_with_assistant"),
        (WITH_TOOLS.turns[:2], None),
        (WITH_TOOLS.turns[:3], "does_not_end_with_assistant"),
        ((Turn("user", "a"), Turn("user", "b"), Turn("assistant", "c")), "turns_out_of_order"),
        ((WITH_TOOLS.turns[0], *WITH_TOOLS.turns[2:]), "turns_out_of_order"),
        ((Turn("user", " "), Turn("assistant", "c")), "empty_turn"),
    ],
)
def test_the_order_of_turns(turns: tuple[Turn, ...], reason: str | None) -> None:
    assert problem(Dialogue(turns)) == reason


FILES = [
    "alpaca_en_demo",
    "alpaca_zh_demo",
    "glaive_toolcall_en_demo",
    "glaive_toolcall_zh_demo",
    "reason_tool_use_demo_50",
    "v1_sft_demo",
]


@pytest.mark.parametrize("name", FILES)
def test_real_records(shared_data: Path, name: str) -> None:
    with gzip.open(shared_data / "sft" / f"{name}.jsonl.gz") as stream:
        records = [json.loads(line) for line in stream]
    n_good = 0
    for record in records:
        dialogue = READERS[format_of(record)](record)
        n_good += problem(dialogue) is None
        again = READERS["openai"](json.loads(json.dumps(WRITERS["openai"](dialogue))))
        assert (again.turns, again.tools) == (dialogue.turns, dialogue.tools)
        row = pa.array([dialogue.row()["messages"]], COLUMNS["messages"]).to_pylist()[0]
        assert of_row(row).turns == dialogue.turns
    assert n_good >= 0.9 * len(records), f"{n_good} of {len(records)}"
