"""Word n-grams as 64-bit hashes, straight from Arrow's bytes.

A word is a run of ASCII letters and digits (lower-cased) and of other letters; punctuation, spaces,
symbols and emoji divide words. Scripts that write no spaces (Chinese, Japanese, Thai, Lao, Khmer,
Burmese) give one word per code point, so that five words are five characters there.
"""

from __future__ import annotations

import itertools
from typing import Any, Final

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_FNV_START: Final = np.uint64(0xCBF29CE484222325)
_FNV_PRIME: Final = np.uint64(0x100000001B3)
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)

# Shingles of a document that are held at once: they stay in the first-level cache while all
# permutations pass over them, and a document of any length needs no more memory.
_BLOCK: Final = 2048

SEPARATES: Final = ((0x80, 0xA9), (0xAB, 0xB4), (0xB6, 0xB9), (0xBB, 0xBF), (0xD7, 0xD7), (0xF7, 0xF7),
    (0x2000, 0x2BFF), (0x2E00, 0x2E7F), (0x3000, 0x303F), (0xFE00, 0xFE1F), (0xFE30, 0xFE6F),
    (0xFEFF, 0xFF0F), (0xFF1A, 0xFF20), (0xFF3B, 0xFF40), (0xFF5B, 0xFF65), (0xFFF0, 0xFFFF),
    (0x1F000, 0x1FAFF), (0xE0000, 0x10FFFF))  # fmt: skip
"""Code points beyond ASCII that divide words, in ranges."""

ALONE: Final = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x31F0, 0x31FF),
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFF66, 0xFF9D), (0x20000, 0x3FFFF))  # fmt: skip
"""Code points that are a word each, in ranges."""

_LOWER: Final = np.zeros(256, dtype=np.uint8)
for _byte in b"abcdefghijklmnopqrstuvwxyz0123456789":
    _LOWER[_byte] = _byte
for _byte in b"ABCDEFGHIJKLMNOPQRSTUVWXYZ":
    _LOWER[_byte] = _byte + 32

# Per code point: 0 divides, 1 is a letter, 2 is alone. Blocks of 64 Ki code points above 0x1FFFF are
# each of one kind, and numba does not cache functions that use larger arrays.
_KIND: Final = np.ones(0x20000, dtype=np.uint8)
_KIND_ABOVE: Final = np.ones(17, dtype=np.uint8)
for _kind, _ranges in ((0, SEPARATES), (2, ALONE)):
    for _first, _last in _ranges:
        _KIND[_first : _last + 1] = _kind
        _KIND_ABOVE[_first >> 16 : (_last + 1) >> 16] = _kind


def text_buffers(column: pa.Array) -> tuple[NDArray[np.int64], Bytes]:
    """A string column as (offsets int64[n_docs + 1], bytes), without a copy of the text; null is empty."""
    large = pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type)
    if not (large or pa.types.is_string(column.type) or pa.types.is_binary(column.type)):
        column, large = column.cast(pa.large_string()), True
    if column.null_count:
        column = pc.fill_null(column, "")
    if not len(column):
        return np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.uint8)
    _, offsets, data = column.buffers()
    width = np.dtype(np.int64 if large else np.int32)
    where = np.frombuffer(
        offsets, dtype=width, count=len(column) + 1, offset=column.offset * width.itemsize
    )
    content = np.zeros(0, dtype=np.uint8) if data is None else np.frombuffer(data, dtype=np.uint8)
    return where.astype(np.int64), content


@numba.njit(cache=True, nogil=True)
def mix(x: np.uint64) -> np.uint64:
    """SplitMix64's finaliser: every bit of the result depends on every bit of `x`."""
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def _decode(data: Bytes, at: np.uint64, end: np.uint64) -> Any:
    """(code point, bytes) of the character at `at`, a lead byte of 0x80 or more."""
    lead = np.uint32(data[at])
    size = np.uint64(2)
    point = lead & np.uint32(0x1F)
    if lead >= 0xF0:
        size = np.uint64(4)
        point = lead & np.uint32(0x07)
    elif lead >= 0xE0:
        size = np.uint64(3)
        point = lead & np.uint32(0x0F)
    # What is not UTF-8 divides words, like the control character 0x80.
    if lead < 0xC0 or lead >= 0xF8 or at + size > end:
        return np.uint32(0x80), np.uint64(1)
    for k in range(np.uint64(1), size):
        if data[at + k] & 0xC0 != 0x80:
            return np.uint32(0x80), np.uint64(1)
        point = np.uint32(point << np.uint32(6)) | (np.uint32(data[at + k]) & np.uint32(0x3F))
    return min(point, np.uint32(0x10FFFF)), size


@numba.njit(cache=True, nogil=True)
def next_word(data: Bytes, at: np.uint64, end: np.uint64) -> Any:
    """(found, hash uint64, position after it) of the first word at or after `at`."""
    h = _FNV_START
    found = False
    while at < end:
        byte = data[at]
        if byte < 128:
            low = _LOWER[byte]
            at += np.uint64(1)
            if low == 0:
                if found:
                    break
                continue
            h = (h ^ np.uint64(low)) * _FNV_PRIME
            found = True
            continue
        point, size = _decode(data, at, end)
        kind = _KIND[point] if point < 0x20000 else _KIND_ABOVE[point >> np.uint32(16)]
        if kind == 0:
            at += size
            if found:
                break
            continue
        if kind == 2 and found:
            break
        for k in range(np.uint64(0), size):
            h = (h ^ np.uint64(data[at + k])) * _FNV_PRIME
        at += size
        found = True
        if kind == 2:
            break
    return found, mix(h), at


@numba.njit(cache=True, nogil=True)
def shingle(words: NDArray[np.uint64], start: np.uint64, ngram: np.uint64) -> np.uint64:
    """The hash of the words `start` to `start + ngram`."""
    h = np.uint64(0)
    for k in range(np.uint64(0), ngram):
        h = h * _STEP + words[start + k]
    return mix(h)


@numba.njit(cache=True, nogil=True)
def _all_words(data: Bytes, at: np.uint64, end: np.uint64) -> NDArray[np.uint64]:
    words = np.empty((end - at + np.uint64(1)) // np.uint64(2) + np.uint64(1), dtype=np.uint64)
    n_words = np.uint64(0)
    found, h, at = next_word(data, at, end)
    while found:
        words[n_words] = h
        n_words += np.uint64(1)
        found, h, at = next_word(data, at, end)
    return words[:n_words]


@numba.njit(cache=True, nogil=True)
def shingle_set(data: Bytes, start: int, stop: int, ngram: int) -> NDArray[np.uint64]:
    """The set of shingles of one document as sorted distinct uint64."""
    words = _all_words(data, np.uint64(start), np.uint64(stop))
    n_shingles = max(0, len(words) - ngram + 1)
    out = np.empty(n_shingles, dtype=np.uint64)
    for i in range(n_shingles):
        out[i] = shingle(words, np.uint64(i), np.uint64(ngram))
    return np.unique(out)


def shingle_sets(column: pa.Array, ngram: int) -> pa.Array:
    """The set of shingles of each document: a list<uint64> column of sorted distinct hashes."""
    offsets, data = text_buffers(column)
    return _listed(
        [shingle_set(data, start, stop, ngram) for start, stop in itertools.pairwise(offsets)]
    )


def sorted_sets(shingles: NDArray[np.uint64], offsets: NDArray[np.int64]) -> pa.Array:
    """The same of shingles that are there: document i has those from offsets[i] to offsets[i + 1]."""
    return _listed([np.unique(shingles[b:e]) for b, e in itertools.pairwise(offsets)])


def _listed(sets: list[NDArray[np.uint64]]) -> pa.Array:
    ends = np.cumsum([0, *(len(found) for found in sets)])
    values = np.concatenate(sets) if sets else np.zeros(0, dtype=np.uint64)
    return pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), pa.array(values, pa.uint64()))


# --- minima of permuted shingles ------------------------------------------------------------------


@numba.njit(cache=True, nogil=True)
def _lower(signature: NDArray[np.uint32], block: NDArray[np.uint32], a: NDArray[np.uint32], b: NDArray[np.uint32]) -> None:  # fmt: skip
    """Takes the minimum over one more block of shingles. The inner loop is what LLVM vectorises."""
    for k in range(len(a)):
        factor = a[k]
        shift = b[k]
        lowest = signature[k]
        for i in range(len(block)):
            value = np.uint32(factor * block[i] + shift)
            lowest = min(value, lowest)
        signature[k] = lowest


@numba.njit(cache=True, nogil=True)
def minima(
    offsets: NDArray[np.uint64],
    data: Bytes,
    ngram: int,
    a: NDArray[np.uint32],
    b: NDArray[np.uint32],
    out: NDArray[np.uint32],
    n_shingles: NDArray[np.int64],
) -> None:
    """Lowers each document's row of `out` to the minima of a * shingle + b, modulo 2^32.

    Here and not in `minhash.py`: numba's cache of a function does not see that one which it calls
    in another file has changed.
    """
    words = np.empty(_BLOCK + ngram, dtype=np.uint64)
    block = np.empty(_BLOCK, dtype=np.uint32)
    size = np.uint64(ngram)
    for doc in range(len(n_shingles)):
        at, end = offsets[doc], offsets[doc + 1]
        n_words = 0
        n_found = 0
        found = True
        while found:
            while found and n_words < _BLOCK + ngram - 1:
                found, h, at = next_word(data, at, end)
                if found:
                    words[n_words] = h
                    n_words += 1
            n_block = max(0, n_words - ngram + 1)
            for i in range(n_block):
                block[i] = np.uint32(shingle(words, np.uint64(i), size) >> np.uint64(32))
            if n_block:
                _lower(out[doc], block[:n_block], a, b)
            n_found += n_block
            # The last words begin the next block's first shingles.
            for i in range(n_words - n_block):
                words[i] = words[n_block + i]
            n_words -= n_block
        n_shingles[doc] = n_found


@numba.njit(cache=True, nogil=True)
def tops(
    offsets: NDArray[np.uint64],
    data: Bytes,
    ngram: int,
    out: NDArray[np.uint32],
    ends: NDArray[np.int64],
) -> None:
    """The upper halves of all shingles, one document's after the other's; `ends` is where each stops.

    What `minima` takes minima over, for those who do it elsewhere. `out` needs half as many
    numbers as there are bytes, and one for each document.
    """
    words = np.empty(_BLOCK + ngram, dtype=np.uint64)
    size = np.uint64(ngram)
    n_out = 0
    for doc in range(len(ends)):
        at, end = offsets[doc], offsets[doc + 1]
        n_words = 0
        found = True
        while found:
            while found and n_words < _BLOCK + ngram - 1:
                found, h, at = next_word(data, at, end)
                if found:
                    words[n_words] = h
                    n_words += 1
            n_block = max(0, n_words - ngram + 1)
            for i in range(n_block):
                out[n_out] = np.uint32(shingle(words, np.uint64(i), size) >> np.uint64(32))
                n_out += 1
            for i in range(n_words - n_block):
                words[i] = words[n_block + i]
            n_words -= n_block
        ends[doc] = n_out


# --- the same, obviously right ------------------------------------------------------------------


def reference_words(text: str) -> list[str]:
    """The words of a text, as `next_word` divides it."""
    words: list[str] = []
    open_word = ""
    for char in text:
        kind = _kind_of(char)
        if kind == 1:
            open_word += char.lower() if char < "\x80" else char
            continue
        if open_word:
            words.append(open_word)
        open_word = ""
        if kind == 2:
            words.append(char)
    return [*words, open_word] if open_word else words


def reference(text: str, ngram: int) -> list[int]:
    """The shingle hashes of a text, in order, repeats included."""
    hashes = [_hash_word(word) for word in reference_words(text)]
    out = []
    for i in range(len(hashes) - ngram + 1):
        h = 0
        for word in hashes[i : i + ngram]:
            h = (h * int(_STEP) + word) % 2**64
        out.append(_mix_int(h))
    return out


def _kind_of(char: str) -> int:
    if char < "\x80":
        return 1 if char.isalnum() else 0
    if any(first <= ord(char) <= last for first, last in SEPARATES):
        return 0
    return 2 if any(first <= ord(char) <= last for first, last in ALONE) else 1


def _hash_word(word: str) -> int:
    h = int(_FNV_START)
    for byte in word.encode():
        h = ((h ^ byte) * int(_FNV_PRIME)) % 2**64
    return _mix_int(h)


def _mix_int(x: int) -> int:
    x = ((x ^ (x >> 30)) * int(_MIX_1)) % 2**64
    x = ((x ^ (x >> 27)) * int(_MIX_2)) % 2**64
    return x ^ (x >> 31)
