"""Spans of a document (lines, paragraphs) that occurred before in it: how many, how many characters.

Rae et al. 2021 (Gopher), table A1: as datatrove counts it, each occurrence beyond the first; with
`firsts`, as DCLM and dolma count it, the first one too where there is another.
"""

from __future__ import annotations

from collections import Counter

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.wide import hash_span, n_code_points, same_span

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
            value = hash_span(data, begin[span], end[span])
            size = end[span] - begin[span]
            slot = np.int64(value & np.uint64(mask))
            seen = False
            while slots[slot] >= 0:
                other = slots[slot]
                if hashes[slot] == value and end[other] - begin[other] == size:
                    seen = same_span(data, begin[other], begin[span], size)
                    if seen:
                        break
                slot = (slot + 1) & mask
            if seen:
                times = 2 if firsts and not again[slot] else 1
                again[slot] = True
                spans[row] += times
                chars[row] += times * n_code_points(data, begin[span], end[span])
            else:
                slots[slot] = span
                hashes[slot] = value
                again[slot] = False
    return spans, chars
