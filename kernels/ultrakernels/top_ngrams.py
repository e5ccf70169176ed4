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

    Exact: words are told apart by their bytes, n-grams by the number of their first n - 1 words
    and of their last one. Linear in the number of words for each n.
    """
    n_docs = len(doc) - 1
    top = np.zeros((n_docs, max_n - 1), dtype=np.int64)
    most = 0
    for row in range(n_docs):
        most = max(most, doc[row + 1] - doc[row])
    slots = np.empty(_capacity(most), dtype=np.int32)
    word_id = np.empty(most, dtype=np.int32)
    gram_id = np.empty(most, dtype=np.int32)
    keys = np.empty(most, dtype=np.uint64)
    count = np.empty(most, dtype=np.int32)
    for row in range(n_docs):
        first = doc[row]
        n_words = doc[row + 1] - first
        if n_words < 2:
            continue
        mask = _capacity(n_words) - 1
        slots[: mask + 1] = -1
        for i in range(n_words):
            word_id[i] = _find_word(slots, mask, joined, begin, n_bytes, hashes, first, i)
        gram_id[:n_words] = word_id[:n_words]
        for n in range(2, max_n + 1):
            n_grams = n_words - n + 1
            if n_grams <= 0:
                break
            slots[: mask + 1] = -1
            best, best_at = 0, 0
            # gram_id[i] of n - 1 words is read once, just before it becomes the one of n words.
            for i in range(n_grams):
                keys[i] = np.uint64(gram_id[i]) << np.uint64(32) | np.uint64(word_id[i + n - 1])
                found = _find_key(slots, mask, keys, i)
                gram_id[i] = found
                if found == i:
                    count[i] = 0
                count[found] += 1
            for i in range(n_grams):
                if gram_id[i] == i and count[i] > best:
                    best, best_at = count[i], i
            length = n - 1
            for i in range(first + best_at, first + best_at + n):
                length += n_chars[i]
            top[row, n - 2] = length * best
    return top


@numba.njit(cache=True, nogil=True)
def _capacity(n_items: int) -> int:
    """A power of two that is at most two thirds full."""
    size = 4
    while size * 2 < n_items * 3:
        size *= 2
    return size


@numba.njit(cache=True, nogil=True, inline="always")
def _mix(x: np.uint64) -> np.uint64:
    x = (x ^ (x >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return x ^ (x >> np.uint64(32))


@numba.njit(cache=True, nogil=True)
def _find_key(slots: NDArray[np.int32], mask: int, keys: NDArray[np.uint64], i: int) -> int:
    """The first position with the key of position i, which is i itself if the key is new."""
    slot = np.int64(_mix(keys[i]) & np.uint64(mask))
    while slots[slot] >= 0:
        if keys[slots[slot]] == keys[i]:
            return int(slots[slot])
        slot = (slot + 1) & mask
    slots[slot] = i
    return i


@numba.njit(cache=True, nogil=True)
def _find_word(
    slots: NDArray[np.int32],
    mask: int,
    joined: NDArray[np.uint8],
    begin: NDArray[np.int64],
    n_bytes: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    first: int,
    i: int,
) -> int:
    """The first position of word i of the document that begins at word `first`."""
    mine = first + i
    slot = np.int64(_mix(hashes[mine]) & np.uint64(mask))
    while slots[slot] >= 0:
        other = first + slots[slot]
        if hashes[other] == hashes[mine] and n_bytes[other] == n_bytes[mine]:
            same = True
            for k in range(n_bytes[mine]):
                if joined[begin[other] + k] != joined[begin[mine] + k]:
                    same = False
                    break
            if same:
                return int(slots[slot])
        slot = (slot + 1) & mask
    slots[slot] = i
    return i
