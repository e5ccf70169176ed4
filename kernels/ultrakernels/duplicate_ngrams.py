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
FLAGS = 16
"""Flags per n-gram: of n-grams that are all different, one in 16 meets a flag that is marked."""
MIX = 0xD6E8FEB86659FD93
INVERSE = pow(BASE, -1, 2**64)


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

    The words of one document lie side by side in `joined`, so an n-gram is one slice, and its hash is
    one subtraction and one product: with Q the sums of byte * BASE^-place, that of the slice from a to
    b is (Q[b] - Q[a]) * BASE^a, whatever its place. Most n-grams are alone in a table of flags and are
    passed over; those that share a flag are looked up, and equal hashes are compared byte by byte.
    Each byte is compared at most once per n where the text repeats, so the time is linear.
    """
    n_docs = len(doc) - 1
    repeated = np.zeros((n_docs, len(sizes)), dtype=np.int64)
    most = 0
    for row in range(n_docs):
        most = max(most, doc[row + 1] - doc[row])
    flags = np.empty(1 << _bits(most * FLAGS), dtype=np.uint8)
    slots = np.empty(1 << _bits(most * 2), dtype=np.int32)
    tags = np.empty(len(slots), dtype=np.uint32)
    sums = np.zeros(most + 1, dtype=np.uint64)
    power = np.empty(most, dtype=np.uint64)
    powers = np.ones(N_POWERS, dtype=np.uint64)
    inverses = np.ones(N_POWERS, dtype=np.uint64)
    for i in range(1, N_POWERS):
        powers[i] = powers[i - 1] * np.uint64(BASE)
        inverses[i] = inverses[i - 1] * np.uint64(INVERSE)
    for row in range(n_docs):
        first = doc[row]
        n_words = doc[row + 1] - first
        here, back = np.uint64(MIX), np.uint64(1)
        for i in range(n_words):
            size = n_bytes[first + i]
            power[i] = here
            here *= _power(powers, size, np.uint64(BASE))
            back *= _power(inverses, size, np.uint64(INVERSE))
            sums[i + 1] = sums[i] + hashes[first + i] * back
        for column in range(len(sizes)):
            n = sizes[column]
            n_grams = n_words - n + 1
            if n_grams <= 1:
                continue
            bits = _bits(n_grams * FLAGS)
            shared = _flagged(sums, power, n, n_grams, flags, bits)
            if shared:
                repeated[row, column] = _repeated(
                    joined, begin, n_bytes, n_chars, first, n, n_grams, sums, power, flags, bits,
                    slots, tags, shared,
                )  # fmt: skip
    return repeated


@numba.njit(cache=True, nogil=True)
def _flagged(
    sums: NDArray[np.uint64],
    power: NDArray[np.uint64],
    n: int,
    n_grams: int,
    flags: NDArray[np.uint8],
    bits: int,
) -> int:
    """Marks each n-gram's flag with 1, with 2 if it had been marked; how many had been."""
    shift = np.uint64(64 - bits)
    flags[: 1 << bits] = 0
    shared = 0
    for i in range(n_grams):
        at = ((sums[i + n] - sums[i]) * power[i]) >> shift
        met = np.uint8(flags[at] > 0)
        shared += int(met)
        flags[at] = np.uint8(1) + met
    return shared


@numba.njit(cache=True, nogil=True)
def _repeated(
    joined: NDArray[np.uint8],
    begin: NDArray[np.int64],
    n_bytes: NDArray[np.int32],
    n_chars: NDArray[np.int32],
    first: int,
    n: int,
    n_grams: int,
    sums: NDArray[np.uint64],
    power: NDArray[np.uint64],
    flags: NDArray[np.uint8],
    bits: int,
    slots: NDArray[np.int32],
    tags: NDArray[np.uint32],
    shared: int,
) -> int:
    """Characters of repeated n-grams of one document, of those whose flag is 2."""
    shift = np.uint64(64 - bits)
    # at most twice as many share a flag as came to a flag that was marked
    mask = (1 << _bits(min(2 * shared, n_grams) * 2)) - 1
    slots[: mask + 1] = -1
    chars = 0
    i = 0
    while i < n_grams:
        value = (sums[i + n] - sums[i]) * power[i]
        if flags[value >> shift] == 1:
            i += 1
            continue
        start = begin[first + i]
        last = first + i + n - 1
        size = begin[last] + n_bytes[last] - start
        # its middle bits: the top ones are alike where a flag is shared
        tag = np.uint32(value)
        slot = np.int64((value >> np.uint64(24)) & np.uint64(mask))
        seen = False
        while slots[slot] >= 0:
            if tags[slot] == tag:
                other = first + slots[slot]
                length = begin[other + n - 1] + n_bytes[other + n - 1] - begin[other]
                if length == size and _same(joined, begin[other], start, length):
                    seen = True
                    break
            slot = (slot + 1) & mask
        if seen:
            for word in range(first + i, first + i + n):
                chars += n_chars[word]
            i += n
        else:
            slots[slot] = i
            tags[slot] = tag
            i += 1
    return chars


@numba.njit(cache=True, nogil=True)
def _bits(n: int) -> int:
    """The least number, at least 3, whose power of two is n or more."""
    bits = 3
    while (1 << bits) < n:
        bits += 1
    return bits


@numba.njit(cache=True, nogil=True, inline="always")
def _same(joined: NDArray[np.uint8], left: int, right: int, length: int) -> bool:
    for k in range(length):  # noqa: SIM110 (numba has no all)
        if joined[left + k] != joined[right + k]:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _power(powers: NDArray[np.uint64], exponent: int, factor: np.uint64) -> np.uint64:
    """factor^exponent mod 2^64; the first of them are in `powers`."""
    if exponent < N_POWERS:
        return np.uint64(powers[exponent])
    result = np.uint64(1)
    while exponent > 0:
        if exponent & 1:
            result *= factor
        factor *= factor
        exponent >>= 1
    return result
