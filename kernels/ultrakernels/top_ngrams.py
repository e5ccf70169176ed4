"""Characters that the most frequent word n-gram of a document covers, for n = 2, 3, ...

Rae et al. 2021 (Gopher), table A1, as datatrove counts it: the length of the n-gram, its words
joined by one space, times its occurrences, which may overlap; of equally frequent n-grams the one
that occurs first.
"""

from __future__ import annotations

from collections import Counter

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.wide import same_span

COUNTERS = 8
"""Counters per n-gram."""
FULL = 255
"""What a counter says of so many and more."""
FACTOR = np.uint64(0xC2B2AE3D27D4EB4F)


def reference(
    joined: NDArray[np.uint8],
    begin: NDArray[np.int64],
    n_bytes: NDArray[np.int32],
    n_chars: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    doc: NDArray[np.int64],
    max_n: int,
) -> NDArray[np.int64]:
    """See `top_ngrams`."""
    words = [
        joined[start : start + size].tobytes().decode()
        for start, size in zip(begin, n_bytes, strict=True)
    ]
    top = np.zeros((len(doc) - 1, max_n - 1), dtype=np.int64)
    for row in range(len(doc) - 1):
        mine = words[doc[row] : doc[row + 1]]
        for n in range(2, max_n + 1):
            counts = Counter(" ".join(mine[i : i + n]) for i in range(len(mine) - n + 1))
            if counts:
                ngram, count = max(counts.items(), key=lambda item: item[1])
                top[row, n - 2] = len(ngram) * count
    return top


@numba.njit(cache=True, nogil=True)
def top_ngrams(
    joined: NDArray[np.uint8],
    begin: NDArray[np.int64],
    n_bytes: NDArray[np.int32],
    n_chars: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    doc: NDArray[np.int64],
    max_n: int,
) -> NDArray[np.int64]:
    """Characters covered, int64[n_docs, max_n - 1], column n - 2 for n-grams; 0 for fewer words.

    Each n-gram adds one to a counter that it shares with few others, so no n-gram is more frequent
    than its counter says. Where the first of the fullest counter is as frequent as that, it is the
    answer; if not, those whose counters may hold a more frequent one are counted by themselves,
    told apart by their bytes. Linear in the number of words for each n.
    """
    n_docs = len(doc) - 1
    top = np.zeros((n_docs, max_n - 1), dtype=np.int64)
    most = 0
    for row in range(n_docs):
        most = max(most, doc[row + 1] - doc[row])
    keys = np.empty(most, dtype=np.uint64)
    counters = np.empty(_capacity(most * COUNTERS), dtype=np.uint8)
    slots = np.empty(_capacity(most * 2), dtype=np.int32)
    counts = np.empty(len(slots), dtype=np.int32)
    for row in range(n_docs):
        first = doc[row]
        n_words = doc[row + 1] - first
        keys[:n_words] = hashes[first : first + n_words]
        for n in range(2, max_n + 1):
            n_grams = n_words - n + 1
            if n_grams <= 0:
                break
            for i in range(n_grams):
                keys[i] = keys[i] * FACTOR + hashes[first + i + n - 1]
            size = _capacity(n_grams * COUNTERS)
            fullest = _fill(keys, n_grams, counters, size)
            best, best_at = 1, 0
            if fullest > 1:
                mask = np.uint64(size - 1)
                at = 0
                while counters[_mix(keys[at]) & mask] != fullest:
                    at += 1
                best, best_at = 0, at
                for i in range(at, n_grams):
                    if keys[i] == keys[at]:
                        best += _same(joined, begin, n_bytes, first + at, first + i, n)
                if best < fullest or fullest == FULL:
                    best, best_at = _exact(
                        joined, begin, n_bytes, first, n, keys, n_grams, counters, mask,
                        max(2, min(best, FULL)), slots, counts,
                    )  # fmt: skip
            length = n - 1
            for i in range(first + best_at, first + best_at + n):
                length += n_chars[i]
            top[row, n - 2] = length * best
    return top


@numba.njit(cache=True, nogil=True)
def _fill(keys: NDArray[np.uint64], n_grams: int, counters: NDArray[np.uint8], size: int) -> int:
    """Counts all keys in the first `size` counters, up to FULL each; the most that one says."""
    counters[:size] = 0
    mask = np.uint64(size - 1)
    fullest = np.uint8(0)
    for i in range(n_grams):
        at = _mix(keys[i]) & mask
        count = counters[at] + np.uint8(counters[at] != FULL)
        counters[at] = count
        fullest = max(fullest, count)
    return int(fullest)


@numba.njit(cache=True, nogil=True)
def _exact(
    joined: NDArray[np.uint8],
    begin: NDArray[np.int64],
    n_bytes: NDArray[np.int32],
    first: int,
    n: int,
    keys: NDArray[np.uint64],
    n_grams: int,
    counters: NDArray[np.uint8],
    mask: np.uint64,
    least: int,
    slots: NDArray[np.int32],
    counts: NDArray[np.int32],
) -> tuple[int, int]:
    """(count, place) of the most frequent n-gram among those whose counter is `least` or more.

    One that occurs once is the first of all, whatever its counter says.
    """
    n_likely = 0
    for i in range(n_grams):
        n_likely += counters[_mix(keys[i]) & mask] >= least
    within = np.uint64(_capacity(n_likely * 2) - 1)
    slots[: np.int64(within) + 1] = -1
    best, best_at = 1, 0
    for i in range(n_grams):
        mixed = _mix(keys[i])
        if counters[mixed & mask] < least:
            continue
        slot = (mixed >> np.uint64(32)) & within
        while slots[slot] >= 0:
            other = slots[slot]
            if keys[other] == keys[i] and _same(
                joined, begin, n_bytes, first + other, first + i, n
            ):
                break
            slot = (slot + np.uint64(1)) & within
        if slots[slot] < 0:
            slots[slot] = i
            counts[slot] = 0
        counts[slot] += 1
        if counts[slot] > best or (counts[slot] == best > 1 and slots[slot] < best_at):
            best, best_at = counts[slot], slots[slot]
    return best, best_at


@numba.njit(cache=True, nogil=True)
def _capacity(n_items: int) -> int:
    """The least power of two, at least 8, that is no less."""
    size = 8
    while size < n_items:
        size *= 2
    return size


@numba.njit(cache=True, nogil=True)
def _mix(x: np.uint64) -> np.uint64:
    x = (x ^ (x >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return x ^ (x >> np.uint64(32))


@numba.njit(cache=True, nogil=True)
def _same(
    joined: NDArray[np.uint8],
    begin: NDArray[np.int64],
    n_bytes: NDArray[np.int32],
    left: int,
    right: int,
    n: int,
) -> bool:
    """Whether the n words from word `left` on are those from word `right` on."""
    size = 0
    for k in range(n):
        if n_bytes[left + k] != n_bytes[right + k]:
            return False
        size += n_bytes[left + k]
    return same_span(joined, begin[left], begin[right], size)
