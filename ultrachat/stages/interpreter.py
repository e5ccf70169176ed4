"""Tasks that are solved by running programs on a file, with every step of the way that led there.

UltraChat v2, the code-interpreter part of the tool track (MiniCPM4, arXiv 2506.07900; CodeAct,
Code-Feedback): the teacher writes a task about a file, then thinks, writes a program, sees what it
prints, and so on until it answers. Programs run in the sandbox; those that import other packages or
ask the user something are refused unrun, as failures are; after ten failures a trace is dropped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, ClassVar, Final

from pydantic import Field

from ultrachat.checks.answer import check_prose
from ultrachat.checks.code import code_in
from ultrachat.checks.translation import check_python
from ultrachat.checks.verdict import Verdict
from ultrachat.dialogue import Call, Dialogue, Turn
from ultrachat.rows import Made, failed, rejected
from ultrachat.sandbox import Limits, SandboxUnavailable, available, run_python
from ultrachat.track import Page, Track, record, text
from ultraclean.llm import Play

PYTHON: Final = {
    "name": "python",
    "description": "Runs a Python program; document.txt is in its folder. Returns what it prints.",
    "parameters": {
        "type": "object",
        "properties": {"code": {"type": "string"}},
        "required": ["code"],
        "additionalProperties": False,
    },
}
_STEP: Final = {
    "anyOf": [
        record(thought=text(600, 3), code=text(2000, 3)),
        record(thought=text(600, 3), answer=text(2000, 1)),
    ]
}


class Interpreter(Track):
    stage: ClassVar[str] = "chat.interpreter"
    track: ClassVar[str] = "interpreter"
    paper: ClassVar[str] = "MiniCPM4 (arXiv 2506.07900), UltraChat v2: code interpreter"
    asks: ClassVar[tuple[str, ...]] = ("interpreter_task", "interpreter_step")

    max_failures: int = Field(default=10, ge=1, description="a trace is dropped after so many")
    max_steps: int = Field(default=20, ge=1, description="programs in one trace at most")
    output_chars: int = Field(default=2000, ge=1, description="so much of an output is shown")
    time_s: float = Field(default=10.0, gt=0, description="time of one run in the sandbox")

    def problems(self) -> list[str]:
        missing = available()
        return [*super().problems(), *([missing] if missing else [])]

    def plays(self, page: Page) -> Iterable[Play[list[Made]]]:
        missing = available()
        if missing:
            raise SandboxUnavailable(missing)
        return [self._play(page)]

    def _play(self, page: Page) -> Play[list[Made]]:
        (asked,) = yield [self.ask(page, "interpreter_task", {"document": page.text})]
        if asked.text is None:
            return [failed(page.row, asked)]
        verdict = check_prose(asked.text, page.language, min_chars=5, max_chars=1000)
        if verdict.reason not in (None, "mentions_source"):  # here the document is at hand
            return [rejected(page.row, verdict)]
        turns = [Turn("user", asked.text.strip())]
        n_runs = n_failed = 0
        while True:
            fields = {"dialogue": _told(turns)}
            (reply,) = yield [self.ask(page, "interpreter_step", fields, n_runs, schema=_STEP)]
            if reply.value is None:
                return [failed(page.row, reply)]
            step: dict[str, str] = reply.value
            if "answer" in step:
                break
            if n_runs == self.max_steps:
                return [rejected(page.row, Verdict("too_many_steps"))]
            code = code_in(step["code"])
            ok, output = self._run(page, code)
            n_failed += not ok
            if n_failed == self.max_failures:
                return [rejected(page.row, Verdict("failed_too_often", output[-200:]))]
            call = Call("python", json.dumps({"code": code}, ensure_ascii=False), str(n_runs))
            turns.append(Turn("assistant", "", step["thought"], (call,)))
            turns.append(Turn("tool", output, tool_call_id=call.id))
            n_runs += 1
        if not n_runs:
            return [rejected(page.row, Verdict("no_call", "answered without a program"))]
        if n_failed == n_runs:
            return [rejected(page.row, Verdict("failed", "no program ran"))]
        verdict = check_prose(step["answer"], page.language, max_chars=4000)
        if verdict.reason not in (None, "mentions_source"):
            return [rejected(page.row, verdict)]
        turns.append(Turn("assistant", step["answer"].strip(), step["thought"]))
        checks: dict[str, Any] = {"programs": n_runs, "failures": n_failed, "ran": True}
        proof = self.proof(page, reply, self.asks, checks)
        return [Made(page.row, Dialogue(tuple(turns), (PYTHON,)), page.language, proof)]

    def _run(self, page: Page, code: str) -> tuple[bool, str]:
        verdict = check_python(code)
        if not verdict.ok:
            return False, f"refused: {verdict.reason}: {verdict.detail}"
        ran = run_python(
            code, files={"document.txt": page.whole}, limits=Limits(time_s=self.time_s)
        )
        said = ran.stdout if ran.ok else f"{ran.stdout}{ran.stderr}\n({ran.status})"
        said = said.strip() or "(no output)"
        return ran.ok, said[-self.output_chars :] if not ran.ok else said[: self.output_chars]


def _told(turns: list[Turn]) -> str:
    said = []
    for turn in turns:
        call = "".join(json.loads(one.arguments)["code"] for one in turn.tool_calls)
        said.append(f"{turn.role}: {turn.reasoning}{turn.content}" + (f"\n{call}" if call else ""))
    return "\n\n".join(said)
