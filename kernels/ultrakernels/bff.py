"""Units of text whose n-grams were mostly seen before, in one pass: DCLM's Bloom filter deduplication.

What was seen is kept in a Bloom filter, or exactly in a hash set. A unit (a paragraph, a document) goes
if more than `threshold` of its n-grams are there; the n-grams of one that stays are put in after it was
judged, those of one that goes are not. In `old_both` a document goes, too, if of the n-grams of all its
paragraphs more than `threshold` were there when they were judged, and its n-grams stay put in.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_MASK = 2**64 - 1


def bloom_size(n_expected: int, fp_rate: float) -> tuple[int, int]:
    """(64-bit words, hash functions) of a filter that is wrong for `fp_rate` of what it never saw."""
    n_bits = -n_expected * math.log(fp_rate) / math.log(2) ** 2
    n_words = max(1, math.ceil(n_bits / 64))
    return n_words, max(1, round(n_words * 64 / max(1, n_expected) * math.log(2)))


def false_positive_rate(n_words: int, n_functions: int, n_inserted: int) -> float:
    """How often a filter says of what it never saw that it did."""
    return float((1 - math.exp(-n_functions * n_inserted / (n_words * 64))) ** n_functions)


def reference(
    grams: NDArray[np.uint64],
    unit: NDArray[np.int64],
    seen: set[int],
    threshold: float,
) -> tuple[list[bool], list[int]]:
    """(gone, n-grams that were there) of each unit; `seen` is changed."""
    gone, there = [], []
    for start, stop in zip(unit[:-1].tolist(), unit[1:].tolist(), strict=True):
        mine = grams[start:stop].tolist()
        n_seen = sum(gram in seen for gram in mine)
        gone.append(bool(mine) and n_seen / len(mine) > threshold)
        there.append(n_seen)
        if not gone[-1]:
            seen.update(mine)
    return gone, there


def judge_bloom(
    grams: NDArray[np.uint64],
    unit: NDArray[np.int64],
    words: NDArray[np.uint64],
    n_functions: int,
    threshold: float,
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """(gone bool[n_units], seen int64[n_units]); unit i has the n-grams grams[unit[i]:unit[i + 1]].

    `words` is the filter, which is changed.
    """
    gone, seen = _judge_bloom(grams, unit, words, n_functions, threshold)
    return gone, seen


@numba.njit(cache=True, nogil=True)
def _mix(x: np.uint64) -> np.uint64:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def _judge_bloom(
    grams: NDArray[np.uint64],
    unit: NDArray[np.int64],
    words: NDArray[np.uint64],
    n_functions: int,
    threshold: float,
) -> Any:
    n_units = len(unit) - 1
    gone = np.zeros(n_units, dtype=np.bool_)
    seen = np.zeros(n_units, dtype=np.int64)
    n_bits = np.uint64(len(words) * 64)
    for row in range(n_units):
        for i in range(unit[row], unit[row + 1]):
            # Two hashes make them all (Kirsch and Mitzenmacher 2006).
            at, step = _mix(grams[i]), _mix(grams[i] ^ np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)
            there = np.int64(1)
            for _ in range(n_functions):
                bit = at % n_bits
                there &= np.int64(
                    (words[bit >> np.uint64(6)] >> (bit & np.uint64(63))) & np.uint64(1)
                )
                at += step
            seen[row] += there
        size = unit[row + 1] - unit[row]
        gone[row] = size > 0 and seen[row] / size > threshold
        if gone[row]:
            continue
        for i in range(unit[row], unit[row + 1]):
            at, step = _mix(grams[i]), _mix(grams[i] ^ np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)
            for _ in range(n_functions):
                bit = at % n_bits
                words[bit >> np.uint64(6)] |= np.uint64(1) << (bit & np.uint64(63))
                at += step
    return gone, seen


class Exactly:
    """All n-grams that were put in: an open hash table that grows."""

    def __init__(self) -> None:
        self.slots = np.zeros(2**16, dtype=np.uint64)
        self.n_inserted = 0
        self._zero = False

    def judge(
        self, grams: NDArray[np.uint64], unit: NDArray[np.int64], threshold: float
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """As `judge_bloom`, without mistakes."""
        grams = np.where(grams == 0, np.uint64(1), grams)  # 0 marks a free slot
        if 2 * (self.n_inserted + len(grams)) > len(self.slots):
            size = 1 << (4 * (self.n_inserted + len(grams))).bit_length()
            self.slots = _grown(self.slots, size)
        gone, seen, n_new = _judge_exactly(grams, unit, self.slots, threshold)
        self.n_inserted += n_new
        return gone, seen


@numba.njit(cache=True, nogil=True)
def _slot(slots: NDArray[np.uint64], gram: np.uint64) -> np.uint64:
    mask = np.uint64(len(slots) - 1)
    at = _mix(gram) & mask
    while slots[at] != 0 and slots[at] != gram:
        at = (at + np.uint64(1)) & mask
    return at


@numba.njit(cache=True, nogil=True)
def _grown(slots: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    out = np.zeros(size, dtype=np.uint64)
    for gram in slots:
        if gram != 0:
            out[_slot(out, gram)] = gram
    return out


@numba.njit(cache=True, nogil=True)
def _judge_exactly(
    grams: NDArray[np.uint64], unit: NDArray[np.int64], slots: NDArray[np.uint64], threshold: float
) -> Any:
    n_units = len(unit) - 1
    gone = np.zeros(n_units, dtype=np.bool_)
    seen = np.zeros(n_units, dtype=np.int64)
    n_new = 0
    for row in range(n_units):
        for i in range(unit[row], unit[row + 1]):
            seen[row] += slots[_slot(slots, grams[i])] != 0
        size = unit[row + 1] - unit[row]
        gone[row] = size > 0 and seen[row] / size > threshold
        if gone[row]:
            continue
        for i in range(unit[row], unit[row + 1]):
            at = _slot(slots, grams[i])
            n_new += slots[at] == 0
            slots[at] = grams[i]
    return gone, seen, n_new
