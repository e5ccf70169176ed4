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

from ultrakernels.utf8 import decode, last_start
from ultrakernels.wide import n_code_points

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
_RARE: Final = b"mvk"
"""One of them is in every phrase; of English letters they are one in 24."""
_RARE_AT: Final = np.array([min(one.index(c) for c in _RARE if c in one) for one in PHRASES])
_LETTER: Final = np.zeros(256, dtype=np.uint8)
"""A rare letter in lower case, `{` as it is, 0 for all other bytes."""
for _letter in _RARE:
    _LETTER[[_letter, _letter - 32]] = _letter
_LETTER[ord("{")] = ord("{")
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
        letter = _LETTER[np.uint64(data[np.uint64(at)])]
        if letter == 0:
            continue
        if letter == 123:
            if wanted[CURLY_BRACKET]:
                found = min(found, CURLY_BRACKET)
            continue
        for i in range(len(_ENDS) - 1):
            cause = _CAUSE_OF_PHRASE[i]
            begin = at - _RARE_AT[i]
            length = _ENDS[i + 1] - _ENDS[i]
            if _TEXT[_ENDS[i] + _RARE_AT[i]] != letter or cause >= found or not wanted[cause]:
                continue
            if begin < start or stop - begin < length:
                continue
            same = True
            for k in range(length):
                low = data[begin + k]
                if np.uint8(low - np.uint8(65)) < np.uint8(26):
                    low |= np.uint8(32)
                if low != _TEXT[_ENDS[i] + k]:
                    same = False
                    break
            if same:
                found = cause
    return found


@numba.njit(cache=True, nogil=True)
def _ends(data: Any, start: Any, stop: Any, table: Any) -> Any:
    """Whether the word ends a sentence, closing marks aside."""
    while stop > start:
        at = last_start(data, start, stop)
        kind = table[np.uint64(decode(data, at, stop)[0])]
        if not kind & CLOSING:
            return (kind & TERMINAL) != 0
        stop = at
    return False


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
    leads: Any,
    wanted: Any,
    max_word_chars: Any,
    min_words: Any,
    cut_citations: Any,
    blank_cause: Any,
) -> Any:
    """The kept lines of each document, joined by newlines and stripped, and what was counted.

    `table` uint8[0x110000] has SPACE, DIGIT, LINE_BREAK, TERMINAL, CLOSING; `leads` uint8[256] is the
    union over the code points that begin with each byte; `wanted` bool[N_CAUSES] are
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
    telling = (leads & SPACE) != 0
    telling[91] = telling[0xE2] = True
    out = np.empty(offsets[n_docs] - offsets[0] + n_docs + 8, dtype=np.uint8)
    to: Any = np.int64(0)
    for doc in range(n_docs):
        at, stop = offsets[doc], offsets[doc + 1]
        begin: Any = to
        n_kept = 0
        over = False
        while at < stop and not over:
            # the line: its words, and where it begins and ends without white space
            first, last, word = stop, at, at
            n_words = n_ended = 0
            bracket = long_word = False
            last_ended = True
            while True:
                while at < stop and not telling[np.uint64(data[np.uint64(at)])]:
                    at += 1
                kind, size = np.uint8(SPACE), 0
                if at < stop:
                    byte = data[np.uint64(at)]
                    kind, size = table[np.uint64(byte)], 1
                    if byte >= 0x80:
                        code, size = decode(data, at, stop)
                        kind = table[np.uint64(code)]
                        # the Kelvin sign is a small k to Python's `lower`
                        unsure[doc] |= code == 0x212A
                    if not kind & SPACE:
                        bracket |= byte == 91
                        at += size
                        continue
                if at > word:
                    n_words += 1
                    first = min(first, word)
                    last = at
                    if at - word > max_word_chars and wanted[LONG_WORD]:
                        long_word |= n_code_points(data, word, at) > max_word_chars
                    mark = data[np.uint64(at - 1)]
                    if mark < 0x80 and not table[np.uint64(mark)] & CLOSING:
                        last_ended = (table[np.uint64(mark)] & TERMINAL) != 0
                    else:
                        last_ended = _ends(data, word, at, table)
                    n_ended += last_ended
                if kind & LINE_BREAK and byte == 13 and at + 1 < stop and data[at + 1] == 10:
                    size = 2
                at += size
                word = at
                if kind & LINE_BREAK or at >= stop:
                    break
            n_lines[doc] += 1
            if n_words == 0:
                cause = blank_cause
                first = last = at
            else:
                cause = np.int64(KEPT)
                if long_word:
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
                if to - line == last - first:
                    n_sentences[doc] += max(1, n_ended + (not last_ended))
                else:
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
