"""Whether an answer in prose is one: its length and language, no refusal, no loop, no talk of a source.

What a question or an answer says of "the document" it was made from makes no sense to its reader.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from ultrachat.checks.language import language_of
from ultrachat.checks.refusal import check_refusal
from ultrachat.checks.verdict import PASS, Verdict

_SOURCE: Final = re.compile(
    r"\b(?:the|this|that|given|provided|above|following) (?:document|text|passage|article|excerpt|background)\b"
    r"|\baccording to the (?:author|document|text|passage)\b"
    r"|本文|文中|上文|(?:该|这篇|此|所给|以上)(?:文档|文章|文本|段落)|根据(?:文档|文章|背景)",
    re.IGNORECASE,
)
_WORD: Final = re.compile(r"[\u3400-\u9fff]|[^\W_]+")
_COMMON: Final = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "can",
        "do",
        "does",
        "for",
        "from",
        "has",
        "have",
        "how",
        "if",
        "in",
        "is",
        "it",
        "its",
        "of",
        "on",
        "or",
        "that",
        "the",
        "this",
        "to",
        "was",
        "were",
        "what",
        "when",
        "where",
        "which",
        "who",
        "why",
        "will",
        "with",
        "you",
        "your",
        "的",
        "了",
        "是",
        "在",
        "和",
        "有",
        "为",
        "与",
        "中",
        "不",
        "这",
        "那",
    ]
)


def words_of(text: str) -> list[str]:
    """Words in lower case; in Chinese, characters."""
    return _WORD.findall(text.lower())


def check_prose(
    text: str, language: str, *, min_chars: int = 1, max_chars: int | None = None
) -> Verdict:
    """Reasons: too_short, too_long, refusal, wrong_language, repeats, mentions_source."""
    length = len(text.strip())
    if length < min_chars:
        return Verdict("too_short", f"{length} characters")
    if max_chars is not None and length > max_chars:
        return Verdict("too_long", f"{length} characters")
    refusal = check_refusal(text)
    if not refusal.ok:
        return refusal
    found = language_of(text)
    if found not in (language, "und"):
        return Verdict("wrong_language", found)
    share = repeated_share(text)
    if share > MAX_REPEATED:
        return Verdict("repeats", f"{share:.0%} of runs of {N_GRAM} words")
    source = _SOURCE.search(text)
    return PASS if source is None else Verdict("mentions_source", source[0])


MAX_REPEATED: Final = 0.3
N_GRAM: Final = 4


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
