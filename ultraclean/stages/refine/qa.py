"""Puts questions and answers behind a document: self-contained pairs on its concepts, facts and logic.

A record of Ultra-FineWeb-L3's Q&A is the original text followed by pairs; the four levels are those of
UltraData-Math's L3 task `qa`. A pair that speaks of "the document", breaks off, or repeats a question, is left out
and counted in the proof; a passage that keeps fewer than `min_pairs` is the problem `too_few_pairs`.
"""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from pydantic import Field

from ultraclean.llm import Play
from ultraclean.llm.asking import Page
from ultraclean.llm.schema import listed, record, text
from ultraclean.stages.refine.written import Draft, Unwritten, Varied, value
from ultraclean.text.answers import source_named, unfinished


class Qa(Varied):
    version: ClassVar[int] = 2
    stage: ClassVar[str] = "refine.qa"
    task: ClassVar[str] = "qa"
    kind: ClassVar[str] = "level"
    paper: ClassVar[str] = "Ultra-FineWeb-L3 Q&A; UltraData-Math L3 qa (four levels)"
    asks: ClassVar[tuple[str, ...]] = ("qa",)

    levels: tuple[str, ...] = Field(
        default=("primary", "middle", "high", "college"),
        min_length=1,
        description="levels; another one is a file level_NAME.LANGUAGE.md in the folder `prompts`",
    )
    n_pairs: int = Field(default=4, ge=1, description="pairs that are asked for")
    min_pairs: int = Field(default=1, ge=1, description="pairs that must be sound")
    min_chars: int = Field(default=20, ge=1, description="what is written has so many at least")
    with_document: bool = Field(default=True, description="the pairs follow the original text")

    def ways(self) -> tuple[str, ...]:
        return self.levels

    def write(self, page: Page, variant: str | None) -> Play[Draft]:
        level = self.described(page, variant)
        fields = {"n": self.n_pairs, "level": level, "document": page.text}
        item = record(question=text(1000, 3), answer=text(3000))
        schema = listed("pairs", item, self.n_pairs)
        (response,) = yield [self.ask(page, "qa", fields, schema=schema)]
        pairs, left_out = _sound(value(response)["pairs"])
        if len(pairs) < self.min_pairs:
            raise Unwritten(f"too_few_pairs: {len(pairs)}, left out {dict(left_out)}")
        ask, answer = ("问：", "答：") if page.language == "zh" else ("Question: ", "Answer: ")
        written = "\n\n".join(f"{ask}{q}\n{answer}{a}" for q, a in pairs)
        whole = f"{page.text}\n\n{written}" if self.with_document else written
        more = {"n_pairs": len(pairs), "left_out": dict(left_out)}
        return Draft(written, response, text=whole, more=more)


def _sound(pairs: list[dict[str, str]]) -> tuple[list[tuple[str, str]], Counter[str]]:
    """The pairs that stand by themselves, and how many were left out for which reason."""
    kept: dict[str, str] = {}
    left_out: Counter[str] = Counter()
    for pair in pairs:
        question, answer = pair["question"].strip(), pair["answer"].strip()
        if not question or not answer:
            left_out["empty"] += 1
        elif source_named(f"{question}\n{answer}"):
            left_out["mentions_source"] += 1
        elif unfinished(answer):
            left_out["unfinished"] += 1
        elif question in kept:
            left_out["repeats"] += 1
        else:
            kept[question] = answer
    return list(kept.items()), left_out
