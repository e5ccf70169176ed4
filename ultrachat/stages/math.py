"""Mathematical problems on a grid of topics and levels, with solutions that agree and were reflected on.

UltraChat v2, the maths track (MiniCPM4, arXiv 2506.07900): taxonomy x level, three formats, several paths
of solution, self-reflection, difficulty by how often the teacher is right, easy problems sampled down.
A problem is kept when enough of all solutions agree (SymPy equivalence decides what is the same) and
their answer is the one that its writer worked out; a solution when it has that answer and still has
it after reflection. Different on purpose: the writer's answer alone is never believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import pyarrow as pa
from pydantic import Field

from ultrachat.checks.answer import check_prose
from ultrachat.checks.maths.agreement import Agreement, agreement
from ultrachat.checks.maths.equal import check
from ultrachat.checks.verdict import PASS, Verdict
from ultrachat.dialogue import Dialogue, Turn
from ultrachat.rows import Made, failed, rejected
from ultrachat.track import Page, Track, listed, record, text
from ultraclean.llm import Play, Response

TOPICS: Final[Mapping[str, tuple[str, ...]]] = {
    "en": (
        "arithmetic",
        "algebra",
        "geometry",
        "linear algebra",
        "calculus",
        "probability",
        "statistics",
        "ordinary and partial differential equations",
        "discrete mathematics",
        "differential geometry",
    ),
    "zh": (
        "算术",
        "代数",
        "几何",
        "线性代数",
        "微积分",
        "概率论",
        "统计学",
        "常微分与偏微分方程",
        "离散数学",
        "微分几何",
    ),
}
LEVELS: Final[Mapping[str, tuple[str, ...]]] = {
    "en": ("primary school", "middle school", "high school", "university"),
    "zh": ("小学", "初中", "高中", "大学"),
}
FORMS: Final[Mapping[str, tuple[str, ...]]] = {
    "en": ("open question", "fill in the blank", "multiple choice with the options A to D"),
    "zh": ("解答题", "填空题", "A 到 D 的单项选择题"),
}
PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "en": (
        "the most direct way",
        "set up equations and solve them",
        "try small cases or numbers first, then argue in general",
        "work backwards from what is asked",
    ),
    "zh": ("最直接的方法", "列方程求解", "先尝试简单情形或具体数值，再一般论证", "从所求出发倒推"),
}
# What the grid leaves out: no one learns differential geometry at primary school.
_LEAST_LEVEL: Final = (0, 1, 0, 3, 2, 1, 1, 3, 2, 3)


@dataclass(frozen=True)
class Cell:
    """A place of the grid."""

    topic: str
    level: str
    form: str


class Math(Track):
    stage: ClassVar[str] = "chat.math"
    track: ClassVar[str] = "math"
    paper: ClassVar[str] = "MiniCPM4 (arXiv 2506.07900), UltraChat v2: maths"
    extras: ClassVar[Mapping[str, str]] = {"sympy": '"ultraclean-data[chat]"'}
    packages: ClassVar[tuple[str, ...]] = ("sympy",)
    asks: ClassVar[tuple[str, ...]] = (
        "math_problem",
        "math_from_document",
        "math_solution",
        "math_reflect",
    )
    numbers: ClassVar[Mapping[str, pa.DataType]] = {"pass_rate": pa.float64()}

    topics: tuple[str, ...] | None = Field(default=None, description="in place of the taxonomy")
    levels: tuple[str, ...] | None = Field(default=None, description="in place of the four levels")
    from_document: bool = Field(
        default=False, description="problems are set in the document; otherwise on the grid alone"
    )
    n_problems: int = Field(default=1, ge=1, description="problems per document")
    n_paths: int = Field(default=2, ge=1, le=4, description="paths of solution per problem")
    n_samples: int = Field(default=2, ge=1, description="solutions per path")
    min_agreement: float = Field(
        default=0.5, gt=0, le=1, description="part of all solutions that must have one answer"
    )
    min_agreeing: int = Field(default=2, ge=1, description="and so many of them at least")
    writer_agrees: bool = Field(
        default=True, description="that answer must be the one that the problem was written with"
    )
    easy: float = Field(
        default=0.99, ge=0, le=1, description="a problem is easy from this pass rate on"
    )
    keep_easy: float = Field(
        default=0.3, ge=0, le=1, description="part of the easy problems that is kept"
    )
    reflect: bool = Field(
        default=True, description="have each solution checked by the teacher, and keep what stands"
    )
    max_solutions: int = Field(default=2, ge=1, description="dialogues per problem at most")

    def plays(self, page: Page) -> Iterable[Play[list[Made]]]:
        return [self._play(page)]

    def cell(self, page: Page) -> Cell:
        """The place of the grid that falls to a document."""
        rng = page.rng(1)
        topics = self.topics or TOPICS[page.language]
        levels = self.levels or LEVELS[page.language]
        topic = rng.randrange(len(topics))
        least = 0 if self.topics or self.levels else _LEAST_LEVEL[topic]
        return Cell(topics[topic], rng.choice(levels[least:]), rng.choice(FORMS[page.language]))

    def _play(self, page: Page) -> Play[list[Made]]:
        cell = self.cell(page)
        fields: dict[str, object] = {**vars(cell), "n": self.n_problems}
        if self.from_document:
            fields["document"] = page.text
        schema = listed(
            "problems", record(problem=text(1500, 8), answer=text(200)), self.n_problems
        )
        (response,) = yield [self.ask(page, self._writer, fields, schema=schema)]
        if response.value is None:
            return [failed(page.row, response)]
        problems = response.value["problems"]
        paths = page.rng(2).sample(PATHS[page.language], self.n_paths)
        replies = yield [
            self.ask(
                page,
                "math_solution",
                {"problem": one["problem"], "path": path},
                number * self.n_paths + at,
                n=self.n_samples,
            )
            for number, one in enumerate(problems)
            for at, path in enumerate(paths)
        ]
        made: list[Made] = []
        for number, one in enumerate(problems):
            mine = replies[number * self.n_paths : (number + 1) * self.n_paths]
            made += yield from self._solved(page, cell, number, one, paths, mine)
        return made

    @property
    def _writer(self) -> str:
        return "math_from_document" if self.from_document else "math_problem"

    def _solved(
        self,
        page: Page,
        cell: Cell,
        number: int,
        problem: Mapping[str, str],
        paths: Sequence[str],
        replies: Sequence[Response],
    ) -> Play[list[Made]]:
        told = [
            (path, sample.text, reply)
            for path, reply in zip(paths, replies, strict=True)
            for sample in reply.good
        ]
        if not told:
            return [failed(page.row, replies[0])]
        agreed = agreement([solution for _, solution, _ in told])
        rate = len(agreed.members) / (self.n_paths * self.n_samples)
        verdict = self._problem_verdict(page, number, problem, agreed, rate)
        if not verdict.ok:
            return [rejected(page.row, verdict, pass_rate=rate)]
        chosen = self._one_per_path([told[at] for at in agreed.members])
        reflections: Sequence[Response | None] = [None] * len(chosen)
        if self.reflect:
            reflections = yield [
                self.ask(
                    page,
                    "math_reflect",
                    {"problem": problem["problem"], "solution": solution},
                    number * self.n_paths + at,
                )
                for at, (_, solution, _) in enumerate(chosen)
            ]
        return [
            self._judged(page, cell, problem, agreed, rate, one, reflection)
            for one, reflection in zip(chosen, reflections, strict=True)
        ]

    def _problem_verdict(
        self, page: Page, number: int, problem: Mapping[str, str], agreed: Agreement, rate: float
    ) -> Verdict:
        if agreed.answer is None:
            return Verdict("no_answer", "no solution has a final answer")
        if rate < self.min_agreement or len(agreed.members) < self.min_agreeing:
            return Verdict("no_agreement", f"{len(agreed.members)} say {agreed.answer[:80]}")
        if self.writer_agrees:
            same = check(f"\\boxed{{{agreed.answer}}}", problem["answer"])
            if not same.ok:
                return Verdict("writer_disagrees", same.detail)
        if rate >= self.easy and page.rng(100 + number).random() >= self.keep_easy:
            return Verdict("easy_sampled_down", f"pass rate {rate:.2f}")
        return PASS

    def _one_per_path(
        self, told: Sequence[tuple[str, str, Response]]
    ) -> list[tuple[str, str, Response]]:
        first = {path: (path, solution, reply) for path, solution, reply in reversed(told)}
        return list(reversed(first.values()))[: self.max_solutions]

    def _judged(
        self,
        page: Page,
        cell: Cell,
        problem: Mapping[str, str],
        agreed: Agreement,
        rate: float,
        chosen: tuple[str, str, Response],
        reflection: Response | None,
    ) -> Made:
        path, solution, reply = chosen
        answer = solution.strip()
        verdict = check_prose(answer, page.language, min_chars=10)
        if verdict.ok and reflection is not None:
            if reflection.text is None:
                return failed(page.row, reflection)
            stands = check(reflection.text, agreed.answer or "")
            if not stands.ok:
                verdict = Verdict("reflection_disagrees", stands.detail)
            answer = f"{answer}\n\n{reflection.text.strip()}"
        if not verdict.ok:
            return rejected(page.row, verdict, pass_rate=rate)
        checks = {
            "agreeing": len(agreed.members),
            "solutions": self.n_paths * self.n_samples,
            "writer_agrees": self.writer_agrees,
            "reflected": self.reflect,
        }
        used = [self._writer, "math_solution", *["math_reflect"] * self.reflect]
        proof = self.proof(
            page, reply, used, checks, **vars(cell), path=path, gold=agreed.answer, pass_rate=rate
        )
        dialogue = Dialogue((Turn("user", problem["problem"]), Turn("assistant", answer)))
        return Made(page.row, dialogue, page.language, proof, numbers={"pass_rate": rate})
