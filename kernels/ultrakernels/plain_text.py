"""Text before a classifier, straight over UTF-8: lower case, decomposed, without accents; and cut.

What `ultraclean.text.classifier` does to a string one step after the other, done in one pass by a
table from each code point to its bytes, which the caller makes of the Python functions themselves.
A document that such a table cannot serve (it holds a character whose form depends on its neighbours,
or bytes that are no UTF-8) is `odd`: it must go the slow way.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Cut = tuple[Bytes, NDArray[np.int64]]

SAME: Final = -1
"""In a table of forms: the code point as it is."""
ODD: Final = -2
"""The form depends on what stands beside the code point."""
BLANK: Final = -3
"""As it is; white space to Python and not to fastText."""

SPACE, WORD, ALONE, NEWLINE, RETURN, TAB = range(6)
"""Kinds of code points for `cut_words`."""

_SLACK: Final = 256  # no form is longer


@numba.njit(cache=True, nogil=True)
def point(data: Any, at: Any, stop: Any) -> Any:
    """(code point, bytes) of what is not ASCII at `at`; (-1, 1) where it is no valid UTF-8."""
    lead = np.int64(data[at])
    size = np.uint64(2)
    code = lead & 0x1F
    least = np.int64(0x80)
    if lead >= 0xF0:
        size, code, least = np.uint64(4), lead & 0x07, np.int64(0x10000)
    elif lead >= 0xE0:
        size, code, least = np.uint64(3), lead & 0x0F, np.int64(0x800)
    if lead < 0xC2 or lead > 0xF4 or at + size > stop:
        return np.int64(-1), np.uint64(1)
    for k in range(np.uint64(1), size):
        byte = np.int64(data[at + k])
        if byte & 0xC0 != 0x80:
            return np.int64(-1), np.uint64(1)
        code = code << 6 | (byte & 0x3F)
    if code < least or code > 0x10FFFF or 0xD800 <= code < 0xE000:
        return np.int64(-1), np.uint64(1)
    return code, size


@numba.njit(cache=True, nogil=True)
def _plain_part(
    data: Any,
    at: Any,
    stop: Any,
    newlines: Any,
    pages: Any,
    forms: Any,
    pool: Any,
    out: Any,
    to: Any,
) -> Any:
    """data[at:stop] into `out` from `to` on, until it is done or there is no room for one more form.

    Returns (place in data, place in out, newlines just before, is it odd, is BLANK in it).
    """
    odd: Any = np.bool_(False)
    blank: Any = np.bool_(False)
    one = np.uint64(1)
    room = np.uint64(len(out) - _SLACK)
    while at < stop and to < room:
        byte = data[at]
        if byte < 0x80:
            at += one
            if byte == 10:
                newlines += 1
                if newlines > 2:
                    continue
            else:
                newlines = 0
            upper = np.uint8(byte - np.uint8(65)) < np.uint8(26)
            out[to] = byte | np.uint8(32) if upper else byte
            blank |= np.uint8(byte - np.uint8(0x1C)) < np.uint8(4)
            to += one
            continue
        newlines = 0
        code, size = point(data, at, stop)
        if code < 0:
            odd = True
            at += size
            continue
        form = forms[pages[np.uint64(code >> 8)], np.uint64(code & 255)]
        if form >= 0:
            start, length = np.uint64(form >> 8), np.uint64(form & 255)
            for k in range(length):
                out[to + k] = pool[start + k]
            to += length
        else:
            odd |= form == ODD
            blank |= form == BLANK
            for k in range(size):
                out[to + k] = data[at + k]
            to += size
        at += size
    return at, to, newlines, odd, blank


@numba.njit(cache=True, nogil=True)
def plain(data: Any, offsets: Any, pages: Any, forms: Any, pool: Any) -> Any:
    """Three or more newlines as two, and every code point in its form.

    `forms[pages[code >> 8], code & 255]` is SAME, ODD, BLANK or `start << 8 | length` in `pool`.
    Returns (bytes, offsets int64[n_docs + 1], odd bool[n_docs], blank bool[n_docs]: BLANK occurs).
    """
    n_docs = len(offsets) - 1
    ends = np.zeros(n_docs + 1, dtype=np.int64)
    odd = np.zeros(n_docs, dtype=np.bool_)
    blank = np.zeros(n_docs, dtype=np.bool_)
    n_bytes = offsets[n_docs] - offsets[0]
    out = np.empty(n_bytes + n_bytes // 8 + 2 * _SLACK, dtype=np.uint8)
    to = np.uint64(0)
    for doc in range(n_docs):
        at, stop = np.uint64(offsets[doc]), np.uint64(offsets[doc + 1])
        newlines = 0
        while at < stop:
            at, to, newlines, is_odd, has_blank = _plain_part(
                data, at, stop, newlines, pages, forms, pool, out, to
            )
            odd[doc] |= is_odd
            blank[doc] |= has_blank
            if at < stop:
                larger = np.empty(2 * len(out), dtype=np.uint8)
                larger[: len(out)] = out
                out = larger
        ends[doc + 1] = to
    return out[:to], ends, odd, blank


@numba.njit(cache=True, nogil=True)
def cut_words(data: Any, offsets: Any, kinds: Any) -> Any:
    """Pieces with one space between them, (bytes, offsets): runs of WORD, and each ALONE by itself.

    `kinds` uint8[0x110000]. NEWLINE, RETURN and TAB are pieces of two characters, as in `\\\\n`.
    """
    n_docs = len(offsets) - 1
    ends = np.zeros(n_docs + 1, dtype=np.int64)
    # a newline becomes three bytes; memory that is not written to is not taken
    out = np.empty(3 * (offsets[n_docs] - offsets[0]) + 8, dtype=np.uint8)
    to = np.uint64(0)
    one = np.uint64(1)
    for doc in range(n_docs):
        at, stop = np.uint64(offsets[doc]), np.uint64(offsets[doc + 1])
        begin = to
        inside = False  # a run of WORD is open
        while at < stop:
            byte = data[at]
            size = one
            if byte < 0x80:
                kind = kinds[np.uint64(byte)]
            else:
                code, size = point(data, at, stop)
                kind = kinds[np.uint64(code)] if code >= 0 else np.uint8(ALONE)
            if kind == SPACE:
                inside = False
                at += size
                continue
            if not (inside and kind == WORD) and to > begin:
                out[to] = 32
                to += one
            inside = kind == WORD
            if kind >= NEWLINE:
                out[to] = 92
                out[to + one] = 110 if kind == NEWLINE else (114 if kind == RETURN else 116)
                to += np.uint64(2)
            else:
                for k in range(size):
                    out[to + k] = data[at + k]
                to += size
            at += size
        ends[doc + 1] = to
    return out[:to], ends


@numba.njit(cache=True, nogil=True)
def squeeze(data: Any, offsets: Any, kinds: Any) -> Any:
    """Newline, CR and tab as two characters, runs of spaces as one, none at the ends: (bytes, offsets).

    What Python strips from the ends is what `kinds` calls SPACE, or NEWLINE and the like.
    """
    n_docs = len(offsets) - 1
    ends = np.zeros(n_docs + 1, dtype=np.int64)
    out = np.empty(2 * (offsets[n_docs] - offsets[0]) + 8, dtype=np.uint8)
    to = np.uint64(0)
    one = np.uint64(1)
    for doc in range(n_docs):
        at, stop = np.uint64(offsets[doc]), np.uint64(offsets[doc + 1])
        kept = to  # behind the last character that is no white space
        leading = True
        while at < stop:
            byte = data[at]
            size = one
            if byte < 0x80:
                kind = kinds[np.uint64(byte)]
            else:
                code, size = point(data, at, stop)
                kind = kinds[np.uint64(code)] if code >= 0 else np.uint8(ALONE)
            if kind >= NEWLINE:
                out[to] = 92
                out[to + one] = 110 if kind == NEWLINE else (114 if kind == RETURN else 116)
                to += np.uint64(2)
            elif not (leading and kind == SPACE) and not (
                byte == 32 and to > np.uint64(0) and out[to - one] == 32
            ):
                for k in range(size):
                    out[to + k] = data[at + k]
                to += size
            if kind != SPACE:
                leading = False
                kept = to
            at += size
        to = kept
        ends[doc + 1] = to
    return out[:to], ends


def reference(data: Bytes, offsets: NDArray[np.int64], finish: Callable[[str], str]) -> list[str]:
    """`finish` of each document as a string: what the passes together must give."""
    return [
        finish(data[start:stop].tobytes().decode()) for start, stop in itertools.pairwise(offsets)
    ]
