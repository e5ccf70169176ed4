"""Drops documents with lines that do not end, short lines, repeated lines, or lists.

Penedo et al. 2024 (FineWeb, arXiv 2406.17557), section 3.6, in the reading of datatrove 0.10.1:
lines between newlines, blank ones left out, nothing stripped; a short line has at most 30
characters; newlines are divided by words.

The rules exist in this reading alone: DCLM and dolma have none of them.

Deliberately different: all measures are taken for every document, and off is None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ultraclean.document import Batch
from ultraclean.stage import Decision, absent, at_least, at_most, decide
from ultraclean.stages.filter.rule_set import RuleSet, SplitsWords
from ultraclean.text.characters import TERMINAL
from ultraclean.text.lines import NonblankLines
from ultraclean.text.web import measure


class Fineweb(SplitsWords, RuleSet):
    stage: ClassVar[str] = "filter.fineweb"
    paper: ClassVar[str] = "Penedo et al. 2024 (FineWeb), 3.6; semantics of datatrove 0.10.1"
    reasons: ClassVar[tuple[str, ...]] = (
        "empty",
        "few_ended_lines",
        "short_lines",
        "repeated_line_chars",
        "list",
    )
    dialect: Literal["datatrove"] = Field(
        default="datatrove", description="whose reading of the rules to follow"
    )
    min_ended_line_fraction: float | None = Field(
        default=0.12, ge=0, description="fewest lines whose last character ends a sentence"
    )
    allow_no_ended_line: bool = Field(
        default=False, description="keep documents in which not one line ends so"
    )
    end_chars: tuple[str, ...] | None = Field(
        default=None, description="characters that end a sentence; none: those of all scripts"
    )
    max_short_line_fraction: float | None = Field(
        default=0.67, ge=0, description="most lines of at most `short_line_chars`"
    )
    short_line_chars: int = Field(default=30, ge=0, description="characters of a short line")
    max_repeated_line_char_fraction: float | None = Field(
        default=0.01,
        ge=0,
        description="most characters in lines that occurred before, newlines not counted",
    )
    max_newlines_per_word: float | None = Field(
        default=0.3, ge=0, description="most newlines for each word"
    )

    @model_validator(mode="after")
    def _ends_are_characters(self) -> Self:
        for end in self.end_chars or ():
            if len(end) != 1:
                raise ValueError(f"end_chars: {end!r} is not one character")
        return self

    def open(self) -> Callable[[Batch], Decision]:
        ends = TERMINAL if self.end_chars is None else frozenset(self.end_chars)
        look = NonblankLines(ends, self.short_line_chars)
        ended = "some_ended_line_fraction" if self.allow_no_ended_line else "ended_line_fraction"
        rules = [
            absent("empty", "empty"),
            at_least("few_ended_lines", ended, self.min_ended_line_fraction),
            at_most("short_lines", "short_line_fraction", self.max_short_line_fraction),
            at_most(
                "repeated_line_chars",
                "repeated_line_char_fraction",
                self.max_repeated_line_char_fraction,
            ),
            at_most("list", "newlines_per_word", self.max_newlines_per_word),
        ]

        def judge(batch: Batch) -> Decision:
            measured = measure(batch, self.words, look)
            if self.allow_no_ended_line:
                share = measured["ended_line_fraction"]
                measured[ended] = np.where(share == 0, np.nan, share)
            return decide(measured, rules)

        return judge
