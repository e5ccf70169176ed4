"""The answer on which most of several solutions agree, by equivalence and not by spelling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ultrachat.checks.maths.equal import equal
from ultrachat.checks.maths.extract import final_answer
from ultrachat.checks.maths.tokens import Unreadable


@dataclass(frozen=True)
class Agreement:
    """The largest group of solutions with the same final answer; the first of equal ones."""

    answer: str | None
    members: tuple[int, ...]
    """Their places among the solutions."""


def agreement(solutions: Sequence[str]) -> Agreement:
    """Groups solutions by their final answers; those without one belong to no group."""
    groups: list[tuple[str, list[int]]] = []
    for at, solution in enumerate(solutions):
        answer = final_answer(solution)
        if not answer:
            continue
        group = next((members for known, members in groups if _same(answer, known)), None)
        if group is None:
            groups.append((answer, [at]))
        else:
            group.append(at)
    if not groups:
        return Agreement(None, ())
    answer, members = max(groups, key=lambda group: len(group[1]))
    return Agreement(answer, tuple(members))


def _same(one: str, other: str) -> bool:
    try:
        return equal(one, other)
    except Unreadable:
        return False
