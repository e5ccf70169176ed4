"""Texts cut into tokens by a tokenizer that treats every chunk between white space by itself.

What it made of a chunk is remembered, exactly and whole, so that it is asked once per chunk.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.utf8 import decode

Spans = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""(doc int64[n_docs + 1], begin, end): spans doc[i] to doc[i + 1] of the bytes are those of document i."""
Cuts = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""(tokens per chunk, where each begins in its chunk, its size), in bytes."""

MOST_CHUNKS: Final = 1_000_000
MOST_BYTES: Final = 64 * 2**20


# --- chunks ---------------------------------------------------------------------------------------


def reference_chunks(texts: Sequence[str], pairs: frozenset[str]) -> list[list[str]]:
    """See `chunks`."""
    found = []
    for text in texts:
        pieces, start = [], 0
        for at in range(1, len(text) - 1):
            if text[at] == " " and text[at - 1] + text[at + 1] in pairs:
                continue
            if text[at].isspace():
                pieces.append(text[start:at])
                start = at
        pieces.append(text[start:])
        found.append([piece.strip() for piece in pieces if piece.strip()])
    return found


class Pairs:
    """Pairs of characters that a single space between them does not part; none is white space."""

    def __init__(self, pairs: frozenset[str]) -> None:
        assert not any(char.isspace() for pair in pairs for char in pair)
        codes = [ord(pair[0]) << 21 | ord(pair[1]) for pair in pairs]
        self.codes = np.array(sorted(codes), dtype=np.int64)
        self.ends = np.zeros((2, 256), dtype=np.bool_)
        for pair in pairs:
            self.ends[0, pair[0].encode()[-1]] = self.ends[1, pair[1].encode()[0]] = True


def chunks(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint8],
    space: int,
    pairs: Pairs,
) -> Spans:
    """The chunks between white space (`table[c] & space`) of each text, those of a pair together."""
    arguments = (data, offsets, table, np.uint8(space), pairs.codes, pairs.ends)
    doc = np.zeros(len(offsets), dtype=np.int64)
    nothing = np.zeros(0, dtype=np.int64)
    _chunks(*arguments, doc, nothing, nothing)
    begin, end = np.empty(doc[-1], dtype=np.int64), np.empty(doc[-1], dtype=np.int64)
    _chunks(*arguments, doc, begin, end)
    return doc, begin, end


@numba.njit(cache=True, nogil=True)
def _joined(data: Any, at: int, first: int, end: int, codes: Any) -> bool:
    """Whether the space at `at`, which is neither the first nor the last byte, is between a pair."""
    left = at - 1
    while left > first and data[left] & 0xC0 == 0x80:
        left -= 1
    code = decode(data, left, at)[0] << 21 | decode(data, at + 1, end)[0]
    place = np.searchsorted(codes, code)
    return bool(place < len(codes) and codes[place] == code)


@numba.njit(cache=True, nogil=True)
def _chunks(
    data: Any,
    offsets: Any,
    table: Any,
    space: np.uint8,
    codes: Any,
    ends: Any,
    doc: Any,
    begins: Any,
    stops: Any,
) -> None:
    """Counts the chunks, or writes them down where there is room for them."""
    n = 0
    writes = len(begins) > 0
    for row in range(len(offsets) - 1):
        first, end = offsets[row], offsets[row + 1]
        at = first
        inside = False
        while at < end:
            byte = data[np.uint64(at)]
            if byte < 0x80:
                code, size = np.int64(byte), 1
            else:
                code, size = decode(data, at, end)
            if table[np.uint64(code)] & space:
                if inside:
                    # most spaces are told by the bytes beside them, without a call
                    inside = (
                        byte == 32
                        and at + 1 < end
                        and ends[0, data[np.uint64(at - 1)]]
                        and ends[1, data[np.uint64(at + 1)]]
                        and _joined(data, at, first, end, codes)
                    )
                    if writes and not inside:
                        stops[n - 1] = at
            elif not inside:
                inside = True
                if writes:
                    begins[n] = at
                n += 1
            at += size
        if inside and writes:
            stops[n - 1] = end
        doc[row + 1] = n


# --- tokens ---------------------------------------------------------------------------------------


def reference_tokens(
    data: NDArray[np.uint8], found: Spans, split: Callable[[Sequence[bytes]], Cuts]
) -> Spans:
    """See `Memory.tokens`; the tokenizer is asked for every chunk."""
    doc, begin, end = found
    pieces = [data[b:e].tobytes() for b, e in zip(begin, end, strict=True)]
    n, first, size = split(pieces)
    start = first + np.repeat(begin, n)
    return np.append(0, np.cumsum(n))[doc], start, start + size


class Memory:
    """Chunks and their tokens. A memory is no state: it never changes a result."""

    def __init__(self, split: Callable[[Sequence[bytes]], Cuts]) -> None:
        self._split = split
        self._clear()

    def _clear(self) -> None:
        self._counts = np.zeros(2, dtype=np.int64)  # chunks, bytes of chunks
        self._slots = np.zeros(2**12, dtype=np.int32)
        self._hashes = np.zeros(2**11, dtype=np.uint64)
        self._ends = np.zeros(2**11 + 1, dtype=np.int64)
        self._keys = np.zeros(2**16, dtype=np.uint8)
        self._first = np.zeros(1, dtype=np.int64)  # of the tokens of each chunk
        self._begin = np.zeros(0, dtype=np.int64)
        self._size = np.zeros(0, dtype=np.int64)

    def copy(self) -> Self:
        """One that remembers what this one does, and learns by itself."""
        other = copy.copy(self)
        for name in ("_counts", "_slots", "_hashes", "_ends", "_keys"):
            setattr(other, name, getattr(self, name).copy())
        return other

    def tokens(self, data: NDArray[np.uint8], found: Spans) -> Spans:
        """The tokens of chunks, as spans of the same bytes."""
        doc, begin, end = found
        if self._counts[0] > MOST_CHUNKS or self._counts[1] > MOST_BYTES:
            self._clear()
        entries = np.empty(len(begin), dtype=np.int64)
        known, at = int(self._counts[0]), 0
        while True:
            at = _look_up(
                data, begin, end, at, entries, self._counts, self._slots, self._hashes, self._ends, self._keys
            )  # fmt: skip
            if at == len(begin):
                break
            self._grow(int(end[at] - begin[at]))
        if self._counts[0] > known:
            try:
                self._ask(known)
            except BaseException:
                self._clear()  # chunks whose tokens are not known must not stay
                raise
        n = np.diff(self._first)[entries]
        total = np.append(0, np.cumsum(n))
        starts, stops = np.empty(total[-1], dtype=np.int64), np.empty(total[-1], dtype=np.int64)
        _write(begin, entries, self._first, self._begin, self._size, starts, stops)
        return total[doc], starts, stops

    def _grow(self, n_bytes: int) -> None:
        """Room for at least one more chunk, of `n_bytes`."""
        n, n_used = self._counts.tolist()
        if n + 1 >= len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.zeros_like(self._hashes)])
            self._ends = np.concatenate([self._ends, np.zeros_like(self._ends[1:])])
            self._slots = np.zeros(2 * len(self._slots), dtype=np.int32)
            _fill(self._slots, self._hashes, n)
        if n_used + n_bytes > len(self._keys):
            more = np.zeros(max(len(self._keys), n_bytes), dtype=np.uint8)
            self._keys = np.concatenate([self._keys, more])

    def _ask(self, known: int) -> None:
        """Tokens of the chunks from number `known` on."""
        ends = self._ends[known : self._counts[0] + 1].tolist()
        content = self._keys[: ends[-1]].tobytes()
        pieces = [content[b:e] for b, e in itertools.pairwise(ends)]
        n, begin, size = self._split(pieces)
        self._first = np.append(self._first, self._first[-1] + np.cumsum(n))
        self._begin = np.append(self._begin, begin)
        self._size = np.append(self._size, size)


@numba.njit(cache=True, nogil=True)
def _hash(data: Any, begin: int, end: int) -> np.uint64:
    h = np.uint64(end - begin) * np.uint64(0x9E3779B97F4A7C15)
    at = begin
    while at + 8 <= end:
        word = np.uint64(0)
        for k in range(8):
            word |= np.uint64(data[np.uint64(at + k)]) << np.uint64(8 * k)
        h = (h ^ word) * np.uint64(0xBF58476D1CE4E5B9)
        h ^= h >> np.uint64(29)
        at += 8
    word = np.uint64(0)
    while at < end:
        word = word << np.uint64(8) | np.uint64(data[np.uint64(at)])
        at += 1
    h = (h ^ word) * np.uint64(0x94D049BB133111EB)
    h ^= h >> np.uint64(32)
    return h * np.uint64(0xD6E8FEB86659FD93)


@numba.njit(cache=True, nogil=True)
def _fill(slots: Any, hashes: Any, n: int) -> None:
    mask = np.uint64(len(slots) - 1)
    for entry in range(n):
        slot = (hashes[entry] >> np.uint64(20)) & mask
        while slots[slot]:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = entry + 1


@numba.njit(cache=True, nogil=True)
def _look_up(
    data: Any,
    begin: Any,
    end: Any,
    at: int,
    entries: Any,
    counts: Any,
    slots: Any,
    hashes: Any,
    ends: Any,
    keys: Any,
) -> int:
    """Entries of the chunks from number `at` on, new ones noted; up to the first without room."""
    mask = np.uint64(len(slots) - 1)
    for i in range(at, len(begin)):
        start, size = begin[i], end[i] - begin[i]
        h = _hash(data, start, end[i])
        slot = (h >> np.uint64(20)) & mask
        entry = np.int64(-1)
        while slots[slot]:
            other = np.int64(slots[slot]) - 1
            if hashes[np.uint64(other)] == h and ends[other + 1] - ends[other] == size:
                key = ends[other]
                same = True
                for k in range(size):
                    if keys[np.uint64(key + k)] != data[np.uint64(start + k)]:
                        same = False
                        break
                if same:
                    entry = other
                    break
            slot = (slot + np.uint64(1)) & mask
        if entry < 0:
            entry = counts[0]
            if entry + 1 >= len(hashes) or counts[1] + size > len(keys):
                return i
            slots[slot] = entry + 1
            hashes[entry] = h
            keys[counts[1] : counts[1] + size] = data[start : start + size]
            counts[0] += 1
            counts[1] += size
            ends[entry + 1] = counts[1]
        entries[i] = entry
    return len(begin)


@numba.njit(cache=True, nogil=True)
def _write(
    begin: Any, entries: Any, first: Any, begins: Any, sizes: Any, starts: Any, stops: Any
) -> None:
    put = 0
    for i in range(len(begin)):
        for token in range(first[entries[i]], first[entries[i] + 1]):
            starts[put] = begin[i] + begins[token]
            stops[put] = starts[put] + sizes[token]
            put += 1


@numba.njit(cache=True, nogil=True)
def side_by_side(data: Any, begin: Any, end: Any) -> NDArray[np.uint8]:
    """The bytes of spans, one after the other: uint8[sum of their sizes]."""
    total = 0
    for i in range(len(begin)):
        total += end[i] - begin[i]
    out = np.empty(total, dtype=np.uint8)
    put = 0
    for i in range(len(begin)):
        for at in range(begin[i], end[i]):
            out[np.uint64(put)] = data[np.uint64(at)]
            put += 1
    return out


@numba.njit(cache=True, nogil=True)
def only(data: Any, offsets: Any, table: Any, wanted: int) -> NDArray[np.bool_]:
    """Whether all code points of data[offsets[i]:offsets[i + 1]] have `table[c] & wanted`: bool[n]."""
    out = np.ones(len(offsets) - 1, dtype=np.bool_)
    for row in range(len(offsets) - 1):
        at, end = offsets[row], offsets[row + 1]
        while at < end:
            code, size = decode(data, at, end)
            if not table[np.uint64(code)] & wanted:
                out[row] = False
                break
            at += size
    return out
