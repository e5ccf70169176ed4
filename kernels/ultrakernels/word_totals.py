"""Per document: how many words there are, and the words of a class with their characters."""

from __future__ import annotations

import itertools

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.utf8 import decode

Totals = tuple[NDArray[np.int64], NDArray[np.int64]]


def reference_totals(
    doc: NDArray[np.int64], n_chars: NDArray[np.int32], classes: NDArray[np.uint8], kind: int
) -> Totals:
    """See `class_totals`."""
    rows = [
        [int(n_chars[i]) for i in range(a, b) if classes[i] & kind]
        for a, b in itertools.pairwise(doc)
    ]
    return (
        np.array([len(row) for row in rows], dtype=np.int64),
        np.array([sum(row) for row in rows], dtype=np.int64),
    )


@numba.njit(cache=True, nogil=True)
def class_totals(
    doc: NDArray[np.int64], n_chars: NDArray[np.int32], classes: NDArray[np.uint8], kind: int
) -> Totals:
    """(words, characters of these words), int64[n_docs] each, of the words whose class has `kind`."""
    n_words = np.zeros(len(doc) - 1, dtype=np.int64)
    chars = np.zeros(len(doc) - 1, dtype=np.int64)
    for row in range(len(doc) - 1):
        count = total = 0
        for word in range(np.uint64(doc[row]), np.uint64(doc[row + 1])):
            of_kind = (classes[word] & kind) != 0
            count += of_kind
            total += n_chars[word] * of_kind
        n_words[row] = count
        chars[row] = total
    return n_words, chars


def reference_words(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """See `count_words`."""
    texts = [data[a:b].tobytes().decode() for a, b in itertools.pairwise(offsets)]
    return np.array([len(text.split()) for text in texts], dtype=np.int64)


@numba.njit(cache=True, nogil=True)
def count_words(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint8],
    leads: NDArray[np.uint8],
    space: int,
) -> NDArray[np.int64]:
    """Words between white space, int64[n_docs]; `table` and `leads` as in `ultrakernels.line_marks`."""
    n_words = np.zeros(len(offsets) - 1, dtype=np.int64)
    telling = (leads & space) != 0
    for row in range(len(offsets) - 1):
        at, end = offsets[row], offsets[row + 1]
        word = at
        count = 0
        while at < end:
            byte = data[np.uint64(at)]
            if not telling[np.uint64(byte)]:
                at += 1
                continue
            size = 1
            if byte >= 0x80:
                code, size = decode(data, at, end)
                if not table[np.uint64(code)] & space:
                    at += size
                    continue
            count += at > word
            at += size
            word = at
        n_words[row] = count + (end > word)
    return n_words
