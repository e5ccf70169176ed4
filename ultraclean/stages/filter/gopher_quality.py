"""Drops documents that do not look like prose: too short, too long, symbols, bullets, ellipses.

Rae et al. 2021 (Gopher, arXiv 2112.11446), section A1.1, in one of three readings (`dialect`;
measured by `ultraclean.text.prose`):

- `datatrove` 0.10.1, with which the FineWeb recipe runs: words made of punctuation alone do not
  count for length and number of words, all words count for the other shares; the two symbol shares
  have one threshold; two *different* stop words are wanted.
- `dclm` (mlfoundations/dclm, the filters of DCLM-Baseline in their order): words that begin with
  a letter or digit are counted; hash signs and ellipses are one share; stop words in any case.
- `dolma` 1.2.1 (tagger gopher_v1, thresholds of the mixer of Dolma 1.5): the *median* length of
  words; the share of words that have a symbol.

Deliberately different: all measures are taken for every document, off is None (datatrove: 0 or
None), and the minimum share of words with a letter is named as the minimum that it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

from pydantic import Field

from ultraclean.document import Batch
from ultraclean.stage import Decision, Rule, absent, at_least, at_most, decide
from ultraclean.stages.filter.rule_set import RuleSet, SplitsWords, in_order
from ultraclean.text.prose import DIALECTS
from ultraclean.text.words import SPLITTERS, word_list

ORDER: Mapping[str, tuple[str, ...]] = {
    "datatrove": (
        "too_few_words",
        "too_many_words",
        "short_words",
        "long_words",
        "too_many_hashes",
        "too_many_ellipses",
        "too_many_bullet_lines",
        "too_many_ellipsis_lines",
        "too_few_alphabetic_words",
        "too_few_stop_words",
    ),
    "dclm": (
        "too_few_words",
        "too_many_words",
        "empty",
        "short_words",
        "long_words",
        "too_many_symbols",
        "too_many_bullet_lines",
        "too_many_ellipsis_lines",
        "too_few_alphabetic_words",
        "too_few_stop_words",
    ),
    "dolma": (
        "too_few_words",
        "too_many_words",
        "short_words",
        "long_words",
        "too_many_symbols",
        "too_few_alphabetic_words",
        "too_few_stop_words",
        "too_many_bullet_lines",
        "too_many_ellipsis_lines",
    ),
}


class GopherQuality(SplitsWords, RuleSet):
    stage: ClassVar[str] = "filter.gopher_quality"
    paper: ClassVar[str] = "Rae et al. 2021 (Gopher), A1.1; as datatrove, DCLM or dolma"
    reasons: ClassVar[tuple[str, ...]] = (*ORDER["datatrove"], "empty", "too_many_symbols")

    dialect: Literal["datatrove", "dclm", "dolma"] = Field(
        default="datatrove", description="whose reading of the rules to follow"
    )
    min_words: int | None = Field(
        default=50, ge=0, description="fewest words that count: not punctuation alone (dolma: all)"
    )
    max_words: int | None = Field(default=100_000, ge=0, description="most words that count")
    min_mean_word_chars: float | None = Field(
        default=3, ge=0, description="least mean (dolma: median) length of the words that count"
    )
    max_mean_word_chars: float | None = Field(
        default=10, ge=0, description="greatest mean (dolma: median) length of those words"
    )
    max_symbol_fraction: float | None = Field(
        default=0.1,
        ge=0,
        description="most hash signs, and most ellipses, per word; one sum but in datatrove",
    )
    max_bullet_line_fraction: float | None = Field(
        default=0.9,
        ge=0,
        description="most lines that begin with a bullet: `•` or `-`, and what the dialect adds",
    )
    max_ellipsis_line_fraction: float | None = Field(
        default=0.3, ge=0, description="most lines that end in an ellipsis"
    )
    min_alphabetic_word_fraction: float | None = Field(
        default=0.8, ge=0, description="fewest words that have a letter"
    )
    min_stop_words: int | None = Field(
        default=2, ge=0, description="fewest words of `stop_words`; in datatrove different ones"
    )
    stop_words: tuple[str, ...] = Field(
        default=("the", "be", "to", "of", "and", "that", "have", "with"),
        description="words that prose of the language has; as written, dclm: in lower case",
    )

    def open(self) -> Callable[[Batch], Decision]:
        split = SPLITTERS[self.words]
        measure = DIALECTS[self.dialect]
        stop_words = word_list(self.stop_words)
        rules = in_order(self._rules(), ORDER[self.dialect])
        return lambda batch: decide(measure(batch, split, stop_words), rules)

    def _rules(self) -> list[Rule]:
        length = "median_word_chars" if self.dialect == "dolma" else "mean_word_chars"
        return [
            at_least("too_few_words", "n_words", self.min_words),
            at_most("too_many_words", "n_words", self.max_words),
            absent("empty", "empty"),
            at_least("short_words", length, self.min_mean_word_chars),
            at_most("long_words", length, self.max_mean_word_chars),
            at_most("too_many_hashes", "hash_fraction", self.max_symbol_fraction),
            at_most("too_many_ellipses", "ellipsis_fraction", self.max_symbol_fraction),
            at_most("too_many_symbols", "symbol_fraction", self.max_symbol_fraction),
            at_most("too_many_bullet_lines", "bullet_line_fraction", self.max_bullet_line_fraction),
            at_most(
                "too_many_ellipsis_lines",
                "ellipsis_line_fraction",
                self.max_ellipsis_line_fraction,
            ),
            at_least(
                "too_few_alphabetic_words",
                "alphabetic_word_fraction",
                self.min_alphabetic_word_fraction,
            ),
            at_least("too_few_stop_words", "n_stop_words", self.min_stop_words),
        ]
