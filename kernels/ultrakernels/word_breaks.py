"""Words between Unicode's word boundaries (UAX 29), of which only some kinds are wanted.

The rules are WB3 to WB16 of Unicode Standard Annex 29; which class a code point has is the caller's
table, so the version of Unicode is the table's.
"""

from __future__ import annotations

from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.utf8 import decode

CLASSES: Final = (
    "Other", "CR", "LF", "Newline", "Extend", "ZWJ", "Format", "Regional_Indicator", "Katakana",
    "Hebrew_Letter", "ALetter", "Single_Quote", "Double_Quote", "MidNumLet", "MidLetter", "MidNum",
    "Numeric", "ExtendNumLet", "WSegSpace",
)  # fmt: skip
"""Values of the property Word_Break; a class is its index."""

PICTOGRAPHIC: Final = 0x80
"""The bit of a class that says Extended_Pictographic."""

# As arguments of numba's comparisons; the order of CLASSES makes ranges of what rules name together.
_CR, _LF, _NEWLINE, _EXTEND, _ZWJ, _FORMAT, _REGIONAL, _KATAKANA = range(1, 9)
_HEBREW, _LETTER, _SINGLE, _DOUBLE, _MIDNUMLET, _MIDLETTER, _MIDNUM, _NUMERIC = range(9, 17)
_EXTENDNUMLET, _SPACE = 17, 18

Split = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint8]]


def reference(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    breaks: NDArray[np.uint8],
    wanted: NDArray[np.bool_],
) -> Split:
    """See `word_breaks`; asks the package uniseg, whose tables `breaks` then must be."""
    from uniseg.wordbreak import words

    counts, kept = [0], []
    for first, last in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        found = [w for w in words(data[first:last].tobytes().decode()) if wanted[ord(w[0])]]
        counts.append(len(found))
        kept += [word.encode() for word in found]
    return (
        np.cumsum(counts).astype(np.int64),
        np.array([len(word) for word in kept], dtype=np.int32),
        np.frombuffer(b"".join(kept), dtype=np.uint8).copy(),
    )


def word_breaks(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    breaks: NDArray[np.uint8],
    wanted: NDArray[np.bool_],
) -> Split:
    """(doc int64[n_docs + 1], n_bytes int32[n_words], joined uint8[bytes of all words]).

    `breaks[c]` is the class of code point c; a word is kept where `wanted[c]` for its first one.
    Document i is data[offsets[i]:offsets[i + 1]] and has the words doc[i] to doc[i + 1].
    """
    starts = np.zeros(int(offsets[-1] - offsets[0]), dtype=np.bool_)
    _mark(data, offsets, breaks, starts)
    doc, n_joined = _count(data, offsets, wanted, starts)
    n_bytes = np.empty(doc[-1], dtype=np.int32)
    joined = np.empty(n_joined, dtype=np.uint8)
    _fill(data, offsets, wanted, starts, n_bytes, joined)
    return doc, n_bytes, joined


@numba.njit(cache=True, nogil=True)
def _mark(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    breaks: NDArray[np.uint8],
    starts: NDArray[np.bool_],
) -> None:
    """`starts[i]`: a word begins at byte offsets[0] + i."""
    base = offsets[0]
    for row in range(len(offsets) - 1):
        at, end = offsets[row], offsets[row + 1]
        last = -1  # the class of the character before
        before = -1  # that of the last character that is not skipped (WB4)
        second = -1  # and of the one before it
        regionals = 0
        while at < end:
            code, size = decode(data, at, end)
            entry = int(np.int64(breaks[code]))
            this = entry & ~PICTOGRAPHIC
            skipped = _EXTEND <= this <= _FORMAT
            if last < 0:
                starts[at - base] = True
            elif last == _CR and this == _LF:
                pass
            elif _CR <= last <= _NEWLINE or _CR <= this <= _NEWLINE:
                starts[at - base] = True
            elif (
                (last == _ZWJ and entry & PICTOGRAPHIC)
                or last == this == _SPACE
                or skipped
                or (this == _REGIONAL and before == _REGIONAL and regionals % 2 == 1)
            ):
                pass
            elif not _joined(second, before, this, data, at + size, end, breaks):
                starts[at - base] = True
            if not skipped:
                regionals = regionals + 1 if this == _REGIONAL else 0
                second = before
                before = this
            last = this
            at += size


@numba.njit(cache=True, nogil=True)
def _joined(
    second: int,
    before: int,
    this: int,
    data: NDArray[np.uint8],
    at: int,
    end: int,
    breaks: NDArray[np.uint8],
) -> bool:
    """Whether rules WB5 to WB13b keep the character of class `this` with those before it."""
    letter = before in (_HEBREW, _LETTER)
    if this in (_HEBREW, _LETTER):
        if letter or before in (_NUMERIC, _EXTENDNUMLET):
            return True
        if second in (_HEBREW, _LETTER) and before in (_MIDLETTER, _MIDNUMLET, _SINGLE):
            return True
        return second == _HEBREW and before == _DOUBLE and this == _HEBREW
    if this == _NUMERIC:
        if letter or before in (_NUMERIC, _EXTENDNUMLET):
            return True
        return second == _NUMERIC and before in (_MIDNUM, _MIDNUMLET, _SINGLE)
    if this == _KATAKANA:
        return before in (_KATAKANA, _EXTENDNUMLET)
    if this == _EXTENDNUMLET:
        return letter or before in (_NUMERIC, _KATAKANA, _EXTENDNUMLET)
    if before == _HEBREW and this == _SINGLE:
        return True
    if letter and this in (_MIDLETTER, _MIDNUMLET, _SINGLE):
        return _next(data, at, end, breaks) in (_HEBREW, _LETTER)
    if before == _HEBREW and this == _DOUBLE:
        return _next(data, at, end, breaks) == _HEBREW
    if before == _NUMERIC and this in (_MIDNUM, _MIDNUMLET, _SINGLE):
        return _next(data, at, end, breaks) == _NUMERIC
    return False


@numba.njit(cache=True, nogil=True)
def _next(data: NDArray[np.uint8], at: int, end: int, breaks: NDArray[np.uint8]) -> int:
    """The class of the next character that is not skipped; -1 at the end."""
    while at < end:
        code, size = decode(data, at, end)
        this = np.int64(breaks[code]) & ~PICTOGRAPHIC
        if not _EXTEND <= this <= _FORMAT:
            return int(this)
        at += size
    return -1


@numba.njit(cache=True, nogil=True)
def _count(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    starts: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], int]:
    doc = np.zeros(len(offsets), dtype=np.int64)
    n_words = 0
    n_joined = 0
    for row in range(len(offsets) - 1):
        keep = False
        for at in range(offsets[row], offsets[row + 1]):
            if starts[at - offsets[0]]:
                code, _ = decode(data, at, offsets[row + 1])
                keep = wanted[code]
                n_words += keep
            n_joined += keep
        doc[row + 1] = n_words
    return doc, n_joined


@numba.njit(cache=True, nogil=True)
def _fill(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    starts: NDArray[np.bool_],
    n_bytes: NDArray[np.int32],
    joined: NDArray[np.uint8],
) -> None:
    word = -1
    put = 0
    for row in range(len(offsets) - 1):
        keep = False
        for at in range(offsets[row], offsets[row + 1]):
            if starts[at - offsets[0]]:
                code, _ = decode(data, at, offsets[row + 1])
                keep = wanted[code]
                if keep:
                    word += 1
                    n_bytes[word] = 0
            if keep:
                joined[put] = data[at]
                put += 1
                n_bytes[word] += 1
