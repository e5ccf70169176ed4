"""Whether an answer in prose is one: `ultraclean.text.answers` as a check."""

from __future__ import annotations

from ultrachat.checks.verdict import PASS, Verdict
from ultraclean.text.answers import fault, source_named
from ultraclean.text.runs import alike, overlap, repeated_share, words_of

__all__ = ["alike", "check_prose", "overlap", "repeated_share", "words_of"]


def check_prose(
    text: str, language: str, *, min_chars: int = 1, max_chars: int | None = None
) -> Verdict:
    """Reasons: too_short, too_long, refusal, wrong_language, repeats, mentions_source."""
    found = fault(text, language, min_chars=min_chars, max_chars=max_chars)
    if found is not None:
        return Verdict(*found)
    source = source_named(text)
    return PASS if source is None else Verdict("mentions_source", source)
