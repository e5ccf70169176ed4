"""Instructions that code can verify, in English and Chinese, each with its checker and its bench.

The 25 types of IFEval (Zhou et al. 2023, arXiv 2311.07911, table 1) under its names, and five more
so that Chinese, which has no letter case, has more than 25 too. Different from IFEval on purpose:
sentences and words are counted in Chinese as well, `relation` also knows `at_most` and `exactly`,
and a checker says what it found instead of False.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ultrachat.checks.constraints import case, content, edges, forms, keywords, length
from ultrachat.checks.constraints.kind import Kind
from ultrachat.checks.verdict import PASS, Verdict

KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for family in (keywords, length, content, forms, edges, case)
    for kind in family.KINDS
}

CONFLICTS: Final[tuple[frozenset[str], ...]] = tuple(
    frozenset(group)
    for group in (
        # Each of these wants the whole answer in one form.
        (
            "detectable_format:json_format",
            "detectable_format:constrained_response",
            "combination:two_responses",
            "combination:repeat_prompt",
            "startend:quotation",
        ),
        (
            "length_constraints:number_paragraphs",
            "length_constraints:nth_paragraph_first_word",
            "length_constraints:number_lines",
            "combination:two_responses",
            "detectable_format:json_format",
            "detectable_format:constrained_response",
        ),
        (
            "change_case:english_capital",
            "change_case:english_lowercase",
            "change_case:capital_word_frequency",
        ),
        ("startend:start_checker", "startend:quotation", "combination:repeat_prompt"),
        ("startend:end_checker", "startend:quotation", "detectable_content:postscript"),
        ("punctuation:no_comma", "detectable_format:json_format"),
    )
)


@dataclass(frozen=True)
class Instruction:
    """One constraint with its numbers: what a record keeps and a checker reads."""

    kind: str
    params: dict[str, Any]
    language: str = "en"

    @property
    def text(self) -> str:
        """The instruction in words."""
        shown = {
            name: KINDS[self.kind].show(value, self.language) for name, value in self.params.items()
        }
        return KINDS[self.kind].say[self.language].format(**shown)

    def check(self, answer: str) -> Verdict:
        """Whether the answer does it."""
        wrong = KINDS[self.kind].check(answer, {**self.params, "language": self.language})
        return PASS if wrong is None else Verdict(self.kind.split(":")[1], wrong)


def draw(rng: random.Random, language: str, n: int = 1, prompt: str = "") -> list[Instruction]:
    """`n` instructions that do not exclude each other, with their numbers."""
    names = [name for name, kind in KINDS.items() if language in kind.say]
    rng.shuffle(names)
    chosen: list[str] = []
    for name in names:
        if len(chosen) < n and not any(
            name in group and group & set(chosen) for group in CONFLICTS
        ):
            chosen.append(name)
    return [Instruction(name, KINDS[name].draw(rng, language, prompt), language) for name in chosen]


def check_all(answer: str, instructions: Sequence[Instruction]) -> list[Verdict]:
    """One verdict per instruction; a strict pass is that all are ok."""
    return [instruction.check(answer) for instruction in instructions]


__all__ = ["CONFLICTS", "KINDS", "Instruction", "Kind", "check_all", "draw"]
