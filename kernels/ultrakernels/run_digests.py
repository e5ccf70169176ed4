"""64-bit digests of n tokens in a row, joined by single spaces: xxHash64, or the first bytes of SHA-1."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.chunk_tokens import Spans

_P1 = np.uint64(11400714785074694791)
_P2 = np.uint64(14029467366897019727)
_P3 = np.uint64(1609587929392839161)
_P4 = np.uint64(9650029242287828579)
_P5 = np.uint64(2870177450012600261)
_K = np.array([0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6], dtype=np.uint32)


def reference(tokens: Sequence[Sequence[bytes]], n: int, *, sha1: bool) -> list[list[int]]:
    """See `run_digests`; `tokens` are those of each document."""
    import xxhash

    def digest(content: bytes) -> int:
        if sha1:
            return int.from_bytes(hashlib.sha1(content).digest()[:8], "little")
        return int(xxhash.xxh64_intdigest(content))

    return [[digest(b" ".join(some)) for some in _windows(found, n)] for found in tokens]


def _windows(tokens: Sequence[bytes], n: int) -> list[Sequence[bytes]]:
    return [tokens[i : i + n] for i in range(len(tokens) - n + 1)]


def run_digests(
    data: NDArray[np.uint8], found: Spans, n: int, *, sha1: bool
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """(digests uint64, offsets int64[n_docs + 1]): of each document the runs of `n` of its tokens.

    SHA-1 as a little-endian number of its first eight bytes, which is datatrove's.
    """
    doc, begin, end = found
    counts = np.maximum(np.diff(doc) - n + 1, 0)
    offsets = np.append(0, np.cumsum(counts))
    out = np.empty(offsets[-1], dtype=np.uint64)
    longest = max((int((end[b:e] - begin[b:e]).sum()) + e - b for b, e in itertools.pairwise(doc) if e > b), default=0)  # fmt: skip
    _digests(data, doc, begin, end, n, sha1, np.empty(longest, dtype=np.uint8), offsets, out)
    return out, offsets


@numba.njit(cache=True, nogil=True)
def _digests(
    data: Any,
    doc: Any,
    begin: Any,
    end: Any,
    n: int,
    sha1: bool,
    spaced: Any,
    offsets: Any,
    out: Any,
) -> None:
    room = np.zeros(80, dtype=np.uint32)
    for row in range(len(doc) - 1):
        first, n_tokens = doc[row], doc[row + 1] - doc[row]
        if n_tokens < n:
            continue
        starts = np.empty(n_tokens + 1, dtype=np.int64)
        put = 0
        for i in range(n_tokens):
            starts[i] = put
            for at in range(begin[first + i], end[first + i]):
                spaced[np.uint64(put)] = data[np.uint64(at)]
                put += 1
            spaced[np.uint64(put)] = 32
            put += 1
        starts[n_tokens] = put
        for i in range(n_tokens - n + 1):
            if sha1:
                digest = _sha1(spaced, starts[i], starts[i + n] - 1, room)
            else:
                digest = _xxh64(spaced, starts[i], starts[i + n] - 1)
            out[offsets[row] + i] = digest


@numba.njit(cache=True, nogil=True)
def _rotated(x: np.uint64, n: int) -> np.uint64:
    return x << np.uint64(n) | x >> np.uint64(64 - n)


@numba.njit(cache=True, nogil=True)
def _read64(data: Any, at: np.uint64) -> np.uint64:
    word = np.uint64(0)
    for k in range(8):
        word |= np.uint64(data[at + np.uint64(k)]) << np.uint64(8 * k)
    return word


@numba.njit(cache=True, nogil=True)
def _round(lane: np.uint64, word: np.uint64) -> np.uint64:
    return _rotated(lane + word * _P2, 31) * _P1


@numba.njit(cache=True, nogil=True)
def _xxh64(data: Any, begin: int, end: int) -> np.uint64:
    """XXH64 of seed 0 (xxHash's specification, doc/xxhash_spec.md)."""
    at, stop = np.uint64(begin), np.uint64(end)
    length = stop - at
    if length >= np.uint64(32):
        a, b, c, d = _P1 + _P2, _P2, np.uint64(0), np.uint64(0) - _P1
        while stop - at >= np.uint64(32):
            a = _round(a, _read64(data, at))
            b = _round(b, _read64(data, at + np.uint64(8)))
            c = _round(c, _read64(data, at + np.uint64(16)))
            d = _round(d, _read64(data, at + np.uint64(24)))
            at += np.uint64(32)
        h = _rotated(a, 1) + _rotated(b, 7) + _rotated(c, 12) + _rotated(d, 18)
        for lane in (a, b, c, d):
            h = (h ^ _round(np.uint64(0), lane)) * _P1 + _P4
    else:
        h = _P5
    h += length
    while stop - at >= np.uint64(8):
        h = _rotated(h ^ _round(np.uint64(0), _read64(data, at)), 27) * _P1 + _P4
        at += np.uint64(8)
    if stop - at >= np.uint64(4):
        word = np.uint64(0)
        for k in range(4):
            word |= np.uint64(data[at + np.uint64(k)]) << np.uint64(8 * k)
        h = _rotated(h ^ (word * _P1), 23) * _P2 + _P3
        at += np.uint64(4)
    while at < stop:
        h = _rotated(h ^ (np.uint64(data[at]) * _P5), 11) * _P1
        at += np.uint64(1)
    h = (h ^ (h >> np.uint64(33))) * _P2
    h = (h ^ (h >> np.uint64(29))) * _P3
    return h ^ (h >> np.uint64(32))


@numba.njit(cache=True, nogil=True)
def _left(x: np.uint32, n: int) -> np.uint32:
    return np.uint32(x << np.uint32(n) | x >> np.uint32(32 - n))


@numba.njit(cache=True, nogil=True)
def _sha1(data: Any, begin: int, end: int, w: Any) -> np.uint64:
    """The first eight bytes of SHA-1 (FIPS 180-4), little-endian; `w` is room for uint32[80]."""
    length = end - begin
    h0, h1, h2 = np.uint32(0x67452301), np.uint32(0xEFCDAB89), np.uint32(0x98BADCFE)
    h3, h4 = np.uint32(0x10325476), np.uint32(0xC3D2E1F0)
    n_blocks = (length + 8) // 64 + 1
    for block in range(n_blocks):
        for i in range(16):
            word = np.uint32(0)
            for k in range(4):
                at = 64 * block + 4 * i + k
                byte = np.uint32(0)
                if at < length:
                    byte = np.uint32(data[np.uint64(begin + at)])
                elif at == length:
                    byte = np.uint32(0x80)
                word = np.uint32(word << np.uint32(8) | byte)
            w[i] = word
        if block == n_blocks - 1:
            bits = np.uint64(length) * np.uint64(8)
            w[14] = np.uint32(bits >> np.uint64(32))
            w[15] = np.uint32(bits & np.uint64(0xFFFFFFFF))
        for i in range(16, 80):
            w[i] = _left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1)
        a, b, c, d, e = h0, h1, h2, h3, h4
        for i in range(80):
            part = i // 20
            f = b ^ c ^ d
            if part == 0:
                f = (b & c) | (~b & d)
            elif part == 2:
                f = (b & c) | (b & d) | (c & d)
            turned = np.uint32(_left(a, 5) + f + e + _K[part] + w[i])
            e, d, c, b, a = d, c, _left(b, 30), a, turned
        h0, h1, h2 = np.uint32(h0 + a), np.uint32(h1 + b), np.uint32(h2 + c)
        h3, h4 = np.uint32(h3 + d), np.uint32(h4 + e)
    high = _swapped(h1)
    return np.uint64(high) << np.uint64(32) | np.uint64(_swapped(h0))


@numba.njit(cache=True, nogil=True)
def _swapped(x: np.uint32) -> np.uint32:
    return np.uint32(
        x << np.uint32(24)
        | (x & np.uint32(0xFF00)) << np.uint32(8)
        | (x >> np.uint32(8)) & np.uint32(0xFF00)
        | x >> np.uint32(24)
    )
