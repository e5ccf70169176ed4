"""A plain Bloom filter over 64-bit keys: put in, look up."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.bff import bloom_size, false_positive_rate

__all__ = ["add", "bloom_size", "false_positive_rate", "has", "reference"]

Keys = NDArray[np.uint64]


def reference(known: Keys, n_words: int, n_functions: int, asked: Keys) -> list[bool]:
    """`has` after `add`, with Python's integers."""
    mask = 2**64 - 1

    def mix(x: int) -> int:
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        return x ^ (x >> 31)

    def bits(key: int) -> list[int]:
        at, step = mix(key), mix(key ^ 0x9E3779B97F4A7C15) | 1
        return [((at + i * step) & mask) % (64 * n_words) for i in range(n_functions)]

    there = {bit for key in known.tolist() for bit in bits(key)}
    return [there.issuperset(bits(key)) for key in asked.tolist()]


@numba.njit(cache=True, nogil=True)
def _mix(x: np.uint64) -> np.uint64:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def add(words: Keys, n_functions: int, keys: Keys) -> None:
    """Puts keys into the filter `words`, uint64[n_words], which is changed."""
    n_bits = np.uint64(len(words) * 64)
    for i in range(len(keys)):
        at, step = _mix(keys[i]), _mix(keys[i] ^ np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)
        for _ in range(n_functions):
            bit = at % n_bits
            words[bit >> np.uint64(6)] |= np.uint64(1) << (bit & np.uint64(63))
            at += step


@numba.njit(cache=True, nogil=True)
def has(words: Keys, n_functions: int, keys: Keys) -> NDArray[np.bool_]:
    """Whether each key was put in, bool[n_keys]; wrongly yes at the filter's rate, never wrongly no."""
    n_bits = np.uint64(len(words) * 64)
    out = np.zeros(len(keys), dtype=np.bool_)
    for i in range(len(keys)):
        at, step = _mix(keys[i]), _mix(keys[i] ^ np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)
        there = np.uint64(1)
        for _ in range(n_functions):
            bit = at % n_bits
            there &= words[bit >> np.uint64(6)] >> (bit & np.uint64(63))
            at += step
        out[i] = there & np.uint64(1) != 0
    return out
