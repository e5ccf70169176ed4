"""Surveys of research: a question, a plan, sections, and citations that all exist.

MiniCPM4-Survey (MiniCPM4, arXiv 2506.07900, section on surveys): papers are found in an index for a
question, a plan names sections and the papers that each rests on, and each section is written from
its papers. A survey is kept when every key of the plan and every citation of the text is one of the
papers found, as the report drops references that are not in its index.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from ultrachat.checks.answer import check_prose
from ultrachat.checks.citations import check_citations
from ultrachat.checks.verdict import Verdict
from ultrachat.dialogue import Dialogue, Turn
from ultrachat.library import Found, library
from ultrachat.rows import Made, failed, rejected
from ultrachat.track import Page, Track, record, text
from ultraclean.llm import Play
from ultraclean.stage import ModelRef

WRITE = {"en": "Write the section “{title}”.", "zh": "请撰写“{title}”一节。"}


class Survey(Track):
    stage: ClassVar[str] = "chat.survey"
    track: ClassVar[str] = "survey"
    paper: ClassVar[str] = "MiniCPM4 (arXiv 2506.07900), MiniCPM4-Survey"
    asks: ClassVar[tuple[str, ...]] = ("survey_question", "survey_plan", "survey_section")

    index: Annotated[str, ModelRef()] = Field(
        description="a table of papers made by fit.index, or its folder"
    )
    n_papers: int = Field(default=10, ge=2, description="papers that may be cited")
    paper_chars: int = Field(default=1500, ge=50, description="so much of a paper is shown")
    min_sections: int = Field(default=3, ge=1, description="sections of a plan at least")
    max_sections: int = Field(default=8, ge=1, description="and at most")

    def plays(self, page: Page) -> Iterable[Play[list[Made]]]:
        return [self._play(page)]

    def _play(self, page: Page) -> Play[list[Made]]:
        (asked,) = yield [self.ask(page, "survey_question", {"document": page.text})]
        if asked.text is None:
            return [failed(page.row, asked)]
        question = asked.text.strip()
        verdict = check_prose(question, page.language, min_chars=8, max_chars=600)
        if not verdict.ok:
            return [rejected(page.row, verdict)]
        found = library(self.index).find(f"{question} {page.text[:500]}", self.n_papers)
        papers = {str(at): paper for at, paper in enumerate(found, 1)}
        if len(papers) < 2:
            return [rejected(page.row, Verdict("too_few_papers", f"{len(papers)}"))]
        fields = {"question": question, "papers": self._shown(papers)}
        schema = self._plan_schema(tuple(papers))
        (planned,) = yield [self.ask(page, "survey_plan", fields, schema=schema)]
        if planned.value is None:
            return [failed(page.row, planned)]
        plan = planned.value
        replies = yield [
            self.ask(page, "survey_section", self._section(one, papers), number)
            for number, one in enumerate(plan["sections"])
        ]
        turns = [
            Turn("user", f"{question}\n\n{self._shown(papers)}"),
            Turn("assistant", _told(plan)),
        ]
        for one, reply in zip(plan["sections"], replies, strict=True):
            if reply.text is None:
                return [failed(page.row, reply)]
            verdict = check_prose(reply.text, page.language, min_chars=50)
            if verdict.ok:
                verdict = check_citations(reply.text, papers)
            if not verdict.ok:
                return [rejected(page.row, verdict)]
            turns.append(Turn("user", WRITE[page.language].format(title=one["title"])))
            turns.append(Turn("assistant", reply.text.strip()))
        checks = {"citations_exist": True, "sections": len(plan["sections"])}
        keys = {key: paper.key.hex() for key, paper in papers.items()}
        proof = self.proof(page, planned, self.asks, checks, papers=keys)
        return [Made(page.row, Dialogue(tuple(turns)), page.language, proof)]

    def _shown(self, papers: Mapping[str, Found]) -> str:
        return "\n\n".join(
            f"[{key}] {paper.text[: self.paper_chars]}" for key, paper in papers.items()
        )

    def _section(self, one: Mapping[str, Any], papers: Mapping[str, Found]) -> dict[str, str]:
        mine = {key: papers[key] for key in dict.fromkeys(one["keys"])}
        return {"title": one["title"], "content": one["content"], "papers": self._shown(mine)}

    def _plan_schema(self, keys: Sequence[str]) -> dict[str, Any]:
        known = {"type": "string", "enum": list(keys)}
        listed = {"type": "array", "items": known, "minItems": 1, "maxItems": len(keys)}
        section = record(title=text(150, 3), content=text(600, 5), keys=listed)
        sections: dict[str, Any] = {"type": "array", "items": section}
        sections |= {"minItems": self.min_sections, "maxItems": self.max_sections}
        return record(title=text(200, 3), sections=sections)


def _told(plan: Mapping[str, Any]) -> str:
    """The plan as Markdown."""
    lines = [f"# {plan['title']}"]
    for number, one in enumerate(plan["sections"], 1):
        keys = "".join(f"[{key}]" for key in one["keys"])
        lines.append(f"{number}. **{one['title']}**: {one['content']} {keys}")
    return "\n\n".join(lines)
