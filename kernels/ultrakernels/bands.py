"""Rows that share a band key with another row, joined to components in one pass per band."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Keys = NDArray[np.uint64]
Rows = NDArray[np.uint32]

_IN_CACHE = 1 << 15
"""Keys of a radix partition on average: its table stays in a core's own cache."""
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


def reference(keys: Keys, node: Ids) -> tuple[Keys, Rows, Rows]:
    """`meet`, by dictionaries; keys come in another order."""
    n_rows, n_bands = keys.shape
    first: dict[tuple[int, int], int] = {}
    root = list(range(n_rows))
    for band in range(n_bands):
        for row in range(n_rows):
            other = first.setdefault((band, int(keys[row, band])), row)
            low, high = sorted((root[other], root[row]), key=lambda r: int(node[r]))
            root = [low if r == high else r for r in root]
    distinct = np.array([key for _, key in first], dtype=np.uint64)
    return distinct, np.array(list(first.values()), np.uint32), np.array(root, np.uint32)


def meet(keys: Keys, node: Ids) -> tuple[Keys, Rows, Rows]:
    """(keys[m] that differ within their band, the first row of each, root[n] of every row).

    keys uint64[n, bands], node int64[n], n below 2^32. Rows that share a key, transitively, have
    one root: the one among them with the lowest node. Time is linear in keys however they repeat;
    memory 16 bytes a row and 12 a distinct key besides what is given.
    """
    if len(keys) >= 1 << 32:
        raise ValueError(f"{len(keys):,} rows at once, 2^32 at most")
    bits = max(len(keys) // _IN_CACHE, 1).bit_length()
    return _meet(keys, node, bits)


@numba.njit(cache=True, nogil=True)
def _meet(keys: Keys, node: Ids, bits: int) -> tuple[Keys, Rows, Rows]:
    n_rows, n_bands = keys.shape
    distinct = np.empty(n_rows * n_bands, dtype=np.uint64)
    first = np.empty(n_rows * n_bands, dtype=np.uint32)
    n_distinct = 0
    root = np.arange(n_rows).astype(np.uint32)
    key = np.empty(n_rows, dtype=np.uint64)
    row = np.empty(n_rows, dtype=np.uint32)
    counts = _counted(keys, bits)
    largest = counts.max() if n_rows else 0
    table = np.empty(_slots(largest), dtype=np.int32)  # counts from `known`; -1 is an empty slot
    for band in range(n_bands):
        ends = np.cumsum(counts[band])
        _partitioned(keys, band, bits, ends - counts[band], key, row)
        for part in range(len(ends)):
            begin = ends[part] - counts[band, part]
            n_slots = _slots(counts[band, part])
            mask = np.uint64(n_slots - 1)
            table[:n_slots] = -1
            known = n_distinct
            for i in range(begin, ends[part]):
                slot = ((key[i] * _SPREAD) >> np.uint64(16)) & mask
                while table[slot] >= 0 and distinct[known + table[slot]] != key[i]:
                    slot = (slot + np.uint64(1)) & mask
                if table[slot] < 0:
                    table[slot] = n_distinct - known
                    distinct[n_distinct] = key[i]
                    first[n_distinct] = row[i]
                    n_distinct += 1
                else:
                    _join(root, node, first[known + table[slot]], row[i])
    for i in range(n_rows):
        root[i] = _root(root, i)
    return distinct[:n_distinct], first[:n_distinct], root


@numba.njit(cache=True, nogil=True)
def _counted(keys: Keys, bits: int) -> Ids:
    """Keys per band and partition, in one walk over the rows."""
    counts = np.zeros((keys.shape[1], 1 << bits), dtype=np.int64)
    shift = np.uint64(64 - bits)
    for i in range(len(keys)):
        for band in range(keys.shape[1]):
            counts[band, (keys[i, band] * _SPREAD) >> shift] += 1
    return counts


@numba.njit(cache=True, nogil=True)
def _partitioned(keys: Keys, band: int, bits: int, place: Ids, key: Keys, row: Rows) -> None:
    """Into `key` and `row`: one band, by the top bits of its spread keys, rows in order."""
    shift = np.uint64(64 - bits)
    for i in range(len(keys)):
        part = (keys[i, band] * _SPREAD) >> shift
        key[place[part]] = keys[i, band]
        row[place[part]] = i
        place[part] += 1


@numba.njit(cache=True, nogil=True)
def _slots(n_keys: int) -> int:
    n_slots = 4
    while n_slots < 2 * n_keys:
        n_slots *= 2
    return n_slots


@numba.njit(cache=True, nogil=True)
def _root(root: Rows, row: int) -> int:
    while root[row] != row:
        root[row] = root[root[row]]
        row = root[row]
    return row


@numba.njit(cache=True, nogil=True)
def _join(root: Rows, node: Ids, left: int, right: int) -> None:
    a, b = _root(root, left), _root(root, right)
    if node[a] <= node[b]:
        root[b] = a
    else:
        root[a] = b
