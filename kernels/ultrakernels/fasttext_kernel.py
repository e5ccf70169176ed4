"""fastText's features of a document, summed straight over Arrow buffers (numba, no GIL).

What fastText 0.9 does, and both loops here follow: tokens end at space, tab, CR, VT, FF and NUL; a
token that is a label or begins with `__label__` is skipped, unless it is a known word; the token
`</s>` ends the document, and every document has one at its end; words are hashed by FNV-1a over
*signed* bytes; the hash of an n-gram of words is h * 116049371 + next over sign-extended 32-bit
hashes, modulo the buckets, so unknown words still make n-grams. Different on purpose: a newline is a
separator like the others (fastText's `predict` refuses it), as if each were replaced by a space.

A document is taken in blocks of tokens, so that one of 200 MB needs no more memory than another.
"""

# ruff: noqa: PLR0915 (a loop over arrays stays one loop, and takes them one by one)

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

BLOCK: Final = 1024
"""Tokens per block; the longest n-gram of words must be shorter than this."""
FEWEST: Final = 1 << 13
"""Buckets below which the quick remainder of `sum_numbers` would be wrong."""
EMPTY: Final = -1

FNV_START: Final = np.uint32(2166136261)
_FNV_PRIME: Final = np.uint32(16777619)
_SIGN: Final = np.uint32(0xFFFFFF00)
NEXT: Final = np.uint64(116049371)
_LOW: Final = np.uint64(0xFFFFFFFF)
_8: Final = np.uint64(8)
_32: Final = np.uint64(32)
ZERO: Final = np.uint64(0)
ONE: Final = np.uint64(1)
_TOP: Final = np.uint64(1 << 63)
PREFIX: Final = np.frombuffer(b"__label__", dtype=np.uint8)
END: Final = np.frombuffer(b"</s>", dtype=np.uint8)

SEPARATOR = np.zeros(256, dtype=np.bool_)
SEPARATOR[list(b" \n\r\t\v\f\0")] = True
# what a byte is xor-ed with: sign-extended, because fastText hashes signed characters
SIGNED = np.arange(256, dtype=np.uint32)
SIGNED[128:] |= _SIGN


@numba.njit(cache=True, nogil=True)
def step(h: Any, byte: Any) -> Any:
    return np.uint32((h ^ SIGNED[byte]) * _FNV_PRIME)


@numba.njit(cache=True, nogil=True)
def equals(data: Any, start: Any, length: Any, word: Any) -> Any:
    """Whether data[start:] begins with `word` (and, by the caller, has its length)."""
    if length < len(word):
        return False
    for i in range(len(word)):  # noqa: SIM110 (numba has no `all`)
        if data[start + i] != word[i]:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def word_table(pool: Any, starts: Any) -> NDArray[np.uint64]:
    """An open-addressing table of the words pool[starts[i]:starts[i + 1]]: hash << 32 | i + 1."""
    n_words = len(starts) - 1
    size = 16
    while size < 2 * n_words:
        size *= 2
    slots = np.zeros(size, dtype=np.uint64)
    mask = np.uint64(size - 1)
    for i in range(n_words):
        h = FNV_START
        for j in range(starts[i], starts[i + 1]):
            h = step(h, pool[j])
        at = np.uint64(h) & mask
        while slots[at] != ZERO:
            at = (at + ONE) & mask
        slots[at] = (np.uint64(h) << _32) | np.uint64(i + 1)
    return slots


@numba.njit(cache=True, nogil=True)
def find(slots: Any, pool: Any, starts: Any, h: Any, data: Any, start: Any, length: Any) -> Any:
    """Index of the word with hash `h` that equals data[start:start + length], or -1."""
    mask = np.uint64(len(slots) - 1)
    at = np.uint64(h) & mask
    while True:
        slot = slots[at]
        if slot == ZERO:
            return EMPTY
        if (slot >> _32) == np.uint64(h):
            i = (slot & _LOW) - ONE
            first = starts[i]
            if starts[i + ONE] - first == length:
                same = True
                from_pool, from_data = np.uint64(first), np.uint64(start)
                for _ in range(length):
                    if pool[from_pool] != data[from_data]:
                        same = False
                        break
                    from_pool += ONE
                    from_data += ONE
                if same:
                    return np.int64(i)
        at = (at + ONE) & mask


@numba.njit(cache=True, nogil=True)
def word_records(pool: Any, starts: Any) -> NDArray[np.uint64]:
    """uint64[n_words, 2]: the last eight bytes of each word as a number, its length."""
    records = np.zeros((len(starts) - 1, 2), dtype=np.uint64)
    for i in range(len(records)):
        for j in range(starts[i], starts[i + 1]):
            records[i, 0] = (records[i, 0] << _8) | np.uint64(pool[j])
        records[i, 1] = starts[i + 1] - starts[i]
    return records


@numba.njit(cache=True, nogil=True)
def _find_quickly(
    slots: Any,
    records: Any,
    pool: Any,
    starts: Any,
    h: Any,
    data: Any,
    start: Any,
    length: Any,
    last: Any,
) -> Any:
    """`find` for a word whose last eight bytes are the number `last`: most words are no longer."""
    mask = np.uint64(len(slots) - 1)
    at = np.uint64(h) & mask
    while True:
        slot = slots[at]
        if slot == ZERO:
            return EMPTY
        if (slot >> _32) == np.uint64(h):
            i = (slot & _LOW) - ONE
            if records[i, 0] == last and records[i, 1] == np.uint64(length):
                same = True
                from_pool, from_data = np.uint64(starts[i]), np.uint64(start)
                for _ in range(length - 8):
                    if pool[from_pool] != data[from_data]:
                        same = False
                        break
                    from_pool += ONE
                    from_data += ONE
                if same:
                    return np.int64(i)
        at = (at + ONE) & mask


@numba.njit(cache=True, nogil=True)
def _bucket(h: Any, n_buckets: Any, inverse: Any) -> Any:
    """h % n_buckets by a multiplication, for at least FEWEST buckets.

    The quotient is off by less than 3 * 2**11 / n_buckets + 1, so by at most one, which is put right.
    """
    rest = h - np.uint64(np.float64(h) * inverse) * n_buckets
    if rest >= _TOP:
        rest += n_buckets
    elif rest >= n_buckets:
        rest -= n_buckets
    return rest


@numba.njit(cache=True, nogil=True)
def sum_numbers(
    offsets: Any,
    data: Any,
    slots: Any,
    records: Any,
    pool: Any,
    starts: Any,
    n_words: Any,
    n_buckets: Any,
    word_ngrams: Any,
    weights: Any,
    total: Any,
    count: Any,
) -> None:
    """The plain and frequent case: one number per row, no character n-grams, usual labels.

    `weights` float32[n_words + n_buckets]; adds into `total` float64[n_docs], `count` int64[n_docs].
    Three passes over each block (cut, look up, n-grams), so that the processor has many
    independent memory accesses under way at once.
    """
    carry_most = max(word_ngrams - 1, 0)
    room = BLOCK + carry_most
    hashes = np.empty(room, dtype=np.uint64)  # sign-extended from 32 bits
    begins = np.empty(room, dtype=np.int64)
    lengths = np.empty(room, dtype=np.int64)
    lasts = np.empty(room, dtype=np.uint64)
    grams = np.empty(room, dtype=np.uint64)
    rows = np.empty(room, dtype=np.uint64)
    buckets = np.uint64(max(n_buckets, 1))
    inverse = 1.0 / np.float64(buckets)
    base = np.uint64(n_words)
    for doc in range(len(offsets) - 1):
        at, stop = np.uint64(offsets[doc]), np.uint64(offsets[doc + 1])
        sum_ = 0.0
        n_features = 0
        carried = 0
        ended = False
        while not ended:
            n = carried
            while n < room:
                while at < stop and SEPARATOR[data[at]]:
                    at += ONE
                begin = at
                h = FNV_START
                last = ZERO
                while at < stop:
                    byte = data[at]
                    if SEPARATOR[byte]:
                        break
                    h = step(h, byte)
                    last = (last << _8) | np.uint64(byte)
                    at += ONE
                length = np.int64(at - begin)
                if length == 0 or (length == 4 and equals(data, begin, length, END)):
                    ended = True
                    h = FNV_START
                    for mark in END:
                        h = step(h, mark)
                    length = np.int64(
                        EMPTY
                    )  # the end is a word too: marked, and compared with `</s>`
                elif data[begin] == PREFIX[0] and equals(data, begin, length, PREFIX):
                    continue
                hashes[n] = np.uint64(np.int64(np.int32(h)))
                begins[n] = begin
                lengths[n] = length
                lasts[n] = last
                n += 1
                if ended:
                    break

            for i in range(carried, n):
                h32 = hashes[i] & _LOW
                if lengths[i] == EMPTY:
                    word = find(slots, pool, starts, h32, END, 0, 4)
                else:
                    word = _find_quickly(
                        slots, records, pool, starts, h32, data, begins[i], lengths[i], lasts[i]
                    )
                if word >= 0:
                    sum_ += weights[np.uint64(word)]
                    n_features += 1

            # n-grams that begin at the last tokens of a block wait for the next block
            complete = n if ended else n - carry_most
            for i in range(complete):
                grams[i] = hashes[i]
            for order in range(2, word_ngrams + 1):
                n_grams = min(complete, n - order + 1)
                nexts = hashes[order - 1 :]
                for i in range(n_grams):
                    grams[i] = grams[i] * NEXT + nexts[i]
                    rows[i] = base + _bucket(grams[i], buckets, inverse)
                for i in range(n_grams):
                    sum_ += weights[rows[i]]
                n_features += max(n_grams, 0)
            if not ended:
                carried = carry_most
                for i in range(carried):
                    hashes[i] = hashes[complete + i]
        total[doc] += sum_
        count[doc] += n_features
