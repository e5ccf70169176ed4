"""Makes a section of a textbook of a document: points of knowledge, explanations, summary, exercises.

MiniCPM4's textbook paradigm (arXiv 2506.07900, section 2.2): knowledge points, then rounds of
explanation (each sees those before it), then a summary, then exercises with solutions. Explanations and
summary must keep to the source; exercises may have numbers of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from pydantic import Field

from ultraclean.llm import Play
from ultraclean.llm.asking import Page
from ultraclean.llm.schema import listed, record, text
from ultraclean.stages.refine.written import Draft, Written, points_of, said, value

HEADINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "en": ("Summary", "Exercises", "Exercise", "Solution", ": "),
    "zh": ("小结", "练习", "练习", "解答", "："),
}


class Textbook(Written):
    stage: ClassVar[str] = "refine.textbook"
    task: ClassVar[str] = "textbook"
    paper: ClassVar[str] = "MiniCPM4 (arXiv 2506.07900), section 2.2: textbook paradigm"
    asks: ClassVar[tuple[str, ...]] = (
        "knowledge",
        "textbook_explain",
        "textbook_summary",
        "textbook_exercises",
    )

    n_points: int = Field(default=4, ge=1, description="points of knowledge at most")
    n_exercises: int = Field(default=3, ge=0, description="exercises; 0 leaves them out")

    def used_prompts(self) -> tuple[str, ...]:
        return self.asks if self.n_exercises else self.asks[:-1]

    def write(self, page: Page, variant: str | None) -> Play[Draft]:
        del variant
        told = {"n": self.n_points, "document": page.text}
        schema = listed("points", text(500, 5), self.n_points, at_least=0)
        (response,) = yield [self.ask(page, "knowledge", told, schema=schema)]
        points = points_of(response)
        sections: list[str] = []
        for number, point in enumerate(points):
            before = "\n\n".join(sections) or "-"
            fields = {"point": point, "before": before, "document": page.text}
            (response,) = yield [self.ask(page, "textbook_explain", fields, number)]
            sections.append(f"## {point}\n\n{said(response)}")
        body = "\n\n".join(sections)
        (response,) = yield [self.ask(page, "textbook_summary", {"explanations": body})]
        summary, exercises, exercise, solution, colon = HEADINGS[page.language]
        grounded = f"{body}\n\n## {summary}\n\n{said(response)}"
        if not self.n_exercises:
            return Draft(grounded, response, more={"points": points})
        item = record(exercise=text(1500, 5), solution=text(3000))
        schema = listed("exercises", item, self.n_exercises)
        asked = {"n": self.n_exercises, "explanations": body}
        (response,) = yield [self.ask(page, "textbook_exercises", asked, schema=schema)]
        tasks = "\n\n".join(
            f"{exercise} {n}{colon}{one['exercise'].strip()}\n\n{solution}{colon}{one['solution'].strip()}"
            for n, one in enumerate(value(response)["exercises"], 1)
        )
        written = f"{grounded}\n\n## {exercises}\n\n{tasks}"
        return Draft(written, response, grounded, more={"points": points})
