"""Programming tasks with tests that were run, and what can be made of them.

UltraChat v2, the code track (MiniCPM4, arXiv 2506.07900): a grid of context x category x difficulty; the
teacher writes a task, a solution and unit tests after a snippet; then the task as it is, output
prediction, diagnosis of a fault, rewriting, and translation to another language. The sandbox decides:
a task is kept when its solution passes its tests and an empty function does not; an answer when it
passes them, prints what was really printed, or (translations) has the shape of the other language.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from pydantic import Field

from ultrachat.checks.code import code_in, output_of, run_tests
from ultrachat.checks.mutate import mutants
from ultrachat.checks.translation import check_python, check_translation
from ultrachat.checks.verdict import PASS, Verdict
from ultrachat.dialogue import Dialogue, Turn
from ultrachat.rows import Made, failed, rejected
from ultrachat.sandbox import Limits, SandboxUnavailable, available
from ultrachat.track import Page, Track, record, text
from ultraclean.llm import Play, Request

CONTEXTS: Final[Mapping[str, tuple[str, ...]]] = {
    "en": (
        "a single function",
        "a part of an algorithm",
        "a small class",
        "processing of records",
        "text processing",
    ),
    "zh": ("单个函数", "算法的一部分", "小型类", "数据记录处理", "文本处理"),
}
CATEGORIES: Final[Mapping[str, tuple[str, ...]]] = {
    "en": ("completion by meaning", "locating a bug", "understanding of complex logic"),
    "zh": ("语义补全", "定位错误", "理解复杂逻辑"),
}
DIFFICULTIES: Final[Mapping[str, tuple[str, ...]]] = {
    "en": ("easy", "medium", "hard"),
    "zh": ("简单", "中等", "困难"),
}
REWRITES: Final[Mapping[str, tuple[str, ...]]] = {
    "en": (
        "shorter",
        "faster, if it can be",
        "more readable, with names that speak",
        "without recursion, or without loops",
    ),
    "zh": ("更简短", "尽可能更快", "更易读，命名更清楚", "不用递归，或不用循环"),
}
TARGETS: Final[Mapping[str, str]] = {
    "java": "Java",
    "cpp": "C++",
    "rust": "Rust",
    "go": "Go",
    "javascript": "JavaScript",
}
Form = Literal["task", "output", "diagnosis", "rewrite", "translation"]
_PROMPTS: Final = {
    "task": "code_solution",
    "output": "code_output",
    "diagnosis": "code_diagnosis",
    "rewrite": "code_rewrite",
    "translation": "code_translate",
}
SAID: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "task": "{task}",
        "output": "What does this program print?\n\n```python\n{program}\n```",
        "diagnosis": "{task}\n\nMy program fails a test ({failure}). What is wrong?\n\n```python\n{program}\n```",
        "rewrite": "Rewrite this program {way}, with the same results.\n\n```python\n{program}\n```",
        "translation": "Translate this Python program to {target}.\n\n```python\n{program}\n```",
    },
    "zh": {
        "task": "{task}",
        "output": "这个程序会输出什么？\n\n```python\n{program}\n```",
        "diagnosis": "{task}\n\n我的程序没有通过测试（{failure}）。错在哪里？\n\n```python\n{program}\n```",
        "rewrite": "请改写这个程序，使其{way}，结果不变。\n\n```python\n{program}\n```",
        "translation": "请把这个 Python 程序翻译成 {target}。\n\n```python\n{program}\n```",
    },
}


@dataclass(frozen=True)
class Problem:
    """A task whose tests were run."""

    task: str
    function: str
    solution: str
    tests: tuple[str, ...]


class Code(Track):
    stage: ClassVar[str] = "chat.code"
    track: ClassVar[str] = "code"
    paper: ClassVar[str] = "MiniCPM4 (arXiv 2506.07900), UltraChat v2: code"
    asks: ClassVar[tuple[str, ...]] = ("code_problem", *_PROMPTS.values())

    difficulties: tuple[str, ...] | None = Field(
        default=None, description="in place of easy, medium and hard"
    )
    forms: tuple[Form, ...] = Field(
        default=("task", "output", "diagnosis", "rewrite", "translation"),
        min_length=1,
        description="what is made of a problem",
    )
    targets: tuple[str, ...] = Field(
        default=("java", "cpp", "rust"), min_length=1, description="languages to translate to"
    )
    n_samples: int = Field(default=2, ge=1, description="answers of which one must be right")
    min_tests: int = Field(default=3, ge=1, description="tests that a task must come with")
    time_s: float = Field(default=10.0, gt=0, description="time of one run in the sandbox")

    def problems(self) -> list[str]:
        unknown = sorted(set(self.targets) - set(TARGETS))
        found = [f"targets: {unknown} are not among {', '.join(TARGETS)}"] if unknown else []
        missing = available()
        return [*super().problems(), *found, *([missing] if missing else [])]

    def plays(self, page: Page) -> Iterable[Play[list[Made]]]:
        missing = available()
        if missing:
            raise SandboxUnavailable(missing)
        return [self._play(page)]

    def _play(self, page: Page) -> Play[list[Made]]:
        rng = page.rng(1)
        cell = {
            "context": rng.choice(CONTEXTS[page.language]),
            "category": rng.choice(CATEGORIES[page.language]),
            "difficulty": rng.choice(self.difficulties or DIFFICULTIES[page.language]),
        }
        schema = record(
            task=text(1500, 10),
            function={"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,59}$"},
            solution=text(3000, 5),
            tests={
                "type": "array",
                "items": text(300, 6),
                "minItems": self.min_tests,
                "maxItems": 12,
            },
        )
        fields = {**cell, "snippet": page.text}
        (response,) = yield [self.ask(page, "code_problem", fields, schema=schema)]
        if response.value is None:
            return [failed(page.row, response)]
        value = response.value
        problem = Problem(
            value["task"].strip(),
            value["function"].strip(),
            code_in(value["solution"]),
            tuple(value["tests"]),
        )
        verdict = self._sound(problem)
        if not verdict.ok:
            return [rejected(page.row, verdict)]
        made: list[Made] = []
        for number, form in enumerate(self.forms):
            made.append((yield from self._form(page, number, form, problem, cell)))
        return made

    @property
    def _limits(self) -> Limits:
        return Limits(time_s=self.time_s)

    def _sound(self, problem: Problem) -> Verdict:
        """Whether the solution passes the tests, and whether the tests say anything."""
        verdict = check_python(problem.solution, {problem.function: None})
        if not verdict.ok:
            return verdict
        if any(problem.function not in test for test in problem.tests):
            return Verdict("tests_prove_nothing", "a test does not call the function")
        verdict = self._passes(problem.solution, problem)
        if not verdict.ok:
            return (
                verdict if verdict.reason != "failed" else Verdict("tests_failed", verdict.detail)
            )
        stub = f"def {problem.function}(*args, **kwargs):\n    return None\n"
        if self._passes(stub, problem).ok:
            return Verdict("tests_prove_nothing", "an empty function passes them")
        return PASS

    def _passes(self, solution: str, problem: Problem) -> Verdict:
        return run_tests(solution, "\n".join(problem.tests), limits=self._limits)

    def _form(
        self, page: Page, number: int, form: Form, problem: Problem, cell: Mapping[str, str]
    ) -> Play[Made]:
        rng = page.rng(10 + number)
        shown: dict[str, str] = {"task": problem.task, "program": problem.solution}
        wanted = ""
        target = ""
        if form == "output":
            program = printing(problem)
            if program is None:
                return rejected(page.row, Verdict("no_output", "no test compares a call"))
            wanted, verdict = output_of(program, limits=self._limits)
            if not verdict.ok or not wanted.strip():
                return rejected(page.row, Verdict("no_output", verdict.detail))
            shown["program"] = program
        elif form == "diagnosis":
            faulty = self._faulty(problem, mutants(problem.solution, rng))
            if faulty is None:
                return rejected(
                    page.row, Verdict("no_fault", "no change of one place fails a test")
                )
            shown["program"], shown["failure"] = faulty
        elif form == "rewrite":
            shown["way"] = rng.choice(REWRITES[page.language])
        elif form == "translation":
            target = rng.choice(self.targets)
            shown |= {"target": TARGETS[target], "function": problem.function}
        (reply,) = yield [self._request(page, number, form, shown)]
        if not reply.good:
            return failed(page.row, reply)
        verdicts = [
            self._right(form, sample.text, problem, wanted, target) for sample in reply.good
        ]
        passed = [verdict.ok for verdict in verdicts]
        if not any(passed):
            return rejected(page.row, verdicts[0])
        answer = reply.good[passed.index(True)].text.strip()
        said = SAID[page.language][form].format(**shown)
        checks = {
            "ran": form != "translation",
            "n_samples": self.n_samples,
            "n_passed": sum(passed),
        }
        proof = self.proof(
            page,
            reply,
            ("code_problem", _PROMPTS[form]),
            checks,
            **cell,
            form=form,
            function=problem.function,
            tests=list(problem.tests),
        )
        dialogue = Dialogue((Turn("user", said), Turn("assistant", answer)))
        return Made(page.row, dialogue, page.language, proof)

    def _request(self, page: Page, number: int, form: Form, shown: Mapping[str, str]) -> Request:
        prompt = self.prompt(_PROMPTS[form], page.language)
        fields = {name: shown[name] for name in prompt.fields | prompt.data}
        return self.ask(page, _PROMPTS[form], fields, number, n=self.n_samples)

    def _faulty(self, problem: Problem, changed: list[str]) -> tuple[str, str] | None:
        """The first change that fails a test, and that test's failure."""
        for program in changed:
            for test in problem.tests:
                verdict = run_tests(program, test, limits=self._limits)
                if verdict.reason == "failed":
                    return program, test
        return None

    def _right(
        self, form: Form, answer: str, problem: Problem, wanted: str, target: str
    ) -> Verdict:
        said = code_in(answer)
        if form == "output":
            return PASS if said.strip() == wanted.strip() else Verdict("wrong_output", said[:100])
        if form == "translation":
            return check_translation(said, target, (problem.function,))
        if form == "rewrite" and _same_program(said, problem.solution):
            return Verdict("not_rewritten")
        verdict = check_python(said, {problem.function: None})
        return verdict if not verdict.ok else self._passes(said, problem)


def printing(problem: Problem) -> str | None:
    """A program that prints the calls which the tests compare with something; None if there are none."""
    calls = []
    for test in problem.tests:
        try:
            (statement,) = ast.parse(test).body
        except (SyntaxError, ValueError):
            continue
        compared = statement.test if isinstance(statement, ast.Assert) else None
        if isinstance(compared, ast.Compare) and isinstance(compared.left, ast.Call):
            calls.append(ast.unparse(compared.left))
    lines = [f"print({call})" for call in calls[:3]]
    return "\n".join([problem.solution.rstrip(), "", *lines]) if lines else None


def _same_program(one: str, other: str) -> bool:
    try:
        return ast.dump(ast.parse(one)) == ast.dump(ast.parse(other))
    except (SyntaxError, ValueError):
        return one == other
