"""Dialogues, the columns in which tables hold them, and whether their turns are in order."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

ROLES: Final = ("system", "user", "assistant", "tool")

CALL_TYPE: Final = pa.struct(
    [pa.field("id", pa.string()), pa.field("name", pa.string()), pa.field("arguments", pa.string())]
)
MESSAGE_TYPE: Final = pa.struct(
    [
        pa.field("role", pa.string()),
        pa.field("content", pa.string()),
        pa.field("reasoning", pa.string()),
        pa.field("tool_calls", pa.list_(CALL_TYPE)),
        pa.field("tool_call_id", pa.string()),
    ]
)
COLUMNS: Final[Mapping[str, pa.DataType]] = {
    "messages": pa.list_(MESSAGE_TYPE),
    "tools": pa.string(),
    "track": pa.string(),
    "language": pa.string(),
    "proof": pa.string(),
}
"""`tools` is a JSON list; `proof` is JSON: who wrote it, with which prompt, and what checked it."""


@dataclass(frozen=True)
class Call:
    name: str
    arguments: str
    """JSON, as the model wrote it."""
    id: str = ""


@dataclass(frozen=True)
class Turn:
    role: str
    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[Call, ...] = ()
    tool_call_id: str = ""


@dataclass(frozen=True)
class Dialogue:
    turns: tuple[Turn, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    id: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """As the columns `messages` and `tools`."""
        messages = [
            {
                "role": turn.role,
                "content": turn.content,
                "reasoning": turn.reasoning or None,
                "tool_calls": [vars(call) for call in turn.tool_calls] or None,
                "tool_call_id": turn.tool_call_id or None,
            }
            for turn in self.turns
        ]
        tools = json.dumps(list(self.tools), ensure_ascii=False) if self.tools else None
        return {"messages": messages, "tools": tools}


def of_row(messages: Sequence[Mapping[str, Any]], tools: str | None = None) -> Dialogue:
    """A dialogue from the columns `messages` and `tools`."""
    turns = tuple(
        Turn(
            message["role"],
            message["content"] or "",
            message.get("reasoning") or "",
            tuple(
                Call(c["name"], c["arguments"], c["id"] or "")
                for c in message.get("tool_calls") or ()
            ),
            message.get("tool_call_id") or "",
        )
        for message in messages
    )
    return Dialogue(turns, tuple(json.loads(tools)) if tools else ())


def problem(dialogue: Dialogue) -> str | None:
    """What is wrong with the order of turns, as a snake_case reason; None if nothing is."""
    turns = (
        dialogue.turns[1:]
        if dialogue.turns[:1] and dialogue.turns[0].role == "system"
        else dialogue.turns
    )
    if not turns:
        return "no_turns"
    if turns[0].role != "user":
        return "does_not_begin_with_user"
    if turns[-1].role != "assistant":  # a call is an answer too
        return "does_not_end_with_assistant"
    for before, turn in itertools.pairwise(turns):
        after_answer = ("tool",) if before.tool_calls else ("user",)
        after = {"user": ("assistant",), "assistant": after_answer, "tool": ("tool", "assistant")}
        if turn.role not in after.get(before.role, ()):
            return "turns_out_of_order"
    if any(not turn.content.strip() and not turn.tool_calls for turn in turns):
        return "empty_turn"
    return None
