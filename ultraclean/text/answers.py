"""Whether prose that a model wrote is what it should be: no refusal, no loop, no talk of a source.

What a question or an answer says of "the document" it was made from makes no sense to its reader.
"""

from __future__ import annotations

import re
from typing import Final

from ultraclean.text.languages import language_of
from ultraclean.text.refusal import refusal
from ultraclean.text.runs import repeated_share

MAX_REPEATED: Final = 0.3
_SOURCE: Final = re.compile(
    r"\b(?:the|this|that|given|provided|above|following) (?:document|text|passage|article|excerpt|background)\b"
    r"|\baccording to the (?:author|document|text|passage)\b"
    r"|本文|文中|上文|(?:该|这篇|此|所给|以上)(?:文档|文章|文本|段落)|根据(?:文档|文章|背景)",
    re.IGNORECASE,
)

_BREAKS_OFF: Final = (
    ",",
    ";",
    "，",
    "；",
    "、",
    "(",
    "（",
    "-",
    "–",
    "—",
    " and",
    " or",
    " the",
    " of",
)


def source_named(text: str) -> str | None:
    """The words in which a text speaks of the document that it was made from."""
    found = _SOURCE.search(text)
    return None if found is None else found[0]


def unfinished(text: str) -> bool:
    """Whether a text breaks off: a constrained decoder may close a string in the middle of a sentence."""
    return text.rstrip().endswith(_BREAKS_OFF)


def fault(
    text: str, language: str, *, min_chars: int = 1, max_chars: int | None = None
) -> tuple[str, str] | None:
    """(reason, detail): too_short, too_long, refusal, wrong_language or repeats; None if it is sound."""
    length = len(text.strip())
    if length < min_chars:
        return "too_short", f"{length} characters"
    if max_chars is not None and length > max_chars:
        return "too_long", f"{length} characters"
    words = refusal(text)
    if words is not None:
        return "refusal", words
    found = language_of(text)
    if found not in (language, "und"):
        return "wrong_language", found
    share = repeated_share(text)
    return ("repeats", f"{share:.0%} of runs of 4 words") if share > MAX_REPEATED else None
