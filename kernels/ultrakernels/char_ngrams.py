"""How much of a text its repeated character n-grams are: for scripts without spaces.

Exact: equal n-grams are found by a rolling hash and then compared, in time linear in the text.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import isqrt
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.utf8 import decode

COLUMNS: Final = ("n_ngrams", "n_distinct", "n_repeated", "n_top")
"""n-grams; different ones; occurrences of those that occur twice or more; occurrences of the k most
frequent, where k is the root of the number of different ones, or how many repeat if that is less."""

_BASE: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = np.uint64(0xD6E8FEB86659FD93)


def reference(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], n: int, skip: int = 0
) -> NDArray[np.int64]:
    """See `char_ngrams`."""
    found = np.zeros((len(offsets) - 1, len(COLUMNS)), dtype=np.int64)
    for row, (start, stop) in enumerate(pairwise(offsets)):
        text = data[start:stop].tobytes().decode("utf-8", "surrogatepass")
        counts = Counter(text[at : at + n] for at in range(max(len(text) - n + 1 - skip, 0)))
        sizes = sorted(counts.values(), reverse=True)
        repeated = [size for size in sizes if size > 1]
        top = sizes[: min(isqrt(len(sizes)), len(repeated))]
        found[row] = sum(sizes), len(sizes), sum(repeated), sum(top)
    return found


@numba.njit(cache=True, nogil=True)
def char_ngrams(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], n: int, skip: int = 0
) -> NDArray[np.int64]:
    """int64[n_docs, 4] in the order of `COLUMNS`; the last `skip` n-grams are left out."""
    n_docs = len(offsets) - 1
    found = np.zeros((n_docs, 4), dtype=np.int64)
    most = 1
    for row in range(n_docs):
        most = max(most, offsets[row + 1] - offsets[row])
    size = 4
    while size * 2 < most * 3:
        size *= 2
    codes = np.empty(most, dtype=np.int32)
    slots = np.empty(size, dtype=np.int32)
    count = np.empty(most, dtype=np.int32)
    for row in range(n_docs):
        at, end = offsets[row], offsets[row + 1]
        n_chars = 0
        while at < end:
            code, step = decode(data, at, end)
            codes[n_chars] = code
            n_chars += 1
            at += step
        n_ngrams = n_chars - n + 1 - skip
        if n_ngrams <= 0:
            continue
        n_distinct = _occurrences(codes, n, n_ngrams, slots, count)
        sizes = count[:n_ngrams][count[:n_ngrams] > 1]
        n_top = min(int(np.sqrt(n_distinct)), len(sizes))
        found[row, 0] = n_ngrams
        found[row, 1] = n_distinct
        found[row, 2] = sizes.sum()
        if n_top > 0:
            sizes.sort()
            found[row, 3] = sizes[len(sizes) - n_top :].sum()
    return found


@numba.njit(cache=True, nogil=True)
def _occurrences(
    codes: NDArray[np.int32],
    n: int,
    n_ngrams: int,
    slots: NDArray[np.int32],
    count: NDArray[np.int32],
) -> int:
    """How many different n-grams there are; how often each occurs is left where it occurs first."""
    mask = 3
    while (mask + 1) * 2 < n_ngrams * 3:
        mask = mask * 2 + 1
    slots[: mask + 1] = -1
    gone = np.uint64(1)  # the weight of the character that leaves the window
    for _ in range(n):
        gone *= _BASE
    rolling = np.uint64(0)
    for i in range(n - 1):
        rolling = rolling * _BASE + np.uint64(codes[i])
    n_distinct = 0
    for i in range(n_ngrams):
        rolling = rolling * _BASE + np.uint64(codes[i + n - 1])
        if i:
            rolling -= gone * np.uint64(codes[i - 1])
        mixed = (rolling ^ (rolling >> np.uint64(32))) * _MIX
        slot = np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(mask))
        while slots[slot] >= 0:
            k = 0
            while k < n and codes[slots[slot] + k] == codes[i + k]:
                k += 1
            if k == n:
                break
            slot = (slot + 1) & mask
        if slots[slot] < 0:
            slots[slot], count[i] = i, 1
            n_distinct += 1
        else:
            count[slots[slot]] += 1
            count[i] = 0
    return n_distinct
