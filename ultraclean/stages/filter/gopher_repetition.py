"""Drops documents that repeat themselves: lines, paragraphs, and word n-grams.

Rae et al. 2021 (Gopher, arXiv 2112.11446), table A1, in one of three readings that give different
decisions on the same text (`dialect`; measured by `ultraclean.text.repetition`):

- `datatrove` 0.10.1, with which the FineWeb recipe runs: what is repeated is each occurrence beyond
  the first. Order: paragraphs, lines, n-grams.
- `dclm` (mlfoundations/dclm, `massive_web_repetition_filters`): every occurrence of what occurs
  twice. Words are Unicode's, without punctuation. Order: lines, paragraphs, n-grams.
- `dolma` 1.2.1 (tagger gopher_v1, thresholds of the mixer of Dolma 1.5): every occurrence, blank
  lines too; no paragraphs. Dolma's mixer names `most_common_2gram` where its tagger writes
  `most_common_2grams`, so its rules on the most frequent n-gram never fired: set them to none to do
  as the published Dolma did.

Deliberately different: every share is measured for every document, off is None (datatrove: 0 or
None), and each n has its own field and reason. dolma has no order; ours is that of its file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ultraclean.document import Batch
from ultraclean.stage import Decision, Rule, absent, at_most, decide
from ultraclean.stages.filter.rule_set import RuleSet, SplitsWords, in_order
from ultraclean.text.repetition import DIALECTS, REPEATED_SIZES, TOP_SIZES
from ultraclean.text.words import SPLITTERS

NGRAMS = (*(f"top_{n}gram" for n in TOP_SIZES), *(f"repeated_{n}grams" for n in REPEATED_SIZES))
ORDER: Mapping[str, tuple[str, ...]] = {
    "datatrove": (
        "empty",
        "repeated_paragraphs",
        "repeated_paragraph_chars",
        "repeated_lines",
        "repeated_line_chars",
        *NGRAMS,
    ),
    "dclm": (
        "empty",
        "repeated_lines",
        "repeated_paragraphs",
        "repeated_line_chars",
        "repeated_paragraph_chars",
        *NGRAMS,
    ),
    "dolma": ("repeated_lines", "repeated_line_chars", *NGRAMS),
}


def _share(what: str, default: float) -> Any:
    return Field(default=default, ge=0, description=f"most {what}; none: not tested")


class GopherRepetition(SplitsWords, RuleSet):
    stage: ClassVar[str] = "filter.gopher_repetition"
    paper: ClassVar[str] = "Rae et al. 2021 (Gopher), table A1; as datatrove, DCLM or dolma"
    reasons: ClassVar[tuple[str, ...]] = ORDER["datatrove"]
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "dclm": {"words": "uniseg"},
        "dolma": {
            "max_repeated_paragraph_fraction": None,
            "max_repeated_paragraph_char_fraction": None,
            "max_repeated_line_char_fraction": 0.3,
        },
    }

    dialect: Literal["datatrove", "dclm", "dolma"] = Field(
        default="datatrove", description="whose reading of the rules to follow"
    )
    max_repeated_paragraph_fraction: float | None = _share(
        "paragraphs that occurred before, of all paragraphs", 0.3
    )
    max_repeated_paragraph_char_fraction: float | None = _share(
        "characters in paragraphs that occurred before", 0.2
    )
    max_repeated_line_fraction: float | None = _share(
        "lines that occurred before, of all lines", 0.3
    )
    max_repeated_line_char_fraction: float | None = _share(
        "characters in lines that occurred before", 0.2
    )
    max_top_2gram_fraction: float | None = _share("characters in the most frequent 2-gram", 0.2)
    max_top_3gram_fraction: float | None = _share("characters in the most frequent 3-gram", 0.18)
    max_top_4gram_fraction: float | None = _share("characters in the most frequent 4-gram", 0.16)
    max_repeated_5gram_fraction: float | None = _share("characters in repeated 5-grams", 0.15)
    max_repeated_6gram_fraction: float | None = _share("characters in repeated 6-grams", 0.14)
    max_repeated_7gram_fraction: float | None = _share("characters in repeated 7-grams", 0.13)
    max_repeated_8gram_fraction: float | None = _share("characters in repeated 8-grams", 0.12)
    max_repeated_9gram_fraction: float | None = _share("characters in repeated 9-grams", 0.11)
    max_repeated_10gram_fraction: float | None = _share("characters in repeated 10-grams", 0.10)

    @model_validator(mode="after")
    def _dialect_has_the_rules(self) -> Self:
        for name in ("max_repeated_paragraph_fraction", "max_repeated_paragraph_char_fraction"):
            if self.dialect == "dolma" and getattr(self, name) is not None:
                raise ValueError(f"{name}: the dialect dolma has no rule on paragraphs")
        return self

    def open(self) -> Callable[[Batch], Decision]:
        split = SPLITTERS[self.words]
        measure = DIALECTS[self.dialect]
        rules = in_order(self._rules(), ORDER[self.dialect])
        return lambda batch: decide(measure(batch, split), rules)

    def _rules(self) -> list[Rule]:
        return [
            absent("empty", "empty"),
            at_most(
                "repeated_paragraphs",
                "repeated_paragraph_fraction",
                self.max_repeated_paragraph_fraction,
            ),
            at_most(
                "repeated_paragraph_chars",
                "repeated_paragraph_char_fraction",
                self.max_repeated_paragraph_char_fraction,
            ),
            at_most("repeated_lines", "repeated_line_fraction", self.max_repeated_line_fraction),
            at_most(
                "repeated_line_chars",
                "repeated_line_char_fraction",
                self.max_repeated_line_char_fraction,
            ),
            at_most("top_2gram", "top_2gram_fraction", self.max_top_2gram_fraction),
            at_most("top_3gram", "top_3gram_fraction", self.max_top_3gram_fraction),
            at_most("top_4gram", "top_4gram_fraction", self.max_top_4gram_fraction),
            at_most("repeated_5grams", "repeated_5gram_fraction", self.max_repeated_5gram_fraction),
            at_most("repeated_6grams", "repeated_6gram_fraction", self.max_repeated_6gram_fraction),
            at_most("repeated_7grams", "repeated_7gram_fraction", self.max_repeated_7gram_fraction),
            at_most("repeated_8grams", "repeated_8gram_fraction", self.max_repeated_8gram_fraction),
            at_most("repeated_9grams", "repeated_9gram_fraction", self.max_repeated_9gram_fraction),
            at_most(
                "repeated_10grams", "repeated_10gram_fraction", self.max_repeated_10gram_fraction
            ),
        ]
