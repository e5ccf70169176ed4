"""Which lines of a text C4's rules remove, and which drop it, in the reading of each dialect.

`ultraclean.stages.filter.c4` says where the readings come from; `ultrakernels.sentence_lines` is the
fast version of `datatrove`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

CITATION: Final = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
LINE_ENDS: Final = (".", "?", "!", '"', "'")
POLICIES: Final = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
_ALL: Final = ("long_word", "no_end_mark", "few_words", "javascript", "policy")
CAUSES: Final[dict[str, tuple[str, ...]]] = {
    "datatrove": _ALL,
    "dclm": _ALL,
    "dolma": ("no_end_mark", "few_words"),
}
"""Why a line goes, by dialect."""

# Case is ignored by the regular expression in DCLM, which finds a long s (U+017F) in `javaſcript` too.
_JAVASCRIPT: Final = re.compile("javascript", re.IGNORECASE)
_POLICY: Final = re.compile("|".join(POLICIES), re.IGNORECASE)
_END_MARK: Final = re.compile(r"[.!?\"\u2026]\s*$")
_ELLIPSIS: Final = re.compile(r"(?:\.\.\.|\u2026)\s*$")


@dataclass(frozen=True)
class LineRules:
    """The fields of `filter.c4` that say what happens to a line."""

    min_line_words: int | None
    max_word_chars: int | None
    end_mark: bool
    citations: bool
    lorem_ipsum: bool
    javascript: bool
    curly_bracket: bool
    policy: bool

    def long_word(self, line: str) -> bool:
        # No word is longer than its line, and few lines are so long.
        most = self.max_word_chars
        if most is None or len(line) <= most:
            return False
        return max(map(len, line.split()), default=0) > most

    def few_words(self, n_words: int) -> bool:
        return self.min_line_words is not None and n_words < self.min_line_words


@dataclass(frozen=True)
class Cleaned:
    """What is left of a text: it, the lines in which sentences are counted, and what went and why.

    `counts` has `n_lines`, one of CAUSES for each line that went, and 1 for what drops the text.
    """

    text: str
    lines: list[str]
    counts: Counter[str]


def datatrove(rules: LineRules, text: str) -> Cleaned:
    """datatrove 0.10.1: line by line, stripped; a line that drops the text ends the reading."""
    kept: list[str] = []
    counts: Counter[str] = Counter()
    lines = text.splitlines()
    counts["n_lines"] = len(lines)
    blank = datatrove_line(rules, "")[1]
    for number, raw in enumerate(lines):
        stripped = raw.strip()
        line, cause = datatrove_line(rules, stripped) if stripped else ("", blank)
        if cause is None:
            kept.append(line)
            continue
        counts[cause] += 1
        if cause in ("lorem_ipsum", "curly_bracket"):
            counts["n_lines"] = number + 1
            break
    return Cleaned("\n".join(kept).strip(), kept, counts)


def datatrove_line(rules: LineRules, line: str) -> tuple[str, str | None]:
    """The line without citations, and why it, or its document, goes; None keeps it."""
    words = line.split()
    if rules.long_word(line):
        return line, "long_word"
    if rules.citations and "[" in line:
        line = CITATION.sub("", line)
    if rules.end_mark and (not line.endswith(LINE_ENDS) or line.endswith("...")):
        return line, "no_end_mark"
    if rules.few_words(len(words)):
        return line, "few_words"
    lower = line.lower()
    if rules.lorem_ipsum and "lorem ipsum" in lower:
        return line, "lorem_ipsum"
    if rules.javascript and "javascript" in lower:
        return line, "javascript"
    if rules.curly_bracket and "{" in line:
        return line, "curly_bracket"
    if rules.policy and any(phrase in lower for phrase in POLICIES):
        return line, "policy"
    return line, None


def dclm(rules: LineRules, text: str) -> Cleaned:
    """DCLM's c4.yaml: step by step over the whole text; lines keep their blanks, empty ones stay."""
    counts: Counter[str] = Counter()
    lines = text.split("\n")
    counts["n_lines"] = len(lines)

    def remove(cause: str, enabled: bool, goes: Callable[[str], object]) -> None:
        if enabled:
            before = len(lines)
            lines[:] = [line for line in lines if not goes(line)]
            counts[cause] += before - len(lines)

    remove("long_word", True, rules.long_word)
    if rules.citations:
        lines[:] = [CITATION.sub("", line) for line in lines]
    remove("no_end_mark", rules.end_mark, lambda line: line and not _ended(line))
    remove("few_words", True, lambda line: line and rules.few_words(len(line.split())))
    if rules.lorem_ipsum and any("lorem ipsum" in line.lower() for line in lines):
        counts["lorem_ipsum"] = 1
    remove("javascript", rules.javascript, _JAVASCRIPT.search)
    if rules.curly_bracket and not counts["lorem_ipsum"] and any("{" in line for line in lines):
        counts["curly_bracket"] = 1
    remove("policy", rules.policy, _POLICY.search)
    left = "\n".join(lines).strip()
    counts["empty"] = int(not left)
    return Cleaned(left, [line for line in lines if line], counts)


def _ended(line: str) -> bool:
    return bool(_END_MARK.search(line)) and not _ELLIPSIS.search(line)


def dolma(rules: LineRules, text: str) -> Cleaned:
    """dolma's tagger c4_v2 and the mixer of its c4-replication: lines are cut out with their newline."""
    counts: Counter[str] = Counter()
    lower = text.lower()
    counts["curly_bracket"] = int(rules.curly_bracket and "{" in lower)
    counts["lorem_ipsum"] = int(rules.lorem_ipsum and "lorem ipsum" in lower)
    counts["javascript"] = int(rules.javascript and "javascript" in lower)
    lines = text.split("\n")
    counts["n_lines"] = len(lines)
    kept = []
    for number, line in enumerate(lines):
        stripped = line.lower().strip()
        if rules.end_mark and not stripped.endswith(LINE_ENDS[:-1]):
            counts["no_end_mark"] += 1
        elif rules.few_words(len(stripped.split())):
            counts["few_words"] += 1
        else:
            kept.append(line + ("\n" if number + 1 < len(lines) else ""))
    return Cleaned("".join(kept), kept, counts)


DIALECTS: Final[dict[str, Callable[[LineRules, str], Cleaned]]] = {
    "datatrove": datatrove,
    "dclm": dclm,
    "dolma": dolma,
}
