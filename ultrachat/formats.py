"""The file formats of dialogues that people use, read and written.

OpenAI messages, ShareGPT (with function calls and observations), Alpaca, UltraChat's own
`{"id", "data": [user, assistant, ...]}`, and the record of MiniCPM4-MCP (arXiv 2506.07900, section on
MCP; written only). What a format cannot say (Alpaca has no tools, UltraChat no system turn) is an
error that says so, never a silent loss.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from ultrachat.dialogue import ROLES, Call, Dialogue, Turn


class NotADialogue(ValueError):
    """A record is not of the format, or a dialogue cannot be said in it."""


# --- OpenAI messages ----------------------------------------------------------------------------


def from_openai(record: Mapping[str, Any]) -> Dialogue:
    """`{"messages": [{"role", "content", "tool_calls"}], "tools": [...]}`; content may be in parts."""
    listed = _wanted(record, "messages", list)
    turns = tuple(_openai_turn(number, message) for number, message in enumerate(listed))
    return Dialogue(
        turns, _tools(record.get("tools")), str(record.get("id") or ""), _rest(record, "messages")
    )


def _openai_turn(number: int, message: Any) -> Turn:
    role = message.get("role") if isinstance(message, Mapping) else None
    role = {"developer": "system", "function": "tool"}.get(str(role), role)
    if role not in ROLES:
        raise NotADialogue(f"message {number}: the role is {role!r}")
    content, reasoning = message.get("content"), message.get("reasoning_content") or ""
    calls = [_openai_call(call) for call in message.get("tool_calls") or ()]
    if isinstance(content, list):
        parts: dict[str, list[str]] = {"text": [], "reasoning": []}
        for part in content:
            kind, value = part.get("type"), part.get("text", part.get("value"))
            if kind == "tool_call":
                calls += [_openai_call(call) for call in _as_list(_loaded(value))]
            elif kind in parts and isinstance(value, str):
                parts[kind].append(value)
            else:
                raise NotADialogue(f"message {number}: a part of type {kind!r}")
        content, reasoning = "".join(parts["text"]), "".join(parts["reasoning"]) or reasoning
    return Turn(role, content or "", reasoning, tuple(calls), message.get("tool_call_id") or "")


def _openai_call(call: Any) -> Call:
    function = call.get("function", call)
    arguments = function.get("arguments", "{}")
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return Call(function["name"], arguments, call.get("id") or "")


def to_openai(dialogue: Dialogue) -> dict[str, Any]:
    messages = []
    for turn in dialogue.turns:
        message: dict[str, Any] = {"role": turn.role, "content": turn.content}
        if turn.reasoning:
            message["reasoning_content"] = turn.reasoning
        if turn.tool_calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in turn.tool_calls
            ]
        if turn.tool_call_id:
            message["tool_call_id"] = turn.tool_call_id
        messages.append(message)
    return _with_id(
        dialogue,
        {"messages": messages, **({"tools": list(dialogue.tools)} if dialogue.tools else {})},
    )


# --- ShareGPT -----------------------------------------------------------------------------------

_SHAREGPT: Final = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "system": "system",
    "observation": "tool",
    "tool": "tool",
    "function_call": "function_call",
}


def from_sharegpt(record: Mapping[str, Any]) -> Dialogue:
    """`{"conversations": [{"from", "value"}], "system", "tools"}`, as LLaMA-Factory reads it."""
    turns = [Turn("system", record["system"])] if record.get("system") else []
    for number, message in enumerate(_wanted(record, "conversations", list)):
        role = _SHAREGPT.get(message.get("from"))
        if role is None or not isinstance(message.get("value"), str):
            raise NotADialogue(f"turn {number}: it is from {message.get('from')!r}")
        if role == "function_call":
            calls = [_openai_call(call) for call in _as_list(_loaded(message["value"]))]
            turns.append(Turn("assistant", tool_calls=tuple(calls)))
        else:
            turns.append(Turn(role, message["value"]))
    extra = _rest(record, "conversations", "system")
    return Dialogue(tuple(turns), _tools(record.get("tools")), str(record.get("id") or ""), extra)


def to_sharegpt(dialogue: Dialogue) -> dict[str, Any]:
    names = {"user": "human", "assistant": "gpt", "tool": "observation"}
    record: dict[str, Any] = {"conversations": []}
    for number, turn in enumerate(dialogue.turns):
        if turn.role == "system":
            if number:
                raise NotADialogue("ShareGPT has one system text, before the turns")
            record["system"] = turn.content
        elif turn.tool_calls:
            if turn.content:
                raise NotADialogue("ShareGPT cannot say text and a call in one turn")
            calls = [
                {"name": call.name, "arguments": _loaded(call.arguments)}
                for call in turn.tool_calls
            ]
            value = json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)
            record["conversations"].append({"from": "function_call", "value": value})
        else:
            record["conversations"].append({"from": names[turn.role], "value": turn.content})
    if dialogue.tools:
        record["tools"] = json.dumps(list(dialogue.tools), ensure_ascii=False)
    return _with_id(dialogue, record)


# --- Alpaca and UltraChat -----------------------------------------------------------------------


def from_alpaca(record: Mapping[str, Any]) -> Dialogue:
    """`{"instruction", "input", "output", "system", "history": [[user, assistant], ...]}`."""
    asked, given = _wanted(record, "instruction", str), record.get("input") or ""
    turns = [Turn("system", record["system"])] if record.get("system") else []
    for user, assistant in record.get("history") or ():
        turns += [Turn("user", user), Turn("assistant", assistant)]
    turns.append(Turn("user", f"{asked}\n\n{given}" if given else asked))
    turns.append(Turn("assistant", _wanted(record, "output", str)))
    extra = _rest(record, "instruction", "input", "output", "system", "history")
    return Dialogue(tuple(turns), (), str(record.get("id") or ""), extra)


def to_alpaca(dialogue: Dialogue) -> dict[str, Any]:
    """The last exchange as instruction and output, those before it as history."""
    system, turns = _plain(dialogue, "Alpaca")
    pairs = [[turns[at].content, turns[at + 1].content] for at in range(0, len(turns), 2)]
    record: dict[str, Any] = {"instruction": pairs[-1][0], "input": "", "output": pairs[-1][1]}
    if system is not None:
        record["system"] = system
    if pairs[:-1]:
        record["history"] = pairs[:-1]
    return _with_id(dialogue, record)


def from_ultrachat(record: Mapping[str, Any]) -> Dialogue:
    """`{"id", "data": [user, assistant, user, assistant, ...]}`."""
    said = _wanted(record, "data", list)
    if not all(isinstance(text, str) for text in said):
        raise NotADialogue("`data` is not a list of texts")
    turns = tuple(Turn(("user", "assistant")[at % 2], text) for at, text in enumerate(said))
    return Dialogue(turns, (), str(record.get("id") or ""), _rest(record, "data"))


def to_ultrachat(dialogue: Dialogue) -> dict[str, Any]:
    system, turns = _plain(dialogue, "UltraChat")
    if system is not None:
        raise NotADialogue("UltraChat has no system turn")
    return {"id": dialogue.id, "data": [turn.content for turn in turns]}


def _plain(dialogue: Dialogue, name: str) -> tuple[str | None, tuple[Turn, ...]]:
    turns = dialogue.turns
    system = turns[0].content if turns and turns[0].role == "system" else None
    turns = turns[1:] if system is not None else turns
    if dialogue.tools or any(turn.tool_calls or turn.role == "tool" for turn in turns):
        raise NotADialogue(f"{name} has no tools")
    wanted = [("user", "assistant")[at % 2] for at in range(len(turns))]
    if not turns or len(turns) % 2 or [turn.role for turn in turns] != wanted:
        raise NotADialogue(f"{name} has a user turn and an assistant turn by turns")
    return system, turns


# --- MiniCPM4-MCP -------------------------------------------------------------------------------


def to_mcp(dialogue: Dialogue) -> dict[str, Any]:
    """Thought and call between MiniCPM4's marks, the call as Python in a fenced block."""
    names = {"user": "human", "assistant": "gpt", "tool": "tool"}
    record: dict[str, Any] = {
        "conversations": [],
        "tools": json.dumps(list(dialogue.tools), ensure_ascii=False),
    }
    record["system"] = ""
    for turn in dialogue.turns:
        if turn.role == "system":
            record["system"] = turn.content
            continue
        value = turn.content
        if turn.tool_calls:
            lines = "\n".join(_python_call(call) for call in turn.tool_calls)
            value += f"<|tool_call_start|>\n```python\n{lines}\n```\n<|tool_call_end|>"
        if turn.reasoning:
            value = f"<|thought_start|>\n{turn.reasoning}\n<|thought_end|>\n{value}"
        record["conversations"].append({"from": names[turn.role], "value": value})
    return record


def _python_call(call: Call) -> str:
    arguments = _loaded(call.arguments or "{}")
    if not isinstance(arguments, dict):
        raise NotADialogue(f"the arguments of {call.name} are no object")
    return f"{call.name}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"


# --- any ----------------------------------------------------------------------------------------

READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Dialogue]]] = {
    "openai": from_openai,
    "sharegpt": from_sharegpt,
    "alpaca": from_alpaca,
    "ultrachat": from_ultrachat,
}
WRITERS: Final[Mapping[str, Callable[[Dialogue], dict[str, Any]]]] = {
    "openai": to_openai,
    "sharegpt": to_sharegpt,
    "alpaca": to_alpaca,
    "ultrachat": to_ultrachat,
    "mcp": to_mcp,
}


def format_of(record: Mapping[str, Any]) -> str:
    """Which format a record has, by its fields."""
    marks = {
        "messages": "openai",
        "conversations": "sharegpt",
        "instruction": "alpaca",
        "data": "ultrachat",
    }
    for name, found in marks.items():
        if name in record:
            return found
    raise NotADialogue(f"a record with the fields {sorted(record)} is of no known format")


def _wanted(record: Mapping[str, Any], name: str, kind: type) -> Any:
    if not isinstance(record.get(name), kind):
        raise NotADialogue(f"{name!r} is {record.get(name)!r:.60}, not a {kind.__name__}")
    return record[name]


def _tools(tools: Any) -> tuple[Mapping[str, Any], ...]:
    listed = _loaded(tools) if isinstance(tools, str) and tools.strip() else tools
    return tuple(_as_list(listed or []))


def _loaded(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise NotADialogue(f"{text[:60]!r} is no JSON: {error}") from None


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _rest(record: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in (*names, "tools", "id")}


def _with_id(dialogue: Dialogue, record: dict[str, Any]) -> dict[str, Any]:
    return {"id": dialogue.id, **record} if dialogue.id else record
