"""The lines of a text that look like sentences, and why the others go: the rules of C4, over UTF-8.

Raffel et al. 2020, section 2.2, as `ultraclean.stages.filter.c4` puts it: one pass per line finds its
words, its end and its phrases; kept lines are copied, stripped and without citations.
"""

# ruff: noqa: PLR0915 (a loop over arrays stays one loop, and takes them one by one)

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numba
import numpy as np

from ultrakernels.utf8 import decode

SPACE: Final = 1
DIGIT: Final = 2
LINE_BREAK: Final = 8
TERMINAL: Final = 64
CLOSING: Final = 128
"""Bits of the table of code points."""

LONG_WORD, NO_END_MARK, FEW_WORDS, LOREM_IPSUM, JAVASCRIPT, CURLY_BRACKET, POLICY = range(7)
"""Why a line goes, in the order in which it is asked; KEPT where it does not."""
KEPT: Final = -1
N_CAUSES: Final = 7

PHRASES: Final = (
    b"lorem ipsum",
    b"javascript",
    b"terms of use",
    b"privacy policy",
    b"cookie policy",
    b"uses cookies",
    b"use of cookies",
    b"use cookies",
)
_CAUSE_OF_PHRASE: Final = np.array([LOREM_IPSUM, JAVASCRIPT] + [POLICY] * 6)
_TEXT: Final = np.frombuffer(b"".join(PHRASES), dtype=np.uint8)
_ENDS: Final = np.cumsum([0, *map(len, PHRASES)])
_SECOND: Final = np.zeros(256, dtype=np.uint8)
"""The letter that must follow a letter with which a phrase begins, in lower case; 0 where none begins."""
for _phrase_of in PHRASES:
    assert _SECOND[_phrase_of[0]] in (0, _phrase_of[1])
    _SECOND[[_phrase_of[0], _phrase_of[0] - 32]] = _phrase_of[1]
_EDIT: Final = np.frombuffer(b"edit]", dtype=np.uint8)
_NEEDED: Final = np.frombuffer(b"citation needed]", dtype=np.uint8)


@numba.njit(cache=True, nogil=True)
def _begins(data: Any, at: Any, stop: Any, word: Any) -> Any:
    if stop - at < len(word):
        return False
    for k in range(len(word)):  # noqa: SIM110 (numba has no all)
        if data[at + k] != word[k]:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _citation(data: Any, at: Any, stop: Any, table: Any) -> Any:
    """Length of the citation at a `[`: `[12]`, `[]`, `[edit]`, `[citation needed]`; 0 if there is none."""
    end = at + 1
    while end < stop:
        code, size = decode(data, end, stop)
        if not table[np.uint64(code)] & DIGIT:
            break
        end += size
    if end < stop and data[end] == 93:
        return end + 1 - at
    if _begins(data, at + 1, stop, _EDIT):
        return 1 + len(_EDIT)
    if _begins(data, at + 1, stop, _NEEDED):
        return 1 + len(_NEEDED)
    return 0


@numba.njit(cache=True, nogil=True)
def _copy(data: Any, start: Any, stop: Any, out: Any, to: Any) -> None:
    first, n, place = np.uint64(start), np.uint64(stop - start), np.uint64(to)
    for k in range(n):
        out[place + k] = data[first + k]


@numba.njit(cache=True, nogil=True)
def _phrase(data: Any, start: Any, stop: Any, wanted: Any) -> Any:
    """The first cause in order whose phrase data[start:stop] holds, N_CAUSES if none."""
    found = N_CAUSES
    for at in range(start, stop):
        byte = data[at]
        if byte == 123:
            if wanted[CURLY_BRACKET]:
                found = min(found, CURLY_BRACKET)
        elif _SECOND[byte] and at + 1 < stop and data[at + 1] | 32 == _SECOND[byte]:
            for i in range(len(_ENDS) - 1):
                cause = _CAUSE_OF_PHRASE[i]
                length = _ENDS[i + 1] - _ENDS[i]
                if cause >= found or not wanted[cause] or stop - at < length:
                    continue
                same = True
                for k in range(length):
                    low = data[at + k]
                    if np.uint8(low - np.uint8(65)) < np.uint8(26):
                        low |= np.uint8(32)
                    if low != _TEXT[_ENDS[i] + k]:
                        same = False
                        break
                if same:
                    found = cause
    return found


@numba.njit(cache=True, nogil=True)
def _sentences(data: Any, start: Any, stop: Any, table: Any) -> Any:
    """Words that end a sentence, closing marks aside, and what follows the last of them; at least 1."""
    count = 0
    inside = ended = False
    last_ended = True
    at = start
    while at < stop:
        byte = data[np.uint64(at)]
        if byte < 0x80:
            kind, size = table[np.uint64(byte)], 1
        else:
            code, size = decode(data, at, stop)
            kind = table[np.uint64(code)]
        if kind & SPACE:
            if inside:
                count += ended
                last_ended = ended
            inside = False
        else:
            if not inside:
                inside, ended = True, False
            if not kind & CLOSING:
                ended = (kind & TERMINAL) != 0
        at += size
    if inside:
        count += ended
        last_ended = ended
    return max(1, count + (not last_ended))


@numba.njit(cache=True, nogil=True)
def sentence_lines(
    data: Any,
    offsets: Any,
    table: Any,
    wanted: Any,
    max_word_chars: Any,
    min_words: Any,
    cut_citations: Any,
    blank_cause: Any,
) -> Any:
    """The kept lines of each document, joined by newlines and stripped, and what was counted.

    `table` uint8[0x110000] has SPACE, DIGIT, LINE_BREAK, TERMINAL, CLOSING; `wanted` bool[N_CAUSES] are
    the rules that are on; `blank_cause` is what becomes of a line of white space. Returns (bytes,
    offsets int64[n_docs + 1], causes int64[n_docs, N_CAUSES], n_lines int64[n_docs], n_sentences
    int64[n_docs], unsure bool[n_docs]). LOREM_IPSUM and CURLY_BRACKET end the document there; an
    unsure document holds a letter whose lower case is ASCII, which only Python can tell.
    """
    n_docs = len(offsets) - 1
    ends = np.zeros(n_docs + 1, dtype=np.int64)
    causes = np.zeros((n_docs, N_CAUSES), dtype=np.int64)
    n_lines = np.zeros(n_docs, dtype=np.int64)
    n_sentences = np.zeros(n_docs, dtype=np.int64)
    unsure = np.zeros(n_docs, dtype=np.bool_)
    out = np.empty(offsets[n_docs] - offsets[0] + n_docs + 8, dtype=np.uint8)
    to: Any = np.int64(0)
    for doc in range(n_docs):
        at, stop = offsets[doc], offsets[doc + 1]
        begin: Any = to
        n_kept = 0
        over = False
        while at < stop and not over:
            # the line: its words, and where it begins and ends without white space
            first, last = stop, at
            n_words = chars = longest = 0
            size = 1
            ended = bracket = False
            while at < stop and not ended:
                byte = data[np.uint64(at)]
                if byte < 0x80:
                    kind, size = table[np.uint64(byte)], 1
                else:
                    code, size = decode(data, at, stop)
                    kind = table[np.uint64(code)]
                    # the Kelvin sign is a small k to Python's `lower`
                    unsure[doc] |= code == 0x212A
                if kind & LINE_BREAK:
                    ended = True
                    if byte == 13 and at + 1 < stop and data[at + 1] == 10:
                        size = 2
                elif kind & SPACE:
                    chars = 0
                else:
                    if chars == 0:
                        n_words += 1
                    chars += 1
                    bracket |= byte == 91
                    longest = max(longest, chars)
                    first = min(first, at)
                    last = at + size
                at += size
            n_lines[doc] += 1
            if n_words == 0:
                cause = blank_cause
                first = last = at
            else:
                cause = np.int64(KEPT)
                if wanted[LONG_WORD] and longest > max_word_chars:
                    cause = np.int64(LONG_WORD)
            # copied first, since citations change what the line ends in
            copied = to
            if n_kept:
                out[to] = 10
                to += 1
            line = to
            if cause == KEPT:
                k = first
                if not (cut_citations and bracket):
                    _copy(data, first, last, out, to)
                    to += last - first
                    k = last
                while k < last:
                    if data[k] == 91:
                        length = _citation(data, k, last, table)
                        if length:
                            k += length
                            continue
                    out[to] = data[k]
                    to += 1
                    k += 1
                if wanted[NO_END_MARK] and n_words:
                    mark = out[to - 1] if to > line else np.uint8(0)
                    ellipsis = (
                        to - line >= 3 and mark == 46 and out[to - 2] == 46 and out[to - 3] == 46
                    )
                    if ellipsis or mark not in (46, 63, 33, 34, 39):
                        cause = np.int64(NO_END_MARK)
                if cause == KEPT and n_words and wanted[FEW_WORDS] and n_words < min_words:
                    cause = np.int64(FEW_WORDS)
                if cause == KEPT and n_words:
                    found = _phrase(out, line, to, wanted)
                    if found < N_CAUSES:
                        cause = np.int64(found)
            if cause == KEPT:
                n_kept += 1
                n_sentences[doc] += _sentences(out, line, to, table)
                continue
            to = copied
            causes[doc, cause] += 1
            over = cause in (LOREM_IPSUM, CURLY_BRACKET)
        # what is left is stripped, as a kept line may be blank, or end in white space
        skip: Any = begin
        while skip < to:
            code, size = decode(out, skip, to)
            if not table[np.uint64(code)] & SPACE:
                break
            skip += size
        if skip > begin:
            for k in range(skip, to):
                out[begin + k - skip] = out[k]
            to -= skip - begin
        while to > begin:
            k = to - 1
            while k > begin and (out[k] & 0xC0) == 0x80:
                k -= 1
            code, size = decode(out, k, to)
            if not table[np.uint64(code)] & SPACE:
                break
            to = k
        ends[doc + 1] = to
    return out[:to], ends, causes, n_lines, n_sentences, unsure


def reference(
    texts: list[str], lines_of: Callable[[str], tuple[list[str], dict[str, int]]]
) -> list[str]:
    """What the stage's own Python leaves of each text: its kept lines, joined and stripped."""
    return ["\n".join(lines_of(text)[0]).strip() for text in texts]
