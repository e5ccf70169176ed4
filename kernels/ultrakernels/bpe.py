"""Byte-pair encoding of pieces, each looked up before it is computed (numba, no GIL).

A piece of at most 16 bytes is kept with its ids in a table whose key is the piece itself, so that
what is found is exact. Others, and those not met before, are merged: the lowest rank first, of equal
ones the leftmost, as in Sennrich et al. 2016 and Hugging Face's `tokenizers`. Short pieces look for
the lowest rank each time; long ones keep a heap, so that the time is n log n.
"""

from __future__ import annotations

import itertools
from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

SHORT: Final = 96
"""Bytes of a piece up to which looking through all pairs beats a heap."""
KEY_BYTES: Final = 16
SLOTS: Final = 1 << 18
"""Of the table of pieces: 6 MiB, filled to 60 %."""

_NEVER: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_32: Final = np.uint64(32)
_LOW: Final = np.uint64(0xFFFFFFFF)
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_ONE: Final = np.uint64(1)
_MOST: Final = np.int64(SLOTS * 6 // 10)


def merge_table(
    pairs: NDArray[np.int64], made: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Open addressing over pairs of ids, int64[n, 2], in order of rank: (keys, rank << 32 | id made)."""
    size = 16
    while size < 2 * len(pairs):
        size *= 2
    keys = np.full(size, _NEVER, dtype=np.uint64)
    values = np.full(size, _NEVER, dtype=np.uint64)
    _fill(pairs.astype(np.uint64), made.astype(np.uint64), keys, values)
    return keys, values


@numba.njit(cache=True, nogil=True)
def _fill(pairs: Any, made: Any, keys: Any, values: Any) -> None:
    mask = np.uint64(len(keys) - 1)
    for rank in range(len(pairs)):
        key = pairs[rank, 0] << _32 | pairs[rank, 1]
        at = (key * _MIX >> _32) & mask
        while keys[at] != _NEVER and keys[at] != key:
            at = (at + _ONE) & mask
        # of a pair that stands twice the last counts, as in a dictionary
        keys[at] = key
        values[at] = np.uint64(rank) << _32 | made[rank]


@numba.njit(cache=True, nogil=True)
def _pair(left: Any, right: Any, keys: Any, values: Any) -> Any:
    key = np.uint64(left) << _32 | np.uint64(right)
    mask = np.uint64(len(keys) - 1)
    at = (key * _MIX >> _32) & mask
    while keys[at] != key:
        if keys[at] == _NEVER:
            return _NEVER
        at = (at + _ONE) & mask
    return values[at]


@numba.njit(cache=True, nogil=True)
def merge_short(symbols: Any, ranks: Any, n: Any, keys: Any, values: Any) -> Any:
    """Merges symbols[:n] in place; how many are left. `ranks` is room for n numbers."""
    for i in range(n - 1):
        ranks[i] = _pair(symbols[i], symbols[i + 1], keys, values)
    while n > 1:
        lowest = _NEVER
        for i in range(n - 1):
            lowest = min(lowest, ranks[i])
        if lowest == _NEVER:
            break
        i = 0
        while ranks[i] != lowest:
            i += 1
        symbols[i] = np.int32(lowest & _LOW)
        for j in range(i + 1, n - 1):
            symbols[j] = symbols[j + 1]
        for j in range(i + 1, n - 2):
            ranks[j] = ranks[j + 1]
        n -= 1
        if i > 0:
            ranks[i - 1] = _pair(symbols[i - 1], symbols[i], keys, values)
        if i < n - 1:
            ranks[i] = _pair(symbols[i], symbols[i + 1], keys, values)
    return n


@numba.njit(cache=True, nogil=True)
def _push(heap: Any, n: Any, item: Any) -> None:
    at = n
    while at > 0:
        above = (at - 1) >> 1
        if heap[above] <= item:
            break
        heap[at] = heap[above]
        at = above
    heap[at] = item


@numba.njit(cache=True, nogil=True)
def _pop(heap: Any, n: Any) -> Any:
    """The least of heap[:n], which then is heap[:n - 1]."""
    least = heap[0]
    item = heap[n - 1]
    n -= 1
    at = 0
    while True:
        below = 2 * at + 1
        if below >= n:
            break
        if below + 1 < n and heap[below + 1] < heap[below]:
            below += 1
        if heap[below] >= item:
            break
        heap[at] = heap[below]
        at = below
    heap[at] = item
    return least


@numba.njit(cache=True, nogil=True)
def merge_long(symbols: Any, n: Any, keys: Any, values: Any) -> Any:
    """`merge_short` with a heap of (rank, place); a piece has less than 2^32 bytes."""
    after = np.arange(1, n + 1)
    before = np.arange(-1, n - 1)
    heap = np.empty(3 * n, dtype=np.uint64)
    size = 0
    for i in range(n - 1):
        found = _pair(symbols[i], symbols[i + 1], keys, values)
        if found != _NEVER:
            _push(heap, size, (found >> _32) << _32 | np.uint64(i))
            size += 1
    while size:
        item = _pop(heap, size)
        size -= 1
        here = np.int64(item & _LOW)
        if symbols[here] < 0 or after[here] >= n:
            continue
        j = after[here]
        found = _pair(symbols[here], symbols[j], keys, values)
        # the pair that was here has changed since
        if found == _NEVER or found >> _32 != item >> _32:
            continue
        symbols[here] = np.int32(found & _LOW)
        symbols[j] = -1
        after[here] = after[j]
        if after[j] < n:
            before[after[j]] = here
            found = _pair(symbols[here], symbols[after[here]], keys, values)
            if found != _NEVER:
                _push(heap, size, (found >> _32) << _32 | np.uint64(here))
                size += 1
        if before[here] >= 0:
            k = before[here]
            found = _pair(symbols[k], symbols[here], keys, values)
            if found != _NEVER:
                _push(heap, size, (found >> _32) << _32 | np.uint64(k))
                size += 1
    left = 0
    i = 0
    while i < n:
        symbols[left] = symbols[i]
        left += 1
        i = after[i]
    return left


@numba.njit(cache=True, nogil=True)
def encode(
    data: Any,
    start: Any,
    n: Any,
    marks: Any,
    at: Any,
    byte_ids: Any,
    keys: Any,
    values: Any,
    cache: Any,
    pool: Any,
    used: Any,
    ids: Any,
) -> Any:
    """Ids of the pieces of data[start:start + n] from place `at` on, as many as fit into `ids`.

    Returns (number of ids, place of the next piece). A piece has at most as many ids as bytes, and
    `ids` must have room for the longest. `cache` uint64[SLOTS, 3] (16 bytes of the piece; place in
    `pool` << 16 | bytes << 8 | ids), `pool` int32[...] and `used` int64[2] (pieces, pool) are what is
    remembered between calls; `used` says how much.
    """
    n_ids = 0
    room = len(ids)
    ranks = np.empty(SHORT, dtype=np.uint64)
    mask = np.uint64(SLOTS - 1)
    while at < n:
        end = at + 1
        while not marks[end]:
            end += 1
        length = end - at
        if n_ids + length > room:
            break
        slot = np.uint64(0)
        low = high = np.uint64(0)
        if length <= KEY_BYTES:
            for k in range(min(length, 8)):
                low |= np.uint64(data[start + at + k]) << np.uint64(8 * k)
            for k in range(8, length):
                high |= np.uint64(data[start + at + k]) << np.uint64(8 * k - 64)
            h = (low ^ (high * _MIX) ^ np.uint64(length)) * _MIX
            slot = ((h ^ (h >> _32)) * _MIX >> _32) & mask
            found = False
            while cache[slot, 2]:
                value = cache[slot, 2]
                if (
                    cache[slot, 0] == low
                    and cache[slot, 1] == high
                    and (value >> np.uint64(8)) & np.uint64(255) == np.uint64(length)
                ):
                    place = value >> np.uint64(16)
                    for k in range(value & np.uint64(255)):
                        ids[n_ids] = pool[place + k]
                        n_ids += 1
                    found = True
                    break
                slot = (slot + _ONE) & mask
            if found:
                at = end
                continue
        symbols = ids[n_ids : n_ids + length]
        for k in range(length):
            symbols[k] = byte_ids[data[start + at + k]]
        if length <= SHORT:
            made = merge_short(symbols, ranks, length, keys, values)
        else:
            made = merge_long(symbols, length, keys, values)
        if length <= KEY_BYTES and used[0] < _MOST and used[1] + made <= len(pool):
            cache[slot, 0], cache[slot, 1] = low, high
            cache[slot, 2] = (
                np.uint64(used[1]) << np.uint64(16)
                | np.uint64(length) << np.uint64(8)
                | np.uint64(made)
            )
            for k in range(made):
                pool[used[1] + k] = symbols[k]
            used[0] += 1
            used[1] += made
        n_ids += made
        at = end
    return n_ids, at


def reference(symbols: list[int], merges: dict[tuple[int, int], tuple[int, int]]) -> list[int]:
    """The ids of one piece: `merges` maps a pair to (rank, id)."""
    while len(symbols) > 1:
        found = [
            (merges[pair][0], place)
            for place, pair in enumerate(itertools.pairwise(symbols))
            if pair in merges
        ]
        if not found:
            break
        _, place = min(found)
        made = merges[symbols[place], symbols[place + 1]][1]
        symbols = [*symbols[:place], made, *symbols[place + 2 :]]
    return symbols
