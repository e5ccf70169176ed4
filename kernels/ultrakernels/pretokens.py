"""Where a tokenizer's rules cut a text before BPE: passes over classes of bytes, without expressions.

A text has a class byte per byte (all bytes of a character have its classes, one bit each) and marks
where pieces begin. A pass adds marks, as one splitting rule of a `tokenizer.json` does with what the
rules before it left: `[set]` each, `[set]+`, `\\s?[set]+`, `\\s+$`, and GPT-2's expression.
"""

from __future__ import annotations

import re
from typing import Any, Final

import numba
import numpy as np

EACH, RUNS, SPACED_RUNS, TRAILING, GPT2 = range(5)
"""The rules."""
WHITE: Final = 1
"""The class of white space; GPT-2's letters and numbers have these two."""
LETTER: Final = 2
NUMBER: Final = 4


@numba.njit(cache=True, nogil=True)
def classes(data: Any, start: Any, stop: Any, kinds: Any, out: Any) -> None:
    """out[i] is the class of the character that data[start + i] belongs to; UTF-8 must be valid."""
    at = np.uint64(start)
    base = np.uint64(start)
    end = np.uint64(stop)
    while at < end:
        byte = data[at]
        if byte < 0x80:
            out[at - base] = kinds[np.uint64(byte)]
            at += np.uint64(1)
            continue
        code = np.uint32(byte)
        size = np.uint64(2)
        if byte >= 0xF0:
            size = np.uint64(4)
            code &= np.uint32(0x07)
        elif byte >= 0xE0:
            size = np.uint64(3)
            code &= np.uint32(0x0F)
        else:
            code &= np.uint32(0x1F)
        for k in range(np.uint64(1), size):
            code = np.uint32(code << np.uint32(6)) | np.uint32(data[at + k] & 0x3F)
        kind = kinds[np.uint64(code)]
        for k in range(size):
            out[at + k - base] = kind
        at += size


@numba.njit(cache=True, nogil=True)
def cut(data: Any, start: Any, n: Any, kinds: Any, rules: Any, bits: Any, marks: Any) -> None:
    """Sets marks[i] where a piece of data[start:start + n] begins; marks[n] is set, too.

    `kinds` uint8[n] from `classes`; rule i of `rules` is for the class bits[i].
    """
    marks[: n + 1] = 0
    if n:
        marks[0] = 1
    marks[n] = 1
    for i in range(len(rules)):
        rule, bit = rules[i], bits[i]
        if rule == EACH:
            for at in range(1, n):
                if ((kinds[at] | kinds[at - 1]) & bit) and (data[start + at] & 0xC0) != 0x80:
                    marks[at] = 1
        elif rule == RUNS:
            for at in range(1, n):
                if (kinds[at] ^ kinds[at - 1]) & bit:
                    marks[at] = 1
        elif rule == SPACED_RUNS:
            _spaced_runs(data, start, n, kinds, bit, marks)
        elif rule == TRAILING:
            _trailing(n, kinds, marks)
        else:
            _gpt2(data, start, n, kinds, marks)


@numba.njit(cache=True, nogil=True)
def _spaced_runs(data: Any, start: Any, n: Any, kinds: Any, bit: Any, marks: Any) -> None:
    for at in range(1, n):
        if (kinds[at] ^ kinds[at - 1]) & bit:
            if kinds[at] & bit and kinds[at - 1] & WHITE and not marks[at]:
                first = at - 1
                while (data[start + first] & 0xC0) == 0x80:
                    first -= 1
                marks[first] = 1
            else:
                marks[at] = 1


@numba.njit(cache=True, nogil=True)
def _trailing(n: Any, kinds: Any, marks: Any) -> None:
    first = 0  # where the white space begins that the piece may end in
    for at in range(n):
        if marks[at] or not kinds[at] & WHITE:
            first = at if kinds[at] & WHITE else at + 1
        if marks[at + 1] and first <= at:
            marks[first] = 1


@numba.njit(cache=True, nogil=True)
def _next(data: Any, start: Any, at: Any) -> Any:
    """The next character."""
    at += 1
    while (data[start + at] & 0xC0) == 0x80:
        at += 1
    return at


@numba.njit(cache=True, nogil=True)
def _gpt2(data: Any, start: Any, n: Any, kinds: Any, marks: Any) -> None:
    """'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"""
    three = WHITE | LETTER | NUMBER
    at = 0
    while at < n:
        marks[at] = 1
        byte = data[start + at]
        if byte == 39 and not marks[at + 1]:
            second = data[start + at + 1]
            third = np.uint8(0)
            if not marks[at + 2] and at + 2 < n:
                third = data[start + at + 2]
            if second in (115, 116, 109, 100):
                at += 2
                continue
            if third and (
                (second in (114, 118) and third == 101) or (second == 108 and third == 108)
            ):
                at += 3
                continue
        kind = kinds[at] & three
        if byte == 32 and not marks[at + 1] and not kinds[at + 1] & WHITE:
            at += 1
            kind = kinds[at] & three
        if kind & WHITE:
            last = at  # the last character of the white space
            at += 1
            while not marks[at] and kinds[at] & WHITE:
                if (data[start + at] & 0xC0) != 0x80:
                    last = at
                at += 1
            # before what is no white space, one of several stays for it
            first_of_one = at
            if not marks[at] and marks[last] == 0:
                first_of_one = last
            at = first_of_one
            continue
        at += 1
        while not marks[at] and kinds[at] & three == kind:
            at += 1


def reference(text: str, rules: list[tuple[int, set[str]]], white: set[str]) -> list[str]:
    """The pieces of a text, rule by rule on strings; a rule's set has letters, then numbers, for GPT2."""
    pieces = [text] if text else []
    for rule, chosen in rules:
        pieces = [part for piece in pieces for part in _split(piece, rule, chosen, white)]
    return pieces


def _split(piece: str, rule: int, chosen: set[str], white: set[str]) -> list[str]:
    one = f"[{re.escape(''.join(sorted(chosen)))}]" if chosen else "(?!)"
    space = f"[{re.escape(''.join(sorted(white)))}]"
    pattern = {
        EACH: one,
        RUNS: f"{one}+",
        SPACED_RUNS: f"{space}?{one}+",
        TRAILING: f"{space}+\\Z",
    }[rule]
    parts, last = [], 0
    for found in re.finditer(pattern, piece):
        parts += [piece[last : found.start()], found[0]]
        last = found.end()
    return [part for part in [*parts, piece[last:]] if part]
