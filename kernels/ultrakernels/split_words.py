"""Words between white space, as `str.split` sees it: where they are, and their bytes side by side.

The bytes of a document's words are copied without the white space between them, so that the
concatenation of any run of words is one slice.
"""

from __future__ import annotations

import itertools

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.utf8 import decode

Split = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint8]]


def reference(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint8],
    space: int,
) -> Split:
    """See `split_words`; `table` and `space` are what `str.split` knows already."""
    words = [
        data[start:stop].tobytes().decode().split() for start, stop in itertools.pairwise(offsets)
    ]
    doc = np.concatenate([[0], np.cumsum([len(found) for found in words])])
    encoded = [word.encode() for found in words for word in found]
    n_bytes = np.array([len(word) for word in encoded], dtype=np.int32)
    joined = np.frombuffer(b"".join(encoded), dtype=np.uint8).copy()
    return doc.astype(np.int64), n_bytes, joined


def split_words(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint8],
    space: int,
) -> Split:
    """(doc int64[n_docs + 1], n_bytes int32[n_words], joined uint8[bytes of all words]).

    Document i is data[offsets[i]:offsets[i + 1]] and has the words doc[i] to doc[i + 1]. A code
    point c is white space where `table[c] & space`.
    """
    doc, n_joined = _count(data, offsets, table, np.uint8(space))
    n_bytes = np.empty(doc[-1], dtype=np.int32)
    joined = np.empty(n_joined, dtype=np.uint8)
    _fill(data, offsets, table, np.uint8(space), n_bytes, joined)
    return doc, n_bytes, joined


@numba.njit(cache=True, nogil=True)
def _count(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], table: NDArray[np.uint8], space: np.uint8
) -> tuple[NDArray[np.int64], int]:
    doc = np.zeros(len(offsets), dtype=np.int64)
    n_words = 0
    n_joined = 0
    for row in range(len(offsets) - 1):
        at, end = offsets[row], offsets[row + 1]
        inside = False
        while at < end:
            byte = data[np.uint64(at)]
            if byte < 0x80:
                code, size = np.int64(byte), 1
            else:
                code, size = decode(data, at, end)
            if table[np.uint64(code)] & space:
                inside = False
            else:
                if not inside:
                    n_words += 1
                    inside = True
                n_joined += size
            at += size
        doc[row + 1] = n_words
    return doc, n_joined


@numba.njit(cache=True, nogil=True)
def _fill(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint8],
    space: np.uint8,
    n_bytes: NDArray[np.int32],
    joined: NDArray[np.uint8],
) -> None:
    word = -1
    put = 0
    length = 0
    for row in range(len(offsets) - 1):
        at, end = offsets[row], offsets[row + 1]
        inside = False
        while at < end:
            byte = data[np.uint64(at)]
            if byte < 0x80:
                code, size = np.int64(byte), 1
            else:
                code, size = decode(data, at, end)
            if table[np.uint64(code)] & space:
                if inside:
                    n_bytes[word] = length
                    inside = False
                at += size
                continue
            if not inside:
                word += 1
                length = 0
                inside = True
            length += size
            stop = at + size
            while at < stop:
                joined[np.uint64(put)] = data[np.uint64(at)]
                put += 1
                at += 1
        if inside:
            n_bytes[word] = length
