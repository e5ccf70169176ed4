"""Hashes of every window of `length` tokens, and an anchor in each that equal windows share.

Hashes are made by doubling: of two tokens from one each, of four from two each, and so on, of 50 from
the windows of 32 that begin and end it. So their cost grows with the logarithm of the length, and text
that repeats costs what other text costs. The anchor of a window is the lowest hash of the shorter
windows (a power of two, a third of the length at most) inside it, the first of equals: a minimiser
(Schleimer, Wilkerson, Aiken 2003). Equal windows have equal anchors, and neighbours mostly share theirs,
so one can ask of one position in about twenty whether any of its windows occurs again.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Windows = tuple[NDArray[np.uint64], NDArray[np.int64]]

_MASK = 2**64 - 1


def anchor_length(length: int) -> int:
    """Tokens in an anchor: the largest power of two that is at most a third of the length."""
    return 1 << max(0, (max(1, length // 3)).bit_length() - 1)


def reference(
    ids: NDArray[np.uint64], offsets: NDArray[np.int64], length: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """See `windows`."""
    hashes = np.zeros((len(ids), 2), dtype=np.uint64)
    anchors = np.full(len(ids), -1, dtype=np.int64)
    short = anchor_length(length)
    for first, last in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        for at in range(first, last - length + 1):
            window = [int(token) for token in ids[at : at + length]]
            for lane in (0, 1):
                hashes[at, lane] = _hash(window, lane)
            inside = [_hash(window[k : k + short], 0) for k in range(length - short + 1)]
            anchors[at] = at + inside.index(min(inside))
    return hashes, anchors


def _hash(window: list[int], lane: int) -> int:
    factor = (0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93)[lane]
    level = [_mix_int(token * factor + lane + 1) for token in window]
    size = 1
    while len(window) >= 2 * size:
        level = [_join(level[i], level[i + size], factor) for i in range(len(level) - size)]
        size *= 2
    rest = len(window) - size
    return _join(level[0], level[rest], factor) if rest else level[0]


def _join(left: int, right: int, factor: int) -> int:
    return _mix_int(left * factor + right)


def _mix_int(x: int) -> int:
    x &= _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def windows(ids: NDArray[np.uint64], offsets: NDArray[np.int64], length: int) -> Windows:
    """(hashes uint64[n, 2], anchors int64[n]) of the window that begins at each of n tokens.

    Document i is ids[offsets[i]:offsets[i + 1]]; the documents lie side by side and cover `ids`. Where
    a document ends before the window does, hashes are 0 and the anchor -1. An anchor is the place of
    a token; its own hash is `anchor_hashes`.
    """
    hashes, shorter = _hashes(ids, offsets, length, anchor_length(length))
    return hashes, _anchors(shorter, offsets, length, anchor_length(length))


def anchor_hashes(
    ids: NDArray[np.uint64], offsets: NDArray[np.int64], length: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """(hashes uint64[n] of the anchor-sized window at each token, anchors int64[n])."""
    short = anchor_length(length)
    hashes, _ = _hashes(ids, offsets, short, short)
    return hashes[:, 0], _anchors(hashes[:, 0], offsets, length, short)


@numba.njit(cache=True, nogil=True)
def _mix(x: np.uint64) -> np.uint64:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def _hashes(
    ids: NDArray[np.uint64], offsets: NDArray[np.int64], length: int, short: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    n_ids = len(ids)
    out = np.empty((n_ids, 2), dtype=np.uint64)
    shorter = np.empty(n_ids, dtype=np.uint64)
    lane = np.empty(n_ids, dtype=np.uint64)
    for number in range(2):
        factor = np.uint64(0x9E3779B97F4A7C15) if number == 0 else np.uint64(0xD6E8FEB86659FD93)
        for i in range(n_ids):
            lane[i] = _mix(ids[i] * factor + np.uint64(number + 1))
        size = 1
        if number == 0 and size == short:
            shorter[:] = lane
        while 2 * size <= length:
            for i in range(n_ids - size):
                lane[i] = _mix(lane[i] * factor + lane[i + size])
            size *= 2
            if number == 0 and size == short:
                shorter[:] = lane
        rest = length - size
        if rest:
            for i in range(n_ids - rest):
                lane[i] = _mix(lane[i] * factor + lane[i + rest])
        out[:, number] = lane
    for row in range(len(offsets) - 1):
        for i in range(max(offsets[row], offsets[row + 1] - length + 1), offsets[row + 1]):
            out[i, 0] = 0
            out[i, 1] = 0
    return out, shorter


@numba.njit(cache=True, nogil=True)
def _anchors(
    shorter: NDArray[np.uint64], offsets: NDArray[np.int64], length: int, short: int
) -> NDArray[np.int64]:
    anchors = np.full(len(shorter), -1, dtype=np.int64)
    width = length - short + 1
    queue = np.empty(width + 1, dtype=np.int64)
    for row in range(len(offsets) - 1):
        head = 0
        n_queued = 0
        first = offsets[row]
        for i in range(first, offsets[row + 1] - short + 1):
            # The queue holds places of ever larger hashes; its head is the lowest of the last `width`.
            while n_queued and shorter[queue[(head + n_queued - 1) % (width + 1)]] > shorter[i]:
                n_queued -= 1
            queue[(head + n_queued) % (width + 1)] = i
            n_queued += 1
            start = i - width + 1
            if queue[head] < start:
                head = (head + 1) % (width + 1)
                n_queued -= 1
            if start >= first:
                anchors[start] = queue[head]
    return anchors
