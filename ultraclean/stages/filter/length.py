"""Drops documents that are too short or too long, in characters, words, or bytes.

Our own; the limits of a model or a format, not a quality rule. Characters are code points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

from numpy.typing import NDArray
from pydantic import Field, model_validator

from ultraclean.document import Batch, n_bytes, n_chars
from ultraclean.stage import Decision, Rule, at_least, at_most, decide
from ultraclean.stages.filter.rule_set import SplitsWords
from ultraclean.text.words import n_words


def _limit(what: str) -> Any:
    return Field(default=None, ge=0, description=f"{what} of the text; none: not tested")


class Length(SplitsWords):
    stage: ClassVar[str] = "filter.length"
    paper: ClassVar[str] = "our own"
    reasons: ClassVar[tuple[str, ...]] = (
        "too_few_chars",
        "too_many_chars",
        "too_few_words",
        "too_many_words",
        "too_few_bytes",
        "too_many_bytes",
    )
    min_chars: int | None = _limit("fewest characters")
    max_chars: int | None = _limit("most characters")
    min_words: int | None = _limit("fewest words")
    max_words: int | None = _limit("most words")
    min_bytes: int | None = _limit("fewest bytes of UTF-8")
    max_bytes: int | None = _limit("most bytes of UTF-8")

    @model_validator(mode="after")
    def _limits_make_sense(self) -> Self:
        limits = [
            (unit, getattr(self, f"min_{unit}"), getattr(self, f"max_{unit}"))
            for unit in ("chars", "words", "bytes")
        ]
        if all(low is None and high is None for _, low, high in limits):
            raise ValueError("no limit is given: set min_chars, max_chars, min_words or the like")
        for unit, low, high in limits:
            if low is not None and high is not None and low > high:
                raise ValueError(f"min_{unit} ({low}) is more than max_{unit} ({high})")
        return self

    def open(self) -> Callable[[Batch], Decision]:
        # Words cost more than the other two: they are split only where a limit asks for them.
        count_words = self.min_words is not None or self.max_words is not None
        rules = self._rules()
        if not count_words:
            rules = [rule for rule in rules if rule.measure != "n_words"]

        def judge(batch: Batch) -> Decision:
            measured: dict[str, NDArray[Any]] = {
                "n_chars": batch.view("text", n_chars),
                "n_bytes": batch.view("text", n_bytes),
            }
            if count_words:
                measured["n_words"] = n_words(batch, self.words)
            return decide(measured, rules)

        return judge

    def _rules(self) -> list[Rule]:
        return [
            at_least("too_few_chars", "n_chars", self.min_chars),
            at_most("too_many_chars", "n_chars", self.max_chars),
            at_least("too_few_words", "n_words", self.min_words),
            at_most("too_many_words", "n_words", self.max_words),
            at_least("too_few_bytes", "n_bytes", self.min_bytes),
            at_most("too_many_bytes", "n_bytes", self.max_bytes),
        ]
