"""How many words of a short list occur in each document."""

from __future__ import annotations

import itertools

import numba
import numpy as np
from numpy.typing import NDArray


def reference(
    joined: NDArray[np.uint8],
    begin: NDArray[np.int64],
    n_bytes: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    doc: NDArray[np.int64],
    wanted: NDArray[np.uint8],
    wanted_offsets: NDArray[np.int64],
    wanted_hashes: NDArray[np.uint64],
    repeats: bool,
) -> NDArray[np.int64]:
    """See `members`."""
    listed = {wanted[a:b].tobytes() for a, b in itertools.pairwise(wanted_offsets)}
    words = [joined[a : a + size].tobytes() for a, size in zip(begin, n_bytes, strict=True)]
    kind = list if repeats else set
    found = [sum(word in listed for word in kind(words[a:b])) for a, b in itertools.pairwise(doc)]
    return np.array(found, dtype=np.int64)


@numba.njit(cache=True, nogil=True)
def members(
    joined: NDArray[np.uint8],
    begin: NDArray[np.int64],
    n_bytes: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    doc: NDArray[np.int64],
    wanted: NDArray[np.uint8],
    wanted_offsets: NDArray[np.int64],
    wanted_hashes: NDArray[np.uint64],
    repeats: bool,
) -> NDArray[np.int64]:
    """Words of the list per document, int64[n_docs]: different ones, or with `repeats` all.

    `wanted_hashes` is sorted and the words of the list, all different, are in its order in
    `wanted`, cut by `wanted_offsets`.
    """
    n_docs = len(doc) - 1
    n_wanted = len(wanted_hashes)
    found = np.zeros(n_docs, dtype=np.int64)
    last_row = np.full(n_wanted, -1, dtype=np.int64)
    # Nearly all words are turned away by one look-up.
    possible = np.zeros(1024, dtype=np.bool_)
    for place in range(n_wanted):
        possible[wanted_hashes[place] & np.uint64(1023)] = True
    for row in range(n_docs):
        for word in range(doc[row], doc[row + 1]):
            if not possible[hashes[word] & np.uint64(1023)]:
                continue
            place = np.searchsorted(wanted_hashes, hashes[word])
            while place < n_wanted and wanted_hashes[place] == hashes[word]:
                start = wanted_offsets[place]
                size = wanted_offsets[place + 1] - start
                same = size == n_bytes[word]
                for k in range(size if same else 0):
                    if wanted[start + k] != joined[begin[word] + k]:
                        same = False
                        break
                if same and (repeats or last_row[place] != row):
                    last_row[place] = row
                    found[row] += 1
                place += 1
    return found
