"""Drops documents that do not look like prose: too short, too long, symbols, bullets, ellipses.

Rae et al. 2021 (Gopher, arXiv 2112.11446), section A1.1, in the reading of datatrove 0.10.1, with
which the FineWeb recipe runs: words made of punctuation alone do not count for length and number
of words, all words count for the other shares; the two symbol shares have one threshold.

Deliberately different: all measures are taken for every document, off is None (datatrove: 0 or
None), and the minimum share of words with a letter is named as the minimum that it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from ultraclean.document import Batch
from ultraclean.errors import MissingExtra
from ultraclean.stage import Decision, Filter, at_least, at_most, decide
from ultraclean.text import characters
from ultraclean.text.lines import line_marks
from ultraclean.text.ratios import ratio
from ultraclean.text.words import SPLITTERS, WordSplitter, n_listed, word_list


class GopherQuality(Filter):
    stage: ClassVar[str] = "filter.gopher_quality"
    paper: ClassVar[str] = "Rae et al. 2021 (Gopher), A1.1; semantics of datatrove 0.10.1"
    reasons: ClassVar[tuple[str, ...]] = (
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
    )
    extras: ClassVar[Mapping[str, str]] = {"spacy": '"ultraclean-data[datatrove]"'}

    dialect: Literal["datatrove"] = Field(
        default="datatrove", description="whose reading of the rules to follow"
    )
    words: WordSplitter = Field(
        default="whitespace",
        description="what a word is: `whitespace` splits on white space; `spacy` gives the tokens "
        "that datatrove sees",
    )
    min_words: int | None = Field(
        default=50, ge=0, description="fewest words that are not punctuation alone"
    )
    max_words: int | None = Field(
        default=100_000, ge=0, description="most words that are not punctuation alone"
    )
    min_mean_word_chars: float | None = Field(
        default=3, ge=0, description="least mean length of the words that are not punctuation alone"
    )
    max_mean_word_chars: float | None = Field(
        default=10, ge=0, description="greatest mean length of those words"
    )
    max_symbol_fraction: float | None = Field(
        default=0.1, ge=0, description="most hash signs, and most ellipses, per word"
    )
    max_bullet_line_fraction: float | None = Field(
        default=0.9, ge=0, description="most lines that begin with a bullet (`•` or `-`)"
    )
    max_ellipsis_line_fraction: float | None = Field(
        default=0.3, ge=0, description="most lines that end in an ellipsis"
    )
    min_alphabetic_word_fraction: float | None = Field(
        default=0.8, ge=0, description="fewest words that have a letter"
    )
    min_stop_words: int | None = Field(
        default=2, ge=0, description="fewest different words of `stop_words`"
    )
    stop_words: tuple[str, ...] = Field(
        default=("the", "be", "to", "of", "and", "that", "have", "with"),
        description="words that prose of the language has; compared as they are written",
    )

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def missing_extras(self) -> list[MissingExtra]:
        return super().missing_extras() if self.words == "spacy" else []

    def distributions(self) -> tuple[str, ...]:
        return ("spacy",) if self.words == "spacy" else ()

    def open(self) -> Callable[[Batch], Decision]:
        split = SPLITTERS[self.words]
        stop_words = word_list(self.stop_words)
        rules = [
            at_least("too_few_words", "n_words", self.min_words),
            at_most("too_many_words", "n_words", self.max_words),
            at_least("short_words", "mean_word_chars", self.min_mean_word_chars),
            at_most("long_words", "mean_word_chars", self.max_mean_word_chars),
            at_most("too_many_hashes", "hash_fraction", self.max_symbol_fraction),
            at_most("too_many_ellipses", "ellipsis_fraction", self.max_symbol_fraction),
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

        def judge(batch: Batch) -> Decision:
            words = batch.view("text", split)
            lines = batch.view("text", line_marks)
            counted = (words.classes & characters.NOT_PUNCTUATION) != 0
            n_words = words.per_doc(counted.astype(np.int64))
            alphabetic = (words.classes & characters.ALPHA) != 0
            measured = {
                "n_words": n_words,
                "mean_word_chars": ratio(words.per_doc(words.n_chars * counted), n_words),
                "hash_fraction": ratio(lines["n_hashes"], words.counts),
                "ellipsis_fraction": ratio(lines["n_ellipses"], words.counts),
                "bullet_line_fraction": ratio(lines["n_bullet_lines"], lines["n_lines"]),
                "ellipsis_line_fraction": ratio(lines["n_ellipsis_lines"], lines["n_lines"]),
                "alphabetic_word_fraction": ratio(
                    words.per_doc(alphabetic.astype(np.int64)), words.counts
                ),
                "n_stop_words": n_listed(words, stop_words),
            }
            return decide(measured, rules)

        return judge
