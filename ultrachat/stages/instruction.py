"""Requests with constraints that code can verify, and answers that keep them all.

UltraChat v2, the instruction-following track (MiniCPM4, arXiv 2506.07900, section 2.4): a persona
reads a document and asks for a text, verifiable constraints are laid on the request, the teacher
answers several times, and an answer is kept only if every checker passes it (IFEval's strict mode).
Constraints are drawn by code and not by the teacher, so that each has its checker.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from ultrachat.checks.constraints import Instruction as Constraint
from ultrachat.checks.constraints import check_all, draw
from ultrachat.checks.language import language_of
from ultrachat.dialogue import Dialogue, Turn
from ultrachat.prompts import prompt
from ultrachat.stages.made import ADDED, Made, failed, rows
from ultraclean.document import KEY, Batch, random64, texts
from ultraclean.llm import OpenTeacher, Request, Response, Teacher
from ultraclean.stage import Map, Resources

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


@dataclass(frozen=True)
class _Task:
    """One attempt: which document, who asks, which constraints."""

    parent: int
    language: str
    seed: int
    persona: str
    constraints: tuple[Constraint, ...]


class Instruction(Map):
    stage: ClassVar[str] = "chat.instruction"
    paper: ClassVar[str] = "MiniCPM4 (arXiv 2506.07900), UltraChat v2; IFEval (arXiv 2311.07911)"
    expands: ClassVar[bool] = True

    teacher: Teacher = Field(description="the model that asks and answers")
    language: Literal["auto", "en", "zh"] = Field(
        default="auto", description="language of requests; auto is that of the document"
    )
    n_requests: int = Field(default=1, ge=1, description="requests per document")
    min_constraints: int = Field(default=1, ge=1, description="constraints per request at least")
    max_constraints: int = Field(default=3, ge=1, le=8, description="and at most")
    n_samples: int = Field(default=4, ge=1, description="answers of which one must pass all checks")
    max_chars: int = Field(default=6000, ge=100, description="so much of a document is shown")
    seed: int = Field(
        default=0, description="decides personas, constraints and the teacher's seeds"
    )

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def adds(self) -> Mapping[str, pa.DataType]:
        return {**ADDED, "strict_pass_rate": pa.float64()}

    @property
    def resources(self) -> Resources:
        return self.teacher.resources

    def open(self) -> Callable[[Batch], Batch]:
        teacher = self.teacher.open()
        return lambda batch: self._make(teacher, batch)

    def _make(self, teacher: OpenTeacher, batch: Batch) -> Batch:
        documents = batch.view("text", texts)
        tasks = self._tasks(batch, documents)
        asked = teacher.generate([self._ask(task, documents[task.parent]) for task in tasks])
        answers = iter(
            teacher.generate(
                [
                    self._answer(task, response.text)
                    for task, response in zip(tasks, asked, strict=True)
                    if response.text is not None
                ]
            )
        )
        attempts: list[Made] = []
        rates: list[float | None] = []
        for task, response in zip(tasks, asked, strict=True):
            if response.text is None:
                attempts.append(failed(task.parent, response))
                rates.append(None)
                continue
            made, rate = self._judged(task, response.text, next(answers))
            attempts.append(made)
            rates.append(rate)
        return rows(
            batch, "instruction", attempts, {"strict_pass_rate": pa.array(rates, pa.float64())}
        )

    def _tasks(self, batch: Batch, documents: Sequence[str]) -> list[_Task]:
        """What to ask of each document: decided by the seed and the document's key alone."""
        if not batch.num_rows:
            return []
        seeds: Any = random64(batch[KEY], self.seed)
        tasks = []
        for parent, seed in enumerate(np.asarray(seeds).tolist()):
            for number in range(self.n_requests):
                rng = random.Random(seed + number)
                language = self.language
                if language == "auto":
                    language = "zh" if language_of(documents[parent]) == "zh" else "en"
                count = rng.randint(
                    self.min_constraints, max(self.min_constraints, self.max_constraints)
                )
                persona = rng.choice(PERSONAS[language])
                constraints = tuple(
                    one
                    for one in draw(rng, language, count)
                    if one.kind != "combination:repeat_prompt"
                ) or tuple(draw(rng, language, 1))
                tasks.append(_Task(parent, language, rng.getrandbits(31), persona, constraints))
        return tasks

    def _ask(self, task: _Task, document: str) -> Request:
        messages = prompt("instruction_task", task.language).messages(
            persona=task.persona, document=document[: self.max_chars]
        )
        sampling = self.teacher.sampling.model_copy(update={"seed": task.seed})
        return Request.of(messages, sampling=sampling)

    def _answer(self, task: _Task, request: str) -> Request:
        sampling = self.teacher.sampling.model_copy(update={"seed": task.seed})
        return Request.of(_shown(task, request), sampling=sampling, n=self.n_samples)

    def _judged(self, task: _Task, request: str, response: Response) -> tuple[Made, float | None]:
        if response.problem is not None:
            return failed(task.parent, response), None
        verdicts = [check_all(sample.text, task.constraints) for sample in response.good]
        strict = [all(verdict.ok for verdict in each) for each in verdicts]
        rate = sum(strict) / self.n_samples
        if not any(strict):
            missed = sorted(
                {verdict.reason for each in verdicts for verdict in each if verdict.reason}
            )
            return Made(task.parent, problem=f"no_strict_pass: {', '.join(missed)}"), rate
        answer = response.good[strict.index(True)].text
        (said,) = (turn["content"] for turn in _shown(task, request) if turn["role"] == "user")
        proof = {
            "teacher": self.teacher.model,
            "server_model": response.model,
            "prompts": {
                name: prompt(name, task.language).hash
                for name in ("instruction_task", "instruction_answer")
            },
            "persona": task.persona,
            "constraints": [{"kind": one.kind, **one.params} for one in task.constraints],
            "checks": {"strict_pass": True, "n_samples": self.n_samples, "n_passed": sum(strict)},
        }
        dialogue = Dialogue((Turn("user", said), Turn("assistant", answer)))
        return Made(task.parent, dialogue, task.language, proof), rate


def _shown(task: _Task, request: str) -> list[dict[str, str]]:
    listed = "\n".join(f"- {one.text}" for one in task.constraints)
    return prompt("instruction_answer", task.language).messages(request=request, constraints=listed)
