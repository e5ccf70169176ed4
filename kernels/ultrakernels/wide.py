"""Bytes eight at a time: finding one, hashing and comparing spans, counting code points.

LLVM makes one load of `load64`'s eight. Spans are data[start:stop], and nothing outside is read.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

EIGHT = np.uint64(8)
LOW = np.uint64(0x0101010101010101)
HIGH = np.uint64(0x8080808080808080)
MIX = np.uint64(0x9E3779B97F4A7C15)


@numba.njit(cache=True, nogil=True)
def load64(data: NDArray[np.uint8], at: np.uint64) -> np.uint64:
    """data[at:at + 8] as a little-endian number."""
    word = np.uint64(data[at])
    word |= np.uint64(data[at + np.uint64(1)]) << np.uint64(8)
    word |= np.uint64(data[at + np.uint64(2)]) << np.uint64(16)
    word |= np.uint64(data[at + np.uint64(3)]) << np.uint64(24)
    word |= np.uint64(data[at + np.uint64(4)]) << np.uint64(32)
    word |= np.uint64(data[at + np.uint64(5)]) << np.uint64(40)
    word |= np.uint64(data[at + np.uint64(6)]) << np.uint64(48)
    word |= np.uint64(data[at + np.uint64(7)]) << np.uint64(56)
    return word


@numba.njit(cache=True, nogil=True)
def find_byte(data: NDArray[np.uint8], start: int, stop: int, byte: int) -> Any:
    """The first place of the byte, `stop` where there is none."""
    at, end = np.uint64(start), np.uint64(stop)
    every = LOW * np.uint64(byte)
    while at + EIGHT <= end:
        other = load64(data, at) ^ every
        found = (other - LOW) & ~other & HIGH
        if found:
            below = (found & (~found + np.uint64(1))) - np.uint64(1)
            return np.int64(at + _sum(below & LOW) - np.uint64(1))
        at += EIGHT
    while at < end and data[at] != byte:
        at += np.uint64(1)
    return np.int64(at)


@numba.njit(cache=True, nogil=True)
def _sum(word: np.uint64) -> np.uint64:
    """The sum of the eight bytes, if below 256."""
    return (word * LOW) >> np.uint64(56)


@numba.njit(cache=True, nogil=True)
def hash_span(data: NDArray[np.uint8], start: int, stop: int) -> np.uint64:
    at, end = np.uint64(start), np.uint64(stop)
    value = end - at
    if end - at >= EIGHT:
        last = load64(data, end - EIGHT)
        while at + EIGHT <= end:
            value = (value ^ load64(data, at)) * MIX
            value ^= value >> np.uint64(29)
            at += EIGHT
        value = (value ^ last) * MIX
    else:
        word = np.uint64(0)
        while at < end:
            word = word << EIGHT | np.uint64(data[at])
            at += np.uint64(1)
        value = ((value * MIX) ^ word) * MIX
    return value ^ (value >> np.uint64(32))


@numba.njit(cache=True, nogil=True)
def same_span(data: NDArray[np.uint8], left: int, right: int, n_bytes: int) -> bool:
    """Whether the two spans of `n_bytes` have the same bytes."""
    a, b = np.uint64(left), np.uint64(right)
    end = a + np.uint64(n_bytes)
    while a + EIGHT <= end:
        if load64(data, a) != load64(data, b):
            return False
        a += EIGHT
        b += EIGHT
    while a < end:
        if data[a] != data[b]:
            return False
        a += np.uint64(1)
        b += np.uint64(1)
    return True


@numba.njit(cache=True, nogil=True)
def n_code_points(data: NDArray[np.uint8], start: int, stop: int) -> Any:
    """Bytes that begin a character of UTF-8."""
    at, end = np.uint64(start), np.uint64(stop)
    count = end - at
    while at + EIGHT <= end:
        word = load64(data, at)
        count -= _sum((word & ~(word << np.uint64(1)) & HIGH) >> np.uint64(7))
        at += EIGHT
    while at < end:
        count -= np.uint64((data[at] & 0xC0) == 0x80)
        at += np.uint64(1)
    return np.int64(count)
