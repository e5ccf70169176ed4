"""Cuts a text into passages of a size, at the best place that there is near it."""

from __future__ import annotations

import re
from typing import Final

_PLACES: Final = (
    re.compile(r"\n[ \t\r]*\n"),
    re.compile(r"\n"),
    re.compile(r"[.!?][\"”’)]?\s|[。！？][”’」』）]?"),
    re.compile(r"\s"),
)


def passages(text: str, max_chars: int) -> list[str]:
    """Passages of at most `max_chars`, together the whole text but for blanks at the cuts.

    A cut is after an empty line, a line, a sentence or a word: the first of these that leaves the
    passage more than half full; where there is none, in the middle of a word.
    """
    found = []
    rest = text.strip()
    while len(rest) > max_chars:
        end = _end(rest[:max_chars])
        found.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return [*found, rest] if rest else found


def _end(window: str) -> int:
    for place in _PLACES:
        ends = [match.end() for match in place.finditer(window)]
        if ends and ends[-1] > len(window) // 2:
            return ends[-1]
    return len(window)
