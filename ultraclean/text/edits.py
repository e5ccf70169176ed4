"""Edit programs: small deterministic edits of a document that a model writes instead of the document.

UltraX's language (openbmb/UltraX): one call a line, lines of the text numbered from 1 at `\\n`.

    keep_all()                  remove_all()               remove_lines(first, last)
    replace_str(line, 'old', 'new')                        add_line(after, sub, 'content')

What does not parse is passed over. `keep_all` and `remove_all` mean something only alone.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MAX_SAME_ADD: Final = 2
MAX_PLACES_OF_ADD: Final = 3
MAX_SIMILAR_ADDS: Final = 3
SIMILAR: Final = 0.85
MAX_SAME_REMOVE: Final = 3
MAX_SAME_REPLACE: Final = 30
REPLACE_IN_TEXT: Final = 0.8
"""More than so many equal replacements pass if the text holds what is sought this often per each."""

_SUBS: Final = 10_000
_THOUGHT: Final = re.compile(r"<think>.*?</think>\s*", re.DOTALL)
_STRING: Final = r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_CALLS: Final = {
    "keep_all": re.compile(r"keep_all\(\)"),
    "remove_all": re.compile(r"remove_all\(\)"),
    "remove_lines": re.compile(r"remove_lines\(\s*(\d{1,9})\s*,\s*(\d{1,9})\s*\)"),
    "replace_str": re.compile(rf"replace_str\(\s*(\d{{1,9}})\s*,\s*{_STRING}\s*,\s*{_STRING}\s*\)"),
    "add_line": re.compile(rf"add_line\(\s*(\d{{1,9}})\s*,\s*(\d{{1,9}})\s*,\s*{_STRING}\s*\)"),
}
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}


@dataclass(frozen=True)
class Edit:
    """One call. `line` and `other` are its numbers (first and last, or after and sub)."""

    name: str
    line: int = 0
    other: int = 0
    old: str = ""
    new: str = ""


# --- reading --------------------------------------------------------------------------------------


def numbered(text: str) -> str:
    """The text as a model sees it: `<lid:N>` before each line."""
    return "\n".join(f"<lid:{n}>{line}" for n, line in enumerate(lines_of(text), start=1))


def lines_of(text: str) -> list[str]:
    """Lines without their ends; CRLF and CR are ends, too."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def parse(program: str) -> tuple[list[Edit], int]:
    """The edits of a program, and how many of its lines are none."""
    edits, n_wrong = [], 0
    for line in _THOUGHT.sub("", program).split("\n"):
        call = line.strip()
        if not call or call.startswith("#") or call == "---":
            continue
        edit = _parse_call(call)
        if edit is None:
            n_wrong += 1
        else:
            edits.append(edit)
    return edits, n_wrong


def _parse_call(call: str) -> Edit | None:
    name = call.split("(", maxsplit=1)[0]
    found = _CALLS[name].fullmatch(call) if name in _CALLS else None
    if found is None:
        return None
    if name == "remove_lines":
        return Edit(name, int(found[1]), int(found[2]))
    if name == "replace_str":
        return Edit(name, int(found[1]), old=_unquoted(found[2]), new=_unquoted(found[3]))
    if name == "add_line":
        return Edit(name, int(found[1]), int(found[2]), new=_unquoted(found[3]))
    return Edit(name)


def _unquoted(string: str) -> str:
    quote = string[0]

    def plain(match: re.Match[str]) -> str:
        char = match[1]
        return quote if char == quote else _ESCAPES.get(char, match[0])

    return re.sub(r"\\(.)", plain, string[1:-1], flags=re.DOTALL)


# --- guards ---------------------------------------------------------------------------------------


def is_repetitive(edits: Sequence[Edit], text: str) -> bool:
    """Whether a model went round in circles: the same or nearly the same edit again and again."""
    adds = [edit for edit in edits if edit.name == "add_line"]
    if any(n > MAX_SAME_ADD for n in Counter((one.line, one.new) for one in adds).values()):
        return True
    places = defaultdict(set)
    for one in adds:
        places[one.new].add(one.line)
    if any(len(lines) > MAX_PLACES_OF_ADD for lines in places.values()):
        return True
    removes = Counter((one.line, one.other) for one in edits if one.name == "remove_lines")
    if any(n > MAX_SAME_REMOVE for n in removes.values()):
        return True
    replaces = Counter((one.old, one.new) for one in edits if one.name == "replace_str")
    for (old, _), n in replaces.items():
        if n > MAX_SAME_REPLACE and not (old and text.count(old) >= n * REPLACE_IN_TEXT):
            return True
    return len(adds) > MAX_SIMILAR_ADDS and _largest_group(adds) > MAX_SIMILAR_ADDS


def _largest_group(adds: Sequence[Edit]) -> int:
    """Greedy groups of added lines that are like the first of the group."""
    groups: dict[str, int] = {}
    for one in adds:
        for first in groups:
            if difflib.SequenceMatcher(None, first, one.new).ratio() >= SIMILAR:
                groups[first] += 1
                break
        else:
            groups[one.new] = 1
    return max(groups.values(), default=0)


# --- applying ---------------------------------------------------------------------------------------


def apply(text: str, edits: Sequence[Edit], drop_blank_lines: bool) -> tuple[str, int]:
    """The edited text, and how many edits took effect.

    Lines are those of the text before any edit. A `replace_str` counts only if what it seeks stands
    exactly once in its line; of those that change the same characters the one that seeks most wins.
    """
    lines: dict[int, str] = dict(enumerate(lines_of(text), start=1))
    n_lines, n_applied = len(lines), 0
    by_line = defaultdict(list)
    for edit in edits:
        if (
            edit.name == "replace_str"
            and lines.get(edit.line, "").count(edit.old) == 1
            and edit.old
        ):
            by_line[edit.line].append(edit)
    for number, some in by_line.items():
        lines[number], n = _replaced(lines[number], some)
        n_applied += n
    kept: dict[tuple[int, int], str] = {(number, 0): line for number, line in lines.items()}
    for edit in edits:
        if edit.name == "remove_lines":
            gone = [place for place in kept if (edit.line, 0) <= place <= (edit.other, 0)]
            for place in gone:
                del kept[place]
            n_applied += bool(gone)
        elif edit.name == "add_line" and edit.line <= n_lines and 0 < edit.other < _SUBS:
            kept[edit.line, edit.other] = edit.new.rstrip("\n")
            n_applied += 1
    result = "\n".join(kept[place] for place in sorted(kept))
    if drop_blank_lines:
        result = re.sub("\n\n+", "\n", result)
    return result.strip("\n"), n_applied


def _replaced(line: str, edits: Sequence[Edit]) -> tuple[str, int]:
    """The line with the edits that do not get in each other's way."""
    taken: list[tuple[int, int, str]] = []
    for edit in sorted(edits, key=lambda edit: -len(edit.old)):
        start, stop, new = _changed(edit, line.index(edit.old))
        if (start, stop, new) == (start, start, ""):
            continue
        # Changes may touch, but not overlap; two insertions at one place have no order.
        clear = (stop <= begin or start >= end for begin, end, _ in taken)
        if all(clear) and (start, stop) not in [one[:2] for one in taken]:
            taken.append((start, stop, new))
    for start, stop, new in sorted(taken, reverse=True):
        line = line[:start] + new + line[stop:]
    return line, len(taken)


def _changed(edit: Edit, at: int) -> tuple[int, int, str]:
    """The characters that an edit really changes: its context at both ends is left out."""
    old, new = edit.old, edit.new
    before = _n_common(old, new)
    after = _n_common(old[before:][::-1], new[before:][::-1])
    return at + before, at + len(old) - after, new[before : len(new) - after]


def _n_common(one: str, other: str) -> int:
    """How many characters two strings share at their start."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
