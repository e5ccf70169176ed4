"""One code point of UTF-8, decoded; the text kernels call it wherever a byte is not ASCII.

Arrow does not check its strings unless asked, so a sequence that runs past its end, or does not
begin like one, counts as one unknown character of one byte instead of reading beyond the buffer.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)
def decode(data: NDArray[np.uint8], at: int, end: int) -> tuple[np.int64, int]:
    """(code point, bytes) of the character that starts at `at`, inside data[:end]."""
    first = np.int64(data[at])
    if first < 0x80:
        return first, 1
    if first >= 0xF0:
        if at + 4 <= end and first < 0xF5:
            code = (first & 0x07) << 18 | np.int64(data[at + 1] & 0x3F) << 12
            code |= np.int64(data[at + 2] & 0x3F) << 6 | np.int64(data[at + 3] & 0x3F)
            return code if code <= 0x10FFFF else np.int64(0xFFFD), 4
    elif first >= 0xE0:
        if at + 3 <= end:
            code = (first & 0x0F) << 12 | np.int64(data[at + 1] & 0x3F) << 6
            return code | np.int64(data[at + 2] & 0x3F), 3
    elif first >= 0xC0 and at + 2 <= end:
        return (first & 0x1F) << 6 | np.int64(data[at + 1] & 0x3F), 2
    return np.int64(0xFFFD), 1


@numba.njit(cache=True, nogil=True)
def last_start(data: NDArray[np.uint8], start: int, stop: int) -> int:
    """Where the last character of data[start:stop] starts; the span is not empty."""
    at = stop - 1
    while at > start and (data[at] & 0xC0) == 0x80:
        at -= 1
    return at


# The two below are inlined by hand, so to say: a call that LLVM does not inline costs more than a
# line's few white characters, for each array that it takes is counted up and down.


@numba.njit(cache=True, nogil=True, inline="always")
def after_kind(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    table: NDArray[np.uint8],
    leads: NDArray[np.uint8],
    kind: int,
) -> int:
    """Where the characters of a kind that begin data[start:stop] end.

    `table[c] & kind` tells a code point c of the kind; `leads[b]` is the union of `table[c]` over
    those that begin with byte b, and rules most of them out.
    """
    at = start
    while at < stop and leads[np.uint64(data[np.uint64(at)])] & kind:
        size = 1
        if data[np.uint64(at)] >= 0x80:
            size = _bytes_of_kind(data, at, stop, table, kind)
            if size == 0:
                break
        at += size
    return at


@numba.njit(cache=True, nogil=True, inline="always")
def before_kind(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    table: NDArray[np.uint8],
    leads: NDArray[np.uint8],
    kind: int,
) -> int:
    """Where the characters of a kind that end data[start:stop] begin."""
    at = stop
    while at > start:
        last = at - 1
        if data[np.uint64(last)] < 0x80:
            if not leads[np.uint64(data[np.uint64(last)])] & kind:
                break
        else:
            while last > start and (data[np.uint64(last)] & 0xC0) == 0x80:
                last -= 1
            if not leads[np.uint64(data[np.uint64(last)])] & kind:
                break
            if _bytes_of_kind(data, last, stop, table, kind) == 0:
                break
        at = last
    return at


@numba.njit(cache=True, nogil=True)
def _bytes_of_kind(
    data: NDArray[np.uint8], at: int, stop: int, table: NDArray[np.uint8], kind: int
) -> int:
    """Length of the character at `at` if it is of the kind, else 0."""
    code, size = decode(data, at, stop)
    return size if table[np.uint64(code)] & kind else 0
