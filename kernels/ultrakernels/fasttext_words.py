"""Sums of rows of a fastText model a word at a time: what a word adds is worked out once and kept.

For models of words and their characters (language identification), where an unknown word costs some
30 look-ups. Words' sums are added in float64, so the result differs by what fastText loses in adding
row by row in float32 (1e-5 of a probability in long documents); `fasttext_rows.sum_rows` rounds as
it does.
"""

# ruff: noqa: PLR0915 (a loop over arrays stays one loop, and takes them one by one)

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.fasttext_kernel import END, FNV_START, ONE, PREFIX, SEPARATOR, equals, find, step
from ultrakernels.fasttext_rows import char_ngrams, in_marks

NUMBERS: Final = 1 << 20
"""Remembered at most: 65,536 words by 16 numbers, or 4,096 by 256."""
LONGEST: Final = 32
"""Bytes of the longest word that is remembered."""


@dataclass(frozen=True)
class Memory:
    """What unknown words add, as they come, until there is no room; for one thread at a time."""

    known: NDArray[np.float32]
    """float32[n_words, width]: what each word of the vocabulary adds."""
    places: NDArray[np.int32]
    """An open-addressing table: 1 + the number of a remembered word."""
    words: NDArray[np.uint8]
    """uint8[n, 1 + LONGEST]: its length, its bytes."""
    sums: NDArray[np.float32]
    counts: NDArray[np.int32]
    n_words: NDArray[np.int64]
    """int64[1]"""


def memory(word_bounds: Any, word_rows: Any, rows: Any) -> Memory:
    """An empty memory; 7 MB for vectors of 16."""
    room = 1 << (NUMBERS // rows.shape[1]).bit_length() - 1
    return Memory(
        known=_known(word_bounds, word_rows, rows),
        places=np.zeros(2 * room, np.int32),
        words=np.empty((room, 1 + LONGEST), np.uint8),
        sums=np.empty((room, rows.shape[1]), np.float32),
        counts=np.empty(room, np.int32),
        n_words=np.zeros(1, np.int64),
    )


@numba.njit(cache=True, nogil=True)
def _known(word_bounds: Any, word_rows: Any, rows: Any) -> NDArray[np.float32]:
    sums = np.zeros((len(word_bounds) - 1, rows.shape[1]), dtype=np.float32)
    for word in range(len(sums)):
        for i in range(word_bounds[word], word_bounds[word + 1]):
            _add(sums[word], rows, word_rows[i])
    return sums


@numba.njit(cache=True, nogil=True)
def _add(total: Any, rows: Any, row: Any) -> None:
    place = np.uint64(row)
    for k in range(rows.shape[1]):
        total[k] += rows[place, k]


@numba.njit(cache=True, nogil=True)
def _is(words: Any, number: Any, data: Any, begin: Any, length: Any) -> Any:
    word = words[number]
    if word[0] != length:
        return False
    for i in range(length):  # noqa: SIM110 (numba has no `all`)
        if word[i + 1] != data[begin + np.uint64(i)]:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def sum_words(
    offsets: Any,
    data: Any,
    slots: Any,
    pool: Any,
    starts: Any,
    n_words: Any,
    n_buckets: Any,
    min_chars: Any,
    max_chars: Any,
    bits: Any,
    bucket_rows: Any,
    word_bounds: Any,
    rows: Any,
    known: Any,
    places: Any,
    words: Any,
    sums: Any,
    counts: Any,
    n_remembered: Any,
    total: Any,
    count: Any,
) -> None:
    """`fasttext_rows.sum_rows` of a model without n-grams of words; `total` is float64."""
    nothing = np.empty(0, dtype=np.int32)
    room = np.empty(256, dtype=np.uint8)
    one = np.empty(rows.shape[1], dtype=np.float32)
    mask = np.uint32(len(places) - 1)
    for doc in range(len(offsets) - 1):
        at, stop = np.uint64(offsets[doc]), np.uint64(offsets[doc + 1])
        into = total[doc]
        n_features = 0
        ended = False
        while not ended:
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
                _add(into, known, word)
                n_features += word_bounds[word + 1] - word_bounds[word]
                continue
            if max_chars == 0 or ended:
                continue

            place = h & mask
            while places[place] > 0 and not _is(words, places[place] - 1, data, begin, length):
                place = (place + np.uint32(1)) & mask
            number = np.int64(places[place]) - 1
            if number >= 0:
                _add(into, sums, number)
                n_features += counts[number]
                continue
            room = in_marks(data, begin, length, room)
            one[:] = 0
            n = char_ngrams(
                room, length + 2, min_chars, max_chars, n_words, n_buckets,
                bits, bucket_rows, nothing, rows, one,
            )  # fmt: skip
            for k in range(len(one)):
                into[k] += np.float64(one[k])
            n_features += n
            number = n_remembered[0]
            if number < len(words) and length <= LONGEST:
                words[number, 0] = length
                for i in range(length):
                    words[number, i + 1] = data[begin + np.uint64(i)]
                sums[number] = one
                counts[number] = n
                places[place] = number + 1
                n_remembered[0] = number + 1
        count[doc] += n_features
