"""Whether a spaCy tokenizer can cut a run of letters at all, read off its regular expressions.

A run is cut by prefixes, suffixes and infixes. If every match of these needs a character that is no
letter, then a run of letters that is no special case is one token, and need not be tokenised.
"""

from __future__ import annotations

import re
from typing import Any

from ultraclean.text import characters


def stay_whole(tokenizer: Any) -> bool:
    """Whether prefixes, suffixes and infixes all need something that `str.isalpha` denies.

    False also where this cannot be told: functions of a language's own, Pythons without the parser.
    """
    try:
        from re import _constants, _parser  # type: ignore[attr-defined]
    except ImportError:
        return False
    letters = ((characters.table() & characters.ALPHA) > 0).tobytes()
    for search in (tokenizer.prefix_search, tokenizer.suffix_search, tokenizer.infix_finditer):
        if search is None:
            continue
        pattern = getattr(search, "__self__", None)
        if not isinstance(pattern, re.Pattern):
            return False
        tree = _parser.parse(pattern.pattern, pattern.flags)
        if not _needs_other(tree, letters, bool(pattern.flags & re.IGNORECASE), _constants):
            return False
    return True


def _needs_other(tree: Any, letters: bytes, folds: bool, k: Any) -> bool:
    """Whether every match of a parsed expression has, or looks at, a character that is no letter."""

    def needs(one: Any) -> bool:
        op, value = one
        if op is k.LITERAL:
            return not _may_be(letters, value, folds)
        if op is k.IN:
            return not any(_holds_letter(item, letters, folds, k) for item in value)
        if op is k.BRANCH:
            return all(_needs_other(branch, letters, folds, k) for branch in value[1])
        if op is k.SUBPATTERN:
            _, added, removed, inner = value
            inside = (folds or bool(added & re.IGNORECASE)) and not removed & re.IGNORECASE
            return _needs_other(inner, letters, inside, k)
        if op in (k.MAX_REPEAT, k.MIN_REPEAT):
            return value[0] > 0 and _needs_other(value[2], letters, folds, k)
        if op is k.ASSERT:
            return _needs_other(value[1], letters, folds, k)
        return False

    return any(needs(one) for one in tree)


def _holds_letter(item: Any, letters: bytes, folds: bool, k: Any) -> bool:
    """Whether an item of a class of characters may match a letter."""
    op, value = item
    if op is k.LITERAL:
        return _may_be(letters, value, folds)
    if op is k.RANGE:
        first, last = value
        if not folds:
            return any(letters[first : last + 1])
        return any(_may_be(letters, code, folds) for code in range(first, last + 1))
    return not (op is k.CATEGORY and value in (k.CATEGORY_DIGIT, k.CATEGORY_SPACE))


def _may_be(letters: bytes, code: int, folds: bool) -> bool:
    char = chr(code)
    other = char.lower() + char.upper() if folds else ""
    return any(letters[ord(one)] for one in char + other)
