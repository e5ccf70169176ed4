"""Runs of words: how much of a text repeats itself, and how much two texts share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

_WORD: Final = re.compile(r"[\u3400-\u9fff]|[^\W_]+")
_COMMON_EN: Final = """
a an and are as at be by can do does for from has have how if in is it its of on or that the this to was
were what when where which who why will with you your"""
_COMMON_ZH: Final = "的了是在和有为与中不这那"
_COMMON: Final = frozenset([*_COMMON_EN.split(), *_COMMON_ZH])
N_GRAM: Final = 4


def words_of(text: str) -> list[str]:
    """Words in lower case; in Chinese, characters."""
    return _WORD.findall(text.lower())


def repeated_share(text: str, n: int = N_GRAM) -> float:
    """The part of all runs of n words that stood before: small models fall into loops."""
    words = words_of(text)
    runs = Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))
    total = sum(runs.values())
    return 0.0 if total < 2 * n else (total - len(runs)) / total


def overlap(text: str, wanted: str) -> float:
    """The part of the content words of `wanted` that stand in `text`."""
    needed = set(words_of(wanted)) - _COMMON
    return len(needed & set(words_of(text))) / len(needed) if needed else 1.0


def alike(one: str, other: str, n: int = 3) -> float:
    """Jaccard similarity of runs of n words."""
    first, second = (_runs(words_of(text), n) for text in (one, other))
    either = first | second
    return len(first & second) / len(either) if either else 1.0


def _runs(words: Sequence[str], n: int) -> set[tuple[str, ...]]:
    if len(words) < n:
        return {tuple(words)}
    return {tuple(words[at : at + n]) for at in range(len(words) - n + 1)}
