"""Sums of rows of a fastText model, in the general case: any width, characters, pruned buckets.

Beside `fasttext_kernel.sum_numbers`, which is for one number per row and whole words only; what a
document is to fastText is said there. Character n-grams are of `<word>`; a pruned model (`.ftz`) has
rows for some buckets only, named by an index.
"""

# ruff: noqa: PLR0915 (a loop over arrays stays one loop, and takes them one by one)

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.fasttext_kernel import (
    BLOCK,
    EMPTY,
    END,
    FNV_START,
    NEXT,
    ONE,
    PREFIX,
    SEPARATOR,
    equals,
    find,
    step,
)

_6: Final = np.uint64(6)
_63: Final = np.uint64(63)


@numba.njit(cache=True, nogil=True)
def _add(total: Any, rows: Any, row: Any) -> None:
    place = np.uint64(row)
    for k in range(rows.shape[1]):
        total[k] += rows[place, k]


@numba.njit(cache=True, nogil=True)
def _bucket_row(bucket: Any, n_words: Any, bits: Any, bucket_rows: Any) -> Any:
    """The row of an n-gram: after the words, or where the index of a pruned model says, or -1."""
    if len(bits) == 0:
        return np.int64(n_words) + np.int64(bucket)
    place = np.uint64(bucket)
    if (bits[place >> _6] >> (place & _63)) & ONE:
        return np.int64(n_words) + np.int64(bucket_rows[place])
    return np.int64(EMPTY)


@numba.njit(cache=True, nogil=True)
def char_ngrams(
    word: Any,
    size: Any,
    min_chars: Any,
    max_chars: Any,
    n_words: Any,
    n_buckets: Any,
    bits: Any,
    bucket_rows: Any,
    found: Any,
    rows: Any,
    total: Any,
) -> Any:
    """Rows of the character n-grams of word[:size]: noted in `found` and added up; how many.

    The word is in its marks, `<word>`. Either may be empty: noting serves the vocabulary, adding a
    word that may be as long as a document.
    """
    n = 0
    stop = np.uint64(size)
    buckets = np.uint32(n_buckets)
    for first in range(size):
        at = np.uint64(first)
        if (word[at] & 0xC0) == 0x80:
            continue
        h = FNV_START
        chars = 1
        while at < stop and chars <= max_chars:
            h = step(h, word[at])
            at += ONE
            while at < stop and (word[at] & 0xC0) == 0x80:
                h = step(h, word[at])
                at += ONE
            if chars >= min_chars and not (chars == 1 and (first == 0 or at == stop)):
                row = _bucket_row(np.uint32(h % buckets), n_words, bits, bucket_rows)
                if row != EMPTY:
                    if n < len(found):
                        found[n] = row
                    _add(total, rows, row)
                    n += 1
            chars += 1
    return n


@numba.njit(cache=True, nogil=True)
def in_marks(data: Any, begin: Any, length: Any, room: Any) -> Any:
    """`<word>` for the word at data[begin:begin + length], in `room` or, if need be, a larger one."""
    if length + 2 > len(room):
        room = np.empty(length + 2, dtype=np.uint8)
    room[0] = 60
    for i in range(length):
        room[i + 1] = data[begin + i]
    room[length + 1] = 62
    return room


@numba.njit(cache=True, nogil=True)
def vocabulary_rows(
    pool: Any,
    starts: Any,
    n_words: Any,
    end: Any,
    min_chars: Any,
    max_chars: Any,
    n_buckets: Any,
    bits: Any,
    bucket_rows: Any,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Rows of each known word (its own, then its character n-grams): bounds int64[n_words + 1], rows.

    `end` is the index of `</s>`, which has no character n-grams, or -1.
    """
    nothing = np.empty((0, 0), dtype=np.float32)
    total = np.empty(0, dtype=np.float32)
    bounds = np.zeros(n_words + 1, dtype=np.int64)
    found = np.empty(0, dtype=np.int32)
    word = np.empty(256, dtype=np.uint8)
    for again in range(2):
        if again:
            found = np.empty(bounds[n_words], dtype=np.int32)
        for i in range(n_words):
            n = 0
            if again:
                found[bounds[i]] = i
            if max_chars > 0 and i != end:
                begin, length = starts[i], starts[i + 1] - starts[i]
                room = found[bounds[i] + 1 : bounds[i + 1]] if again else found
                word = in_marks(pool, begin, length, word)
                n = char_ngrams(
                    word, length + 2, min_chars, max_chars, n_words, n_buckets,
                    bits, bucket_rows, room, nothing, total,
                )  # fmt: skip
            if not again:
                bounds[i + 1] = bounds[i] + 1 + n
    return bounds, found


@numba.njit(cache=True, nogil=True)
def sum_rows(
    offsets: Any,
    data: Any,
    slots: Any,
    pool: Any,
    starts: Any,
    n_words: Any,
    n_buckets: Any,
    word_ngrams: Any,
    min_chars: Any,
    max_chars: Any,
    bits: Any,
    bucket_rows: Any,
    word_bounds: Any,
    word_rows: Any,
    rows: Any,
    total: Any,
    count: Any,
) -> None:
    """The general case: any width, character n-grams, pruned buckets, any label names.

    `rows` float32[n_rows, width] is added into `total`[n_docs, width] in fastText's own order (for
    documents of up to a block), so a float32 `total` rounds as fastText does. `bits` and
    `bucket_rows` are empty unless n-grams are pruned.
    """
    carry_most = max(word_ngrams - 1, 0)
    room = BLOCK + carry_most
    hashes = np.empty(room, dtype=np.uint64)
    nothing = np.empty(0, dtype=np.int32)
    marked = np.empty(256, dtype=np.uint8)
    for doc in range(len(offsets) - 1):
        at, stop = np.uint64(offsets[doc]), np.uint64(offsets[doc + 1])
        into = total[doc]
        n_features = 0
        carried = 0
        ended = False
        while not ended:
            n = carried
            while n < room and not ended:
                while at < stop and SEPARATOR[data[at]]:
                    at += ONE
                begin = at
                h = FNV_START
                while at < stop and not SEPARATOR[data[at]]:
                    h = step(h, data[at])
                    at += ONE
                length = np.int64(at - begin)
                ended = length == 0 or (length == 4 and equals(data, begin, length, END))
                if ended:
                    h = FNV_START
                    for byte in END:
                        h = step(h, byte)
                    word = find(slots, pool, starts, h, END, 0, 4)
                else:
                    word = find(slots, pool, starts, h, data, begin, length)
                if word >= n_words or (word < 0 and equals(data, begin, length, PREFIX)):
                    continue  # a label
                if word >= 0:
                    for i in range(word_bounds[word], word_bounds[word + 1]):
                        _add(into, rows, word_rows[i])
                    n_features += word_bounds[word + 1] - word_bounds[word]
                elif max_chars > 0 and not ended:
                    marked = in_marks(data, begin, length, marked)
                    n_features += char_ngrams(
                        marked, length + 2, min_chars, max_chars, n_words, n_buckets,
                        bits, bucket_rows, nothing, rows, into,
                    )  # fmt: skip
                hashes[n] = np.uint64(np.int64(np.int32(h)))
                n += 1

            complete = n if ended else n - carry_most
            for i in range(complete):
                h64 = hashes[i]
                for j in range(i + 1, min(i + word_ngrams, n)):
                    h64 = h64 * NEXT + hashes[j]
                    bucket = h64 % np.uint64(n_buckets)
                    row = _bucket_row(bucket, n_words, bits, bucket_rows)
                    if row != EMPTY:
                        _add(into, rows, row)
                        n_features += 1
            if not ended:
                carried = carry_most
                for i in range(carried):
                    hashes[i] = hashes[complete + i]
        count[doc] += n_features
