"""Takes the knowledge out of documents: facts, concepts, methods and relations, a line each.

UltraData-Math's L3 task `knowledge` ("or no result"), the first step of MiniCPM4's textbook paradigm. A
document in which the teacher finds none is the problem `no_knowledge`.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ultraclean.llm import Play
from ultraclean.llm.asking import Page
from ultraclean.llm.schema import listed, text
from ultraclean.stages.refine.written import Draft, Written, points_of


class Knowledge(Written):
    stage: ClassVar[str] = "refine.knowledge"
    task: ClassVar[str] = "knowledge"
    paper: ClassVar[str] = "MiniCPM4 (arXiv 2506.07900), section 2.2; UltraData-Math L3 knowledge"
    asks: ClassVar[tuple[str, ...]] = ("knowledge",)

    n_points: int = Field(default=8, ge=1, description="points of knowledge at most")
    min_chars: int = Field(default=20, ge=1, description="what is written has so many at least")

    def write(self, page: Page, variant: str | None) -> Play[Draft]:
        del variant
        fields = {"n": self.n_points, "document": page.text}
        schema = listed("points", text(500, 5), self.n_points, at_least=0)
        (response,) = yield [self.ask(page, "knowledge", fields, schema=schema)]
        points = points_of(response)
        return Draft("\n".join(points), response, more={"n_points": len(points)})
