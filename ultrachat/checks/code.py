"""Whether a program passes its tests, run in the sandbox.

Tests are a function `check(candidate)` as in HumanEval, or statements with `assert`. That a
program ends without an error proves nothing, since it may exit early: a run counts only when the
word that the harness took from its input before the program began is said at the end.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Final

from ultrachat.checks.verdict import PASS, Verdict
from ultrachat.sandbox import Limits, Ran, run_python

# The word is taken before the program can read it, and said only after the last test.
_HARNESS: Final = """
import sys
def _harness(word):
    scope = {"__name__": "solution"}
    exec(compile(open("solution.py", encoding="utf-8").read(), "solution.py", "exec"), scope)
    exec(compile(open("tests.py", encoding="utf-8").read(), "tests.py", "exec"), scope)
    entry = open("entry.txt").read()
    if entry:
        scope["check"](scope[entry])
    sys.__stdout__.write("\\n" + word + "\\n")
    sys.__stdout__.flush()
_harness(sys.stdin.readline().strip())
"""
_FENCE: Final = re.compile(r"```[ \t]*(?:python|py|Python)?[ \t]*\n(.*?)\n?```", re.DOTALL)


def code_in(answer: str) -> str:
    """The code of an answer: its longest fenced block, or the whole where there is none."""
    blocks = [match[1] for match in _FENCE.finditer(answer)]
    return max(blocks, key=len) if blocks else answer


def run_tests(
    solution: str, tests: str, entry_point: str | None = None, limits: Limits | None = None
) -> Verdict:
    """Runs `tests` after `solution`; reasons: syntax, failed, exited, time, memory, processes, files, output."""
    try:
        compile(solution, "solution.py", "exec")
    except (SyntaxError, ValueError) as error:
        return Verdict("syntax", str(error))
    word = secrets.token_hex(16)
    files = {"solution.py": solution, "tests.py": tests, "entry.txt": entry_point or ""}
    ran = run_python(_HARNESS, stdin=word + "\n", files=files, limits=limits)
    return _verdict(ran, word)


def _verdict(ran: Ran, word: str) -> Verdict:
    if ran.status not in ("ok", "error"):
        return Verdict(ran.status, f"after {ran.seconds:.1f} s")
    if ran.ok and word in ran.stdout.split("\n"):
        return PASS
    last = ran.stderr.strip().split("\n")[-1][:200]
    return Verdict("exited", "before the tests ended") if ran.ok else Verdict("failed", last)


def fraction_passed(
    solution: str, tests: Sequence[str], limits: Limits | None = None
) -> tuple[float, list[Verdict]]:
    """The part of the tests that pass, each run by itself: the reward of MiniCPM4's code track."""
    verdicts = [run_tests(solution, test, limits=limits) for test in tests]
    return sum(verdict.ok for verdict in verdicts) / max(len(verdicts), 1), verdicts


def output_of(program: str, stdin: str = "", limits: Limits | None = None) -> tuple[str, Verdict]:
    """What a program prints: the truth of an output prediction."""
    ran = run_python(program, stdin=stdin, limits=limits)
    if ran.ok:
        return ran.stdout, PASS
    reason = "failed" if ran.status == "error" else ran.status
    return ran.stdout, Verdict(reason, ran.stderr.strip().split("\n")[-1][:200])
