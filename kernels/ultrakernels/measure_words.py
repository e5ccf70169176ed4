"""Length in code points, hash and character classes of each word."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.utf8 import decode

BASE = 0x9E3779B97F4A7C15
"""Base of the polynomial hash, mod 2^64: hash(xy) = hash(x) * BASE^len(y) + hash(y)."""

Measured = tuple[NDArray[np.int32], NDArray[np.uint64], NDArray[np.uint8]]


def reference(
    joined: NDArray[np.uint8],
    begin: NDArray[np.int64],
    n_bytes: NDArray[np.int32],
    table: NDArray[np.uint8],
) -> Measured:
    """See `measure_words`."""
    n_chars, hashes, classes = [], [], []
    for start, size in zip(begin, n_bytes, strict=True):
        raw = joined[start : start + size].tobytes()
        word = raw.decode()
        n_chars.append(len(word))
        hashes.append(hash_bytes(raw))
        classes.append(np.bitwise_or.reduce([table[ord(char)] for char in word] or [0]))
    return (
        np.array(n_chars, dtype=np.int32),
        np.array(hashes, dtype=np.uint64),
        np.array(classes, dtype=np.uint8),
    )


def hash_bytes(raw: bytes) -> int:
    """The hash of a word, from Python."""
    value = 0
    for byte in raw:
        value = (value * BASE + byte + 1) & (2**64 - 1)
    return value


@numba.njit(cache=True, nogil=True)
def measure_words(
    joined: NDArray[np.uint8],
    begin: NDArray[np.int64],
    n_bytes: NDArray[np.int32],
    table: NDArray[np.uint8],
) -> Measured:
    """(n_chars int32, hash uint64, classes uint8) per word; word i is joined[begin[i]:][:n_bytes[i]].

    `classes` is the union of `table[c]` over the word's code points c.
    """
    n_words = len(n_bytes)
    n_chars = np.zeros(n_words, dtype=np.int32)
    hashes = np.zeros(n_words, dtype=np.uint64)
    classes = np.zeros(n_words, dtype=np.uint8)
    base = np.uint64(BASE)
    for word in range(n_words):
        at = begin[word]
        end = at + n_bytes[word]
        value = np.uint64(0)
        found = np.uint8(0)
        count = 0
        while at < end:
            byte = joined[np.uint64(at)]
            value = value * base + np.uint64(byte) + np.uint64(1)
            count += 1
            if byte < 0x80:
                found |= table[np.uint64(byte)]
                at += 1
                continue
            code, size = decode(joined, at, end)
            found |= table[np.uint64(code)]
            for index in range(at + 1, at + size):
                value = value * base + np.uint64(joined[index]) + np.uint64(1)
            at += size
        n_chars[word] = count
        hashes[word] = value
        classes[word] = found
    return n_chars, hashes, classes
