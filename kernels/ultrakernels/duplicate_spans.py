"""Spans of a document (lines, paragraphs) that occurred before in it: how many, how many characters.

Rae et al. 2021 (Gopher), table A1: as datatrove counts it, each occurrence beyond the first; with
`firsts`, as DCLM and dolma count it, the first one too where there is another.
"""

from __future__ import annotations

from collections import Counter

import numba
import numpy as np
from numpy.typing import NDArray

Repeated = tuple[NDArray[np.int64], NDArray[np.int64]]


def reference(
    data: NDArray[np.uint8],
    doc: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    firsts: bool = False,
) -> Repeated:
    """See `duplicate_spans`."""
    spans = np.zeros(len(doc) - 1, dtype=np.int64)
    chars = np.zeros(len(doc) - 1, dtype=np.int64)
    for row in range(len(doc) - 1):
        mine = range(doc[row], doc[row + 1])
        texts = [data[begin[span] : end[span]].tobytes().decode() for span in mine]
        for text, count in Counter(texts).items():
            repeats = (count if firsts else count - 1) if count > 1 else 0
            spans[row] += repeats
            chars[row] += repeats * len(text)
    return spans, chars


@numba.njit(cache=True, nogil=True)
def duplicate_spans(
    data: NDArray[np.uint8],
    doc: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    firsts: bool = False,
) -> Repeated:
    """(spans int64[n_docs], chars int64[n_docs]) repeated; characters are code points.

    Equal hashes are compared byte by byte, so the result is exact; the time is linear.
    """
    n_docs = len(doc) - 1
    spans = np.zeros(n_docs, dtype=np.int64)
    chars = np.zeros(n_docs, dtype=np.int64)
    most = 0
    for row in range(n_docs):
        most = max(most, doc[row + 1] - doc[row])
    capacity = 4
    while capacity * 2 < most * 3:
        capacity *= 2
    slots = np.empty(capacity, dtype=np.int64)
    hashes = np.empty(capacity, dtype=np.uint64)
    again = np.empty(capacity, dtype=np.bool_)
    for row in range(n_docs):
        n_spans = doc[row + 1] - doc[row]
        if n_spans < 2:
            continue
        mask = 4
        while mask * 2 < n_spans * 3:
            mask *= 2
        mask -= 1
        slots[: mask + 1] = -1
        for span in range(doc[row], doc[row + 1]):
            value = _hash(data, begin[span], end[span])
            slot = np.int64(value & np.uint64(mask))
            seen = False
            while slots[slot] >= 0:
                other = slots[slot]
                if hashes[slot] == value and _same(
                    data, begin[other], end[other], begin[span], end[span]
                ):
                    seen = True
                    break
                slot = (slot + 1) & mask
            if seen:
                times = 2 if firsts and not again[slot] else 1
                again[slot] = True
                spans[row] += times
                for at in range(begin[span], end[span]):
                    chars[row] += times * ((data[at] & 0xC0) != 0x80)
            else:
                slots[slot] = span
                hashes[slot] = value
                again[slot] = False
    return spans, chars


@numba.njit(cache=True, nogil=True, inline="always")
def _hash(data: NDArray[np.uint8], start: int, stop: int) -> np.uint64:
    value = np.uint64(stop - start)
    for at in range(start, stop):
        value = (value ^ np.uint64(data[at])) * np.uint64(0x9E3779B97F4A7C15)
        value ^= value >> np.uint64(29)
    return value ^ (value >> np.uint64(32))


@numba.njit(cache=True, nogil=True, inline="always")
def _same(data: NDArray[np.uint8], a: int, a_end: int, b: int, b_end: int) -> bool:
    if a_end - a != b_end - b:
        return False
    for k in range(a_end - a):  # noqa: SIM110 (numba has no all)
        if data[a + k] != data[b + k]:
            return False
    return True
