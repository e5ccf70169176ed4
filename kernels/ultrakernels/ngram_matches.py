"""Where word n-grams of a list occur in documents, in one pass over the bytes.

Words and their hashes are those of `shingles`. The list may hold n-grams of several lengths: the
first `shortest` words of each are looked for, and only where they are is a longer hash made.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.shingles import next_word, reference_words, shingle
from ultrakernels.shingles import reference as reference_shingles

HINT_BITS = 20
"""Size of the table that turns nearly all words away: 2^20 bytes, which the second cache holds."""


def reference(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    shortest: int,
    prefixes: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    grams: NDArray[np.uint64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """See `ngram_matches`."""
    place = {int(gram): index for index, gram in enumerate(grams)}
    found: list[tuple[int, int, int]] = []
    n_words = []
    for doc in range(len(offsets) - 1):
        text = data[offsets[doc] : offsets[doc + 1]].tobytes().decode()
        n_words.append(len(reference_words(text)))
        here = [
            (doc, word, place[gram])
            for length in lengths
            for word, gram in enumerate(reference_shingles(text, int(length)))
            if gram in place
        ]
        by_word = sorted(enumerate(here), key=lambda pair: (pair[1][1], pair[0]))
        found += [match for _, match in by_word]
    rows = np.array(found, dtype=np.int64).reshape(-1, 3)
    return rows[:, 0], rows[:, 1], rows[:, 2], np.array(n_words, dtype=np.int64)


def ngram_matches(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    shortest: int,
    prefixes: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    grams: NDArray[np.uint64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(document, first word, index of the n-gram) of each match, and words per document, all int64.

    `grams` are hashes of n-grams, sorted and different; `lengths` the lengths that occur among
    them; `prefixes` the hashes of the first `shortest` words of each, sorted. Matches are in the
    order of documents, words and lengths.
    """
    hint = np.zeros(1 << HINT_BITS, dtype=np.bool_)
    hint[prefixes >> np.uint64(64 - HINT_BITS)] = True
    return _matches(data, offsets, shortest, prefixes, lengths, grams, hint)  # type: ignore[no-any-return]


@numba.njit(cache=True, nogil=True)
def _matches(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    shortest: int,
    prefixes: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    grams: NDArray[np.uint64],
    hint: NDArray[np.bool_],
) -> Any:
    n_docs = len(offsets) - 1
    n_words = np.zeros(n_docs, dtype=np.int64)
    found = np.empty((64, 3), dtype=np.int64)
    n_found = 0
    words = np.empty(1024, dtype=np.uint64)
    shift = np.uint64(64 - HINT_BITS)
    for doc in range(n_docs):
        words, n_here = _read_words(data, offsets[doc], offsets[doc + 1], words)
        n_words[doc] = n_here
        for word in range(n_here - shortest + 1):
            prefix = shingle(words, np.uint64(word), np.uint64(shortest))
            if not hint[prefix >> shift]:
                continue
            place = np.searchsorted(prefixes, prefix)
            if place == len(prefixes) or prefixes[place] != prefix:
                continue
            for length in lengths:
                if word + length > n_here:
                    continue
                gram = shingle(words, np.uint64(word), np.uint64(length))
                place = np.searchsorted(grams, gram)
                if place == len(grams) or grams[place] != gram:
                    continue
                if n_found == len(found):
                    longer = np.empty((2 * n_found, 3), dtype=np.int64)
                    longer[:n_found] = found
                    found = longer
                found[n_found, 0] = doc
                found[n_found, 1] = word
                found[n_found, 2] = place
                n_found += 1
    return found[:n_found, 0], found[:n_found, 1], found[:n_found, 2], n_words


@numba.njit(cache=True, nogil=True)
def _read_words(data: NDArray[np.uint8], start: int, stop: int, words: NDArray[np.uint64]) -> Any:
    """(hashes of the words of one document, how many), in `words` or a longer array."""
    n_words = 0
    at, end = np.uint64(start), np.uint64(stop)
    more, h, at = next_word(data, at, end)
    while more:
        if n_words == len(words):
            larger = np.empty(2 * n_words, dtype=np.uint64)
            larger[:n_words] = words
            words = larger
        words[n_words] = h
        n_words += 1
        more, h, at = next_word(data, at, end)
    return words, n_words


def word_hashes(text: str) -> NDArray[np.uint64]:
    """The hash of each word of a text."""
    data = np.frombuffer(text.encode() or b" ", dtype=np.uint8)
    words, n_words = _read_words(data, 0, len(data), np.empty(64, dtype=np.uint64))
    return words[:n_words]  # type: ignore[no-any-return]


@numba.njit(cache=True, nogil=True)
def gram_hashes(words: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    """Hashes of all n-grams of `length` of some words."""
    out = np.empty(max(0, len(words) - length + 1), dtype=np.uint64)
    for i in range(len(out)):
        out[i] = shingle(words, np.uint64(i), np.uint64(length))
    return out
