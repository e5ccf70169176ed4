"""Characters in word n-grams that occurred before in the document, for several n.

Rae et al. 2021 (Gopher), table A1, as datatrove counts it: n-grams are compared as words joined
by nothing (so `ab c` equals `a bc`), and after a repeated n-gram the scan jumps over its n words.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.measure_words import BASE

N_POWERS = 1024


def reference(
    joined: NDArray[np.uint8],
    begin: NDArray[np.int64],
    n_bytes: NDArray[np.int32],
    n_chars: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    doc: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> NDArray[np.int64]:
    """See `duplicate_ngrams`."""
    words = [
        joined[start : start + size].tobytes().decode()
        for start, size in zip(begin, n_bytes, strict=True)
    ]
    repeated = np.zeros((len(doc) - 1, len(sizes)), dtype=np.int64)
    for row in range(len(doc) - 1):
        mine = words[doc[row] : doc[row + 1]]
        for column, n in enumerate(sizes):
            seen: set[str] = set()
            at = 0
            while at + n <= len(mine):
                ngram = "".join(mine[at : at + n])
                if ngram in seen:
                    repeated[row, column] += len(ngram)
                    at += int(n)
                else:
                    seen.add(ngram)
                    at += 1
    return repeated


@numba.njit(cache=True, nogil=True)
def duplicate_ngrams(
    joined: NDArray[np.uint8],
    begin: NDArray[np.int64],
    n_bytes: NDArray[np.int32],
    n_chars: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    doc: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Repeated characters, int64[n_docs, len(sizes)].

    The words of one document lie side by side in `joined`, so an n-gram is one slice; its hash
    follows from the words' hashes, and equal hashes are compared byte by byte. Each byte is
    compared at most once per n where the text repeats, so the time is linear.
    """
    n_docs = len(doc) - 1
    repeated = np.zeros((n_docs, len(sizes)), dtype=np.int64)
    most = 0
    for row in range(n_docs):
        most = max(most, doc[row + 1] - doc[row])
    capacity = 4
    while capacity * 2 < most * 3:
        capacity *= 2
    slots = np.empty(capacity, dtype=np.int32)
    tags = np.empty(capacity, dtype=np.uint32)
    prefix = np.zeros(most + 1, dtype=np.uint64)
    powers = np.ones(N_POWERS, dtype=np.uint64)
    for i in range(1, N_POWERS):
        powers[i] = powers[i - 1] * np.uint64(BASE)
    for row in range(n_docs):
        first = doc[row]
        n_words = doc[row + 1] - first
        for i in range(n_words):
            word = first + i
            prefix[i + 1] = prefix[i] * _power(powers, n_bytes[word]) + hashes[word]
        for column in range(len(sizes)):
            n = sizes[column]
            n_grams = n_words - n + 1
            if n_grams <= 1:
                continue
            mask = 4
            while mask * 2 < n_grams * 3:
                mask *= 2
            mask -= 1
            slots[: mask + 1] = -1
            i = 0
            while i < n_grams:
                start = begin[first + i]
                stop = begin[first + i + n - 1] + n_bytes[first + i + n - 1]
                value = prefix[i + n] - prefix[i] * _power(powers, stop - start)
                value = (value ^ (value >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
                tag = np.uint32(value >> np.uint64(32))
                slot = np.int64((value ^ (value >> np.uint64(32))) & np.uint64(mask))
                seen = False
                while slots[slot] >= 0:
                    if tags[slot] == tag:
                        other = first + slots[slot]
                        length = begin[other + n - 1] + n_bytes[other + n - 1] - begin[other]
                        if length == stop - start and _same(joined, begin[other], start, length):
                            seen = True
                            break
                    slot = (slot + 1) & mask
                if seen:
                    for word in range(first + i, first + i + n):
                        repeated[row, column] += n_chars[word]
                    i += n
                else:
                    slots[slot] = i
                    tags[slot] = tag
                    i += 1
    return repeated


@numba.njit(cache=True, nogil=True, inline="always")
def _same(joined: NDArray[np.uint8], left: int, right: int, length: int) -> bool:
    for k in range(length):  # noqa: SIM110 (numba has no all)
        if joined[left + k] != joined[right + k]:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _power(powers: NDArray[np.uint64], exponent: int) -> np.uint64:
    """BASE^exponent mod 2^64."""
    if exponent < N_POWERS:
        return np.uint64(powers[exponent])
    result = np.uint64(1)
    factor = np.uint64(BASE)
    while exponent > 0:
        if exponent & 1:
            result *= factor
        factor *= factor
        exponent >>= 1
    return result
