"""Requests with constraints that code can verify, and answers that keep them all.

UltraChat v2, the instruction-following track (MiniCPM4, arXiv 2506.07900, section 2.4): a persona
reads a document and asks for a text, verifiable constraints are laid on the request, the teacher
answers several times, and an answer is kept only if every checker passes it (IFEval's strict mode).
Constraints are drawn by code and not by the teacher, so that each has its checker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from ultrachat.checks.constraints import Instruction as Constraint
from ultrachat.checks.constraints import check_all, draw
from ultrachat.checks.verdict import Verdict
from ultrachat.dialogue import Dialogue, Turn
from ultrachat.rows import Made, failed, rejected
from ultrachat.track import Page, Track
from ultraclean.llm import Play, Response

PERSONAS: Mapping[str, tuple[str, ...]] = {
    "en": (
        "a curious pupil of fourteen",
        "a nurse after a night shift",
        "an engineer who writes a report",
        "a teacher who prepares a lesson",
        "a pensioner who learns something new",
        "the editor of a local newspaper",
        "an impatient manager",
        "a student before an examination",
    ),
    "zh": (
        "一名好奇的十四岁学生",
        "一位刚下夜班的护士",
        "一位正在写报告的工程师",
        "一位备课的老师",
        "一位爱学新东西的退休老人",
        "一家地方报纸的编辑",
        "一位没有耐心的经理",
        "一名备考的大学生",
    ),
}

# What the user says in the dialogue: the teacher's prompt marks the request as data, a user does not.
WANTED: Mapping[str, str] = {
    "en": "{request}\n\nThe answer must meet all of these requirements:\n{constraints}",
    "zh": "{request}\n\n回答必须满足以下全部要求：\n{constraints}",
}


@dataclass(frozen=True)
class Task:
    """One attempt: who asks, and which constraints."""

    number: int
    persona: str
    constraints: tuple[Constraint, ...]

    @property
    def listed(self) -> str:
        return "\n".join(f"- {one.text}" for one in self.constraints)


class Instruction(Track):
    stage: ClassVar[str] = "chat.instruction"
    track: ClassVar[str] = "instruction"
    version: ClassVar[int] = 2
    paper: ClassVar[str] = "MiniCPM4 (arXiv 2506.07900), UltraChat v2; IFEval (arXiv 2311.07911)"
    asks: ClassVar[tuple[str, ...]] = (
        "instruction_task",
        "instruction_answer",
        "instruction_reverse",
    )
    numbers: ClassVar[Mapping[str, pa.DataType]] = {"strict_pass_rate": pa.float64()}

    n_requests: int = Field(default=1, ge=1, description="requests per document")
    min_constraints: int = Field(default=1, ge=1, description="constraints per request at least")
    max_constraints: int = Field(default=3, ge=1, le=8, description="and at most")
    n_samples: int = Field(default=4, ge=1, description="answers of which one must pass all checks")
    reverse: bool = Field(
        default=False, description="ask for the request that the document answers, not for a task"
    )

    def plays(self, page: Page) -> Iterable[Play[list[Made]]]:
        return [self._play(page, task) for task in self.tasks(page)]

    def tasks(self, page: Page) -> list[Task]:
        """What to ask of a document."""
        tasks = []
        for number in range(self.n_requests):
            rng = page.rng(number)
            most = max(self.min_constraints, self.max_constraints)
            count = rng.randint(self.min_constraints, most)
            persona = rng.choice(PERSONAS[page.language])
            constraints = tuple(
                one
                for one in draw(rng, page.language, count)
                if one.kind != "combination:repeat_prompt"
            ) or tuple(draw(rng, page.language, 1))
            tasks.append(Task(number, persona, constraints))
        return tasks

    def _play(self, page: Page, task: Task) -> Play[list[Made]]:
        fields = {"document": page.text}
        if self.reverse:
            asked = self.ask(page, "instruction_reverse", fields, task.number)
        else:
            fields["persona"] = task.persona
            asked = self.ask(page, "instruction_task", fields, task.number)
        (request,) = yield [asked]
        if request.text is None:
            return [failed(page.row, request)]
        fields = {"request": request.text, "constraints": task.listed}
        answering = self.ask(page, "instruction_answer", fields, task.number, n=self.n_samples)
        (response,) = yield [answering]
        return [self._judged(page, task, request.text, response)]

    def _judged(self, page: Page, task: Task, request: str, response: Response) -> Made:
        if response.problem is not None:
            return failed(page.row, response)
        verdicts = [check_all(sample.text, task.constraints) for sample in response.good]
        strict = [all(verdict.ok for verdict in each) for each in verdicts]
        rate = sum(strict) / self.n_samples
        if not any(strict):
            missed = sorted(
                {verdict.reason for each in verdicts for verdict in each if verdict.reason}
            )
            verdict = Verdict("no_strict_pass", ", ".join(missed))
            return rejected(page.row, verdict, strict_pass_rate=rate)
        answer = response.good[strict.index(True)].text
        said = WANTED[page.language].format(request=request, constraints=task.listed)
        checks = {"strict_pass": True, "n_samples": self.n_samples, "n_passed": sum(strict)}
        proof = self.proof(
            page,
            response,
            ("instruction_reverse" if self.reverse else "instruction_task", "instruction_answer"),
            checks,
            persona=task.persona,
            constraints=[{"kind": one.kind, **one.params} for one in task.constraints],
        )
        dialogue = Dialogue((Turn("user", said), Turn("assistant", answer)))
        return Made(page.row, dialogue, page.language, proof, numbers={"strict_pass_rate": rate})
