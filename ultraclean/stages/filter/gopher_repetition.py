"""Drops documents that repeat themselves: lines, paragraphs, and word n-grams.

Rae et al. 2021 (Gopher, arXiv 2112.11446), table A1, in the reading of datatrove 0.10.1, with
which the FineWeb recipe runs: a line or paragraph is repeated each time beyond the first, blank
lines vanish with the newlines around them, shares are of all characters of the raw text, the most
frequent n-gram is measured with its spaces, and repeated n-grams are compared without spaces.

Deliberately different: every share is measured for every document, off is None (datatrove: 0 or
None), and each n has its own field and reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ultraclean.document import Batch, n_chars
from ultraclean.errors import MissingExtra
from ultraclean.stage import Decision, Filter, Rule, absent, at_most, decide
from ultraclean.text.lines import repeated_lines, repeated_paragraphs
from ultraclean.text.ratios import ratio
from ultraclean.text.words import SPLITTERS, Words, WordSplitter

TOP_SIZES = (2, 3, 4)
REPEATED_SIZES = (5, 6, 7, 8, 9, 10)


def _share(what: str, default: float) -> Any:
    return Field(default=default, ge=0, description=f"most {what}; none: not tested")


class GopherRepetition(Filter):
    stage: ClassVar[str] = "filter.gopher_repetition"
    paper: ClassVar[str] = "Rae et al. 2021 (Gopher), table A1; semantics of datatrove 0.10.1"
    reasons: ClassVar[tuple[str, ...]] = (
        "empty",
        "repeated_paragraphs",
        "repeated_paragraph_chars",
        "repeated_lines",
        "repeated_line_chars",
        *(f"top_{n}gram" for n in TOP_SIZES),
        *(f"repeated_{n}grams" for n in REPEATED_SIZES),
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

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def missing_extras(self) -> list[MissingExtra]:
        return super().missing_extras() if self.words == "spacy" else []

    def distributions(self) -> tuple[str, ...]:
        return ("spacy",) if self.words == "spacy" else ()

    def open(self) -> Callable[[Batch], Decision]:
        split = SPLITTERS[self.words]
        rules = self._rules()

        def judge(batch: Batch) -> Decision:
            chars = batch.view("text", n_chars)
            paragraphs = batch.view("text", repeated_paragraphs)
            lines = batch.view("text", repeated_lines)
            measured: dict[str, NDArray[Any]] = {
                "empty": chars == 0,
                "repeated_paragraph_fraction": ratio(paragraphs.n_repeated, paragraphs.n_pieces),
                "repeated_paragraph_char_fraction": ratio(paragraphs.repeated_chars, chars),
                "repeated_line_fraction": ratio(lines.n_repeated, lines.n_pieces),
                "repeated_line_char_fraction": ratio(lines.repeated_chars, chars),
            }
            measured |= _ngram_fractions(batch.view("text", split), chars)
            return decide(measured, rules)

        return judge

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


def _ngram_fractions(words: Words, chars: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Shares of the text's characters that its most frequent and its repeated n-grams cover."""
    from ultrakernels.duplicate_ngrams import duplicate_ngrams
    from ultrakernels.top_ngrams import top_ngrams

    tokens = (words.joined, words.begin, words.n_bytes, words.n_chars, words.hashes, words.doc)
    top = top_ngrams(*tokens, TOP_SIZES[-1])
    repeated = duplicate_ngrams(*tokens, np.array(REPEATED_SIZES, dtype=np.int64))
    fractions = {
        f"top_{n}gram_fraction": ratio(top[:, column], chars) for column, n in enumerate(TOP_SIZES)
    }
    for column, n in enumerate(REPEATED_SIZES):
        fractions[f"repeated_{n}gram_fraction"] = ratio(repeated[:, column], chars)
    return fractions
