"""Words between white space, as `str.split` sees it: their bytes side by side, and what is measured of each.

The bytes of a document's words are copied without the white space between them, so that the
concatenation of any run of words is one slice.
"""

from __future__ import annotations

import itertools

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.measure_words import BASE
from ultrakernels.utf8 import decode

Split = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint8]]
Measured = tuple[NDArray[np.int32], NDArray[np.uint64], NDArray[np.uint8]]


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
) -> tuple[Split, Measured]:
    """((doc int64[n_docs + 1], n_bytes int32[n_words], joined uint8[bytes of all words]), measured).

    Document i is data[offsets[i]:offsets[i + 1]] and has the words doc[i] to doc[i + 1]. A code
    point c is white space where `table[c] & space`. `measured` is what `measure_words` says of them.
    """
    n_most = int(offsets[-1] - offsets[0]) // 2 + len(offsets)
    joined = np.empty(int(offsets[-1] - offsets[0]), dtype=np.uint8)
    # What is never written to costs no memory.
    n_bytes = np.empty(n_most, dtype=np.int32)
    n_chars = np.empty(n_most, dtype=np.int32)
    hashes = np.empty(n_most, dtype=np.uint64)
    classes = np.empty(n_most, dtype=np.uint8)
    doc, n_joined = _split(
        data, offsets, table, np.uint8(space), joined, n_bytes, n_chars, hashes, classes
    )
    n = doc[-1]
    return (doc, n_bytes[:n], joined[:n_joined]), (n_chars[:n], hashes[:n], classes[:n])


@numba.njit(cache=True, nogil=True)
def _split(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint8],
    space: np.uint8,
    joined: NDArray[np.uint8],
    n_bytes: NDArray[np.int32],
    n_chars: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    classes: NDArray[np.uint8],
) -> tuple[NDArray[np.int64], int]:
    doc = np.zeros(len(offsets), dtype=np.int64)
    base = np.uint64(BASE)
    one = np.uint64(1)
    word = np.uint64(0)
    put = np.uint64(0)
    for row in range(len(offsets) - 1):
        at, end = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
        while at < end:
            start = put
            value = np.uint64(0)
            found = np.uint8(0)
            n_wide = np.uint64(0)
            while at < end:
                byte = data[at]
                if byte < 0x80:
                    kind = table[np.uint64(byte)]
                    at += one
                    if kind & space:
                        break
                    joined[put] = byte
                    put += one
                    value = value * base + np.uint64(byte) + one
                    found |= kind
                    continue
                code, size = decode(data, int(at), int(end))
                kind = table[np.uint64(code)]
                stop = at + np.uint64(size)
                if kind & space:
                    at = stop
                    break
                n_wide += np.uint64(size - 1)
                found |= kind
                while at < stop:
                    joined[put] = data[at]
                    value = value * base + np.uint64(data[at]) + one
                    put += one
                    at += one
            if put > start:
                n_bytes[word] = put - start
                n_chars[word] = put - start - n_wide
                hashes[word] = value
                classes[word] = found
                word += one
        doc[row + 1] = word
    return doc, int(put)
