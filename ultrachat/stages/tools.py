"""Dialogues with tools: requests, thoughts, calls that fit their schemas, simulated results, answers.

UltraChat v2, the tool track (MiniCPM4, arXiv 2506.07900): tools are drawn from a list (MCP tool lists or
OpenAI functions) with distractors beside them; the teacher writes a request and the calls that it takes,
and, without having seen these, answers the request with a thought and calls of its own. A dialogue is
kept when all calls fit their JSON schemas and both sides make the same calls (MiniCPM4-MCP's comparison:
names, argument names, values without case and blanks). Several calls are made in parallel; turns follow
one another. `write.jsonl` of `ultrachat.formats.to_mcp` gives the MiniCPM4-MCP record.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from ultrachat.checks.answer import check_prose
from ultrachat.checks.tools import check_calls, parameters_of
from ultrachat.checks.verdict import PASS, Verdict
from ultrachat.dialogue import Call, Dialogue, Turn
from ultrachat.rows import Made, failed, rejected
from ultrachat.toollist import read_tools
from ultrachat.track import Page, Track, record, text
from ultraclean import storage
from ultraclean.errors import DataError
from ultraclean.llm import Play, Response

Tool = Mapping[str, Any]


class Tools(Track):
    stage: ClassVar[str] = "chat.tools"
    track: ClassVar[str] = "tools"
    paper: ClassVar[str] = "MiniCPM4 (arXiv 2506.07900), UltraChat v2: tools; MiniCPM4-MCP"
    extras: ClassVar[Mapping[str, str]] = {"jsonschema": '"ultraclean-data[chat]"'}
    asks: ClassVar[tuple[str, ...]] = (
        "tools_query",
        "tools_more",
        "tools_call",
        "tools_result",
        "tools_answer",
    )

    tools: str = Field(
        description="a JSON or JSON lines file of tools: MCP tool lists, OpenAI functions, or records with `tools`"
    )
    n_tools: int = Field(default=2, ge=1, description="tools that a request is written for")
    n_distractors: int = Field(default=3, ge=0, description="further tools that are offered")
    max_calls: int = Field(default=2, ge=1, description="calls in one turn at most")
    n_turns: int = Field(default=1, ge=1, description="requests in one dialogue")
    agree: bool = Field(
        default=True, description="the calls of the answering side must be those of the request's"
    )

    def files(self) -> tuple[str, ...]:
        return (self.tools,)

    def problems(self) -> list[str]:
        found = super().problems()
        try:
            if storage.is_local(self.tools):
                self._tools()
        except DataError as error:
            found.append(str(error))
        return found

    def _tools(self) -> tuple[Tool, ...]:
        tools = read_tools(self.tools)
        if len(tools) < self.n_tools:
            raise DataError(f"{self.tools} has {len(tools)} tools, n_tools is {self.n_tools}")
        return tools

    def plays(self, page: Page) -> Iterable[Play[list[Made]]]:
        return [self._play(page)]

    def _play(self, page: Page) -> Play[list[Made]]:
        rng = page.rng(1)
        known = self._tools()
        drawn = rng.sample(known, min(len(known), self.n_tools + self.n_distractors))
        wanted, offered = drawn[: self.n_tools], list(drawn)
        rng.shuffle(offered)
        turns: list[Turn] = []
        reply = Response()
        for number in range(self.n_turns):
            n_calls = rng.randint(1, self.max_calls)
            ended = yield from self._turn(page, number, wanted, offered, n_calls, turns)
            if isinstance(ended, Made):
                return [ended]
            reply = ended
        used = [name for name in self.asks if self.n_turns > 1 or name != "tools_more"]
        checks = {"calls_fit": True, "calls_agree": self.agree, "turns": self.n_turns}
        proof = self.proof(page, reply, used, checks, tools=[tool["name"] for tool in offered])
        dialogue = Dialogue(tuple(turns), tuple(offered))
        return [Made(page.row, dialogue, page.language, proof)]

    def _turn(
        self,
        page: Page,
        number: int,
        wanted: Sequence[Tool],
        offered: Sequence[Tool],
        n_calls: int,
        turns: list[Turn],
    ) -> Play[Made | Response]:
        """One request with its calls, results and answer, added to the turns; or why there is none."""
        fields: dict[str, Any] = {"tools": _shown(wanted), "n_calls": n_calls}
        name = "tools_more" if turns else "tools_query"
        fields["dialogue" if turns else "document"] = _told(turns) if turns else page.text
        schema = record(request=text(600, 5), calls=_calls_schema(wanted, n_calls))
        (asked,) = yield [self.ask(page, name, fields, number, schema=schema)]
        if asked.value is None:
            return failed(page.row, asked)
        request, gold = asked.value["request"].strip(), asked.value["calls"]
        verdict = check_calls(gold, wanted)
        if verdict.ok:
            verdict = check_prose(request, page.language, min_chars=5, max_chars=600)
        if not verdict.ok:
            return rejected(page.row, verdict)
        turns.append(Turn("user", request))

        fields = {"tools": _shown(offered), "dialogue": _told(turns)}
        schema = record(thought=text(600, 5), calls=_calls_schema(offered, self.max_calls))
        (called,) = yield [self.ask(page, "tools_call", fields, number, schema=schema)]
        if called.value is None:
            return failed(page.row, called)
        calls = called.value["calls"]
        verdict = check_calls(calls, offered)
        if verdict.ok and not calls:
            verdict = Verdict("no_call")
        if verdict.ok and self.agree:
            verdict = same_calls(calls, gold)
        if not verdict.ok:
            return rejected(page.row, verdict)
        return (yield from self._answered(page, number, offered, called.value, turns))

    def _answered(
        self,
        page: Page,
        number: int,
        offered: Sequence[Tool],
        called: Mapping[str, Any],
        turns: list[Turn],
    ) -> Play[Made | Response]:
        by_name = {tool["name"]: tool for tool in offered}
        calls = called["calls"]
        results = yield [
            self.ask(
                page,
                "tools_result",
                {
                    "tool": json.dumps(by_name[call["name"]], ensure_ascii=False),
                    "arguments": json.dumps(call["arguments"], ensure_ascii=False),
                },
                100 * number + at,
                schema=RESULT,
            )
            for at, call in enumerate(calls)
        ]
        made = [
            Call(call["name"], json.dumps(call["arguments"], ensure_ascii=False), f"{number}-{at}")
            for at, call in enumerate(calls)
        ]
        turns.append(Turn("assistant", "", called["thought"].strip(), tuple(made)))
        for call, result in zip(made, results, strict=True):
            if result.text is None:
                return failed(page.row, result)
            turns.append(Turn("tool", result.text, tool_call_id=call.id))
        (reply,) = yield [self.ask(page, "tools_answer", {"dialogue": _told(turns)}, number)]
        if reply.text is None:
            return failed(page.row, reply)
        verdict = check_prose(reply.text, page.language, min_chars=10, max_chars=4000)
        if not verdict.ok:
            return rejected(page.row, verdict)
        turns.append(Turn("assistant", reply.text.strip()))
        return reply


RESULT: Mapping[str, Any] = {
    "type": "object",
    "properties": {"status": {"type": "string"}, "result": {"type": "string", "maxLength": 400}},
    "required": ["status", "result"],
}


def _shown(tools: Sequence[Tool]) -> str:
    return "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)


def _told(turns: Sequence[Turn]) -> str:
    """The dialogue so far, for a prompt."""
    lines = []
    for turn in turns:
        calls = "".join(f" {call.name}({call.arguments})" for call in turn.tool_calls)
        lines.append(f"{turn.role}: {turn.reasoning}{turn.content}{calls}")
    return "\n".join(lines)


def _calls_schema(tools: Sequence[Tool], at_most: int) -> dict[str, Any]:
    """A list of calls, each of one of the tools with arguments of its schema."""
    each = [
        record(name={"const": tool["name"], "type": "string"}, arguments=parameters_of(tool))
        for tool in tools
    ]
    items = each[0] if len(each) == 1 else {"anyOf": each}
    return {"type": "array", "items": items, "minItems": 1, "maxItems": at_most}


def same_calls(calls: Sequence[Mapping[str, Any]], gold: Sequence[Mapping[str, Any]]) -> Verdict:
    """Whether both lists make the same calls, in any order; reason calls_disagree."""
    made, wanted = (sorted(_plain(call) for call in each) for each in (calls, gold))
    return PASS if made == wanted else Verdict("calls_disagree", f"{made} are not {wanted}"[:300])


def _plain(call: Mapping[str, Any]) -> str:
    arguments = {name: _value(value) for name, value in call["arguments"].items()}
    return f"{call['name']} {json.dumps(arguments, sort_keys=True, ensure_ascii=False)}"


def _value(value: Any) -> Any:
    """Strings without case and blanks around, numbers by value, as MiniCPM4-MCP compares them."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        value = value.strip().lower()
        try:
            return float(value)
        except ValueError:
            return value
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, list):
        return [_value(one) for one in value]
    if isinstance(value, dict):
        return {name: _value(one) for name, one in value.items()}
    return value
