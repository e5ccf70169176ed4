"""Rewrites documents in a style: cleaned, put in order, its gaps of reasoning closed, nothing added.

MiniCPM4 (arXiv 2506.07900, section 2.2): noise out, scattered meaning joined, logic completed, in short
hierarchical passages; styles as in Ultra-FineWeb-L3 and UltraData-Math. Neither publishes its prompts
or its filters: ours are Markdown files, and what is written is checked against its source.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ultraclean.llm import Play
from ultraclean.llm.asking import Page
from ultraclean.stages.refine.written import Draft, Varied, said


class Rewrite(Varied):
    stage: ClassVar[str] = "refine.rewrite"
    task: ClassVar[str] = "rewrite"
    kind: ClassVar[str] = "style"
    paper: ClassVar[str] = "MiniCPM4 (arXiv 2506.07900), section 2.2; Ultra-FineWeb-L3 multi-style"
    asks: ClassVar[tuple[str, ...]] = ("rewrite",)

    styles: tuple[str, ...] = Field(
        default=("encyclopaedia", "textbook", "blog", "abstract", "lecture", "paper"),
        min_length=1,
        description="styles; another one is a file style_NAME.LANGUAGE.md in the folder `prompts`",
    )

    def ways(self) -> tuple[str, ...]:
        return self.styles

    def write(self, page: Page, variant: str | None) -> Play[Draft]:
        fields = {"style": self.described(page, variant), "document": page.text}
        (response,) = yield [self.ask(page, "rewrite", fields)]
        return Draft(said(response), response)
