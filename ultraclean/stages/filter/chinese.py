"""Drops Chinese documents by rules on characters and lines: there are no words between spaces.

Two published rule sets (`dialect`), each with its own thresholds, each rule usable beside the others:

- `chinesewebtext` (Chen et al. 2023, arXiv 2311.01149, section 3.2; as its code at
  CASIA-LM/ChineseWebText, `preprocess.py`, decides): short texts and short lines, few Chinese
  characters, listed words per line, and the share of 13-grams of characters that occur twice or more,
  counted in lower case without white space. 200 characters are too few there, so 201 is the least.
- `data_juicer` (its recipe alpaca-cot-zh-refine): letters and digits, short texts, and the share of the
  most frequent 10-grams of characters in the raw text.

`min_han_chars` is WuDaoCorpora's (Yuan et al. 2021, AI Open 2: pages with fewer than ten go). FineWeb-2's
thresholds for Mandarin are `filter.fineweb2: {language: cmn_Hani, words: uniseg}`.

Deliberately different: ChineseWebText drops a text that a converter to simplified characters changes at
all; here it is a share of characters that Big5 has and GB 2312 lacks, off by default, since some of them
are written on the mainland, too. N-grams, which cost most of the time, are counted where a limit asks for them. Shares of nothing fail no rule, but the length does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from ultraclean.document import Batch, texts
from ultraclean.stage import Decision, Rule, at_least, at_most, decide
from ultraclean.stages.filter import listed
from ultraclean.stages.filter.rule_set import RuleSet, in_order
from ultraclean.text import chinese

ORDER: Mapping[str, tuple[str, ...]] = {
    "chinesewebtext": (
        "too_few_chars",
        "short_lines",
        "too_few_han_chars",
        "too_little_han",
        "too_much_traditional",
        "too_many_listed_words",
        "repeated_ngrams",
        "top_ngrams",
        "too_few_alphanumerics",
    ),
    "data_juicer": (
        "too_few_alphanumerics",
        "top_ngrams",
        "too_many_listed_words",
        "too_few_chars",
        "short_lines",
        "too_few_han_chars",
        "too_little_han",
        "too_much_traditional",
        "repeated_ngrams",
    ),
}


def _share(default: float | None, what: str) -> Any:
    return Field(default=default, ge=0, le=1, description=what)


class Chinese(RuleSet):
    stage: ClassVar[str] = "filter.chinese"
    paper: ClassVar[str] = "Chen et al. 2023 (ChineseWebText, arXiv 2311.01149); data-juicer"
    reasons: ClassVar[tuple[str, ...]] = ORDER["chinesewebtext"]
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "data_juicer": {
            "min_chars": 10,
            "min_mean_line_chars": None,
            "min_han_fraction": None,
            "max_listed_words_per_line": None,
            "max_repeated_ngram_fraction": None,
            "max_top_ngram_fraction": 0.6,
            "min_alphanumeric_fraction": 0.1,
        }
    }

    dialect: Literal["chinesewebtext", "data_juicer"] = Field(
        default="chinesewebtext", description="whose thresholds and order of rules to follow"
    )
    min_chars: int | None = Field(default=201, ge=0, description="fewest characters")
    min_mean_line_chars: float | None = Field(
        default=10, ge=0, description="fewest characters per line, newlines among them"
    )
    min_han_chars: int | None = Field(
        default=None, ge=0, description="fewest Chinese characters; WuDaoCorpora: 10"
    )
    min_han_fraction: float | None = _share(0.3, "least share of Chinese characters")
    max_traditional_fraction: float | None = _share(
        None, "greatest share of traditional characters among the Chinese ones"
    )
    words: tuple[str, ...] = Field(
        default=(),
        description="files of words, one a line, that `max_listed_words_per_line` looks for",
    )
    max_listed_words_per_line: float | None = Field(
        default=0.5, ge=0, description="most different words of the lists per line, found anywhere"
    )
    max_repeated_ngram_fraction: float | None = _share(
        0.5, "greatest share of character n-grams that occur twice or more (ChineseWebText)"
    )
    repeated_ngram_chars: int = Field(default=13, ge=1, description="size of those n-grams")
    max_top_ngram_fraction: float | None = _share(
        None, "greatest share of the most frequent n-grams of characters (data-juicer)"
    )
    top_ngram_chars: int = Field(default=10, ge=1, description="size of those n-grams")
    min_alphanumeric_fraction: float | None = _share(
        None, "least share of letters and digits of any script (data-juicer)"
    )

    @field_validator("words", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @property
    def splitter(self) -> str:
        return "characters"

    def files(self) -> tuple[str, ...]:
        return self.words

    def problems(self) -> list[str]:
        return listed.problems(self.words)

    def open(self) -> Callable[[Batch], Decision]:
        rules = in_order(self._rules(), ORDER[self.dialect])
        words = chinese.by_first(word for path in self.words for word in listed.read(path))

        def judge(batch: Batch) -> Decision:
            measured = chinese.measure(batch)
            if self.max_repeated_ngram_fraction is not None:
                found = chinese.repeated_ngrams(batch, self.repeated_ngram_chars)
                measured["repeated_ngram_fraction"] = found
            if self.max_top_ngram_fraction is not None:
                measured["top_ngram_fraction"] = chinese.top_ngrams(batch, self.top_ngram_chars)
            n_words = chinese.n_listed(batch.view("text", texts), words)
            measured["listed_words_per_line"] = n_words / measured["n_lines"]
            return decide(measured, rules)

        return judge

    def _rules(self) -> list[Rule]:
        return [
            at_least("too_few_chars", "n_chars", self.min_chars),
            at_least("short_lines", "mean_line_chars", self.min_mean_line_chars),
            at_least("too_few_han_chars", "n_han_chars", self.min_han_chars),
            at_least("too_little_han", "han_fraction", self.min_han_fraction),
            at_most("too_much_traditional", "traditional_fraction", self.max_traditional_fraction),
            at_most(
                "too_many_listed_words", "listed_words_per_line", self.max_listed_words_per_line
            ),
            at_most("repeated_ngrams", "repeated_ngram_fraction", self.max_repeated_ngram_fraction),
            at_most("top_ngrams", "top_ngram_fraction", self.max_top_ngram_fraction),
            at_least(
                "too_few_alphanumerics", "alphanumeric_fraction", self.min_alphanumeric_fraction
            ),
        ]
