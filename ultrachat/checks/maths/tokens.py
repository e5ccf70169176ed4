"""Mathematical notation as tokens: LaTeX and plain signs become the same, units are left out."""

from __future__ import annotations

import re
from typing import Final


class Unreadable(ValueError):
    """It is no notation that this parser knows."""


_REPLACED: Final = (
    (r"\\(?:left|right|big|Big|bigg|Bigg|displaystyle|limits|,|;|:|!|quad|qquad)(?![A-Za-z])", " "),
    (r"\\[dt]frac", r"\\frac"),
    (r"\\(?:text|mathrm|mbox|textbf|mathbf|operatorname|textit)\s*\{([^{}]*)\}", r" @\1@ "),
    (r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)|°|\\degree", " @degrees@ "),
    (r"\\(?:cdot|times|ast)|[×·∗]|\*\*(?=\s*$)", "*"),
    (r"\*\*", "^"),
    (r"\\div|÷", "/"),
    (r"\\%|％", "%"),
    (r"\\?[$€£¥￥]", " "),
    (r"\\infty|∞", " infinity "),
    (r"\\pi(?![A-Za-z])|π", " pi "),
    (r"\\pm|±", " pm "),
    (r"\\cup|∪", " U "),
    (r"\\(?:le|leq)(?![A-Za-z])|≤", "<="),
    (r"\\(?:ge|geq)(?![A-Za-z])|≥", ">="),
    (r"\\in(?![A-Za-z])|∈", "="),
    (r"√\s*(\d+)", r" sqrt(\1) "),
    (r"√", " sqrt "),
    (r"\\\{", "⟨"),
    (r"\\\}", "⟩"),
    (r"[−–—]", "-"),
    (r"[，]", ","),
    (r"[（]", "("),
    (r"[）]", ")"),
    (r"\\ ", " "),
    (r"~", " "),
)  # fmt: skip
_UNITS: Final = (
    r"@[^@]*@|(?<=\d)\s*(?:dollars?|cents?|euros?|yuan|hours?|minutes?|mins?|seconds?|secs?|days?|weeks?|"
    r"months?|years?|meters?|metres?|miles?|feet|foot|inch(?:es)?|pounds?|lbs?|kilograms?|grams?|"
    r"liters?|litres?|gallons?|people|apples?|degrees?|units?|points?|times|cm|mm|km|kg|mph|ml|"
    r"square|cubic|per|元|个|米|千克|公斤|小时|分钟|秒|天|年|岁|人|厘米|千米|平方米|度|只|本|块)(?![A-Za-z])"
)
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d*\.\d+|\d+\.?)|(?P<command>\\[A-Za-z]+)"
    r"|(?P<word>[A-Za-z]+)|(?P<sign><=|>=|[-+*/^_!%(){}\[\],=<>|;⟨⟩]))"
)


def tokens(text: str) -> list[tuple[str, str]]:
    text = text.strip().strip("`").rstrip(".。").strip()
    for pattern, replacement in _REPLACED:
        text = re.sub(pattern, replacement, text)
    for _ in range(6):  # units may follow each other: dollars per hour
        text, n_found = re.subn(_UNITS, " ", text)
        if not n_found:
            break
    found = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.end() == at:
            raise Unreadable(f"{text[at : at + 10]!r}")
        found.append((str(match.lastgroup), match[str(match.lastgroup)]))
        at = match.end()
    if not found:
        raise Unreadable("nothing")
    return found
