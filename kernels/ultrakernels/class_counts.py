"""How many code points of a text belong to each of up to 16 classes, in one look at each byte."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.utf8 import decode

CLASSES: Final = 16


def reference(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], table: NDArray[np.uint16]
) -> NDArray[np.int64]:
    """See `class_counts`."""
    found = np.zeros((len(offsets) - 1, CLASSES + 1), dtype=np.int64)
    for row, (start, stop) in enumerate(pairwise(offsets)):
        text = data[start:stop].tobytes().decode()
        for char in text:
            for bit in range(CLASSES):
                found[row, bit] += bool(table[ord(char)] >> bit & 1)
        found[row, CLASSES] = len(text)
    return found


@numba.njit(cache=True, nogil=True)
def class_counts(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], table: NDArray[np.uint16]
) -> NDArray[np.int64]:
    """int64[n_docs, 17]: code points c where bit b of `table[c]` is set; the last column, all.

    `table` is uint16[0x110000].
    """
    n_docs = len(offsets) - 1
    found = np.zeros((n_docs, 17), dtype=np.int64)
    for row in range(n_docs):
        at, end = offsets[row], offsets[row + 1]
        n_chars = 0
        while at < end:
            code, step = decode(data, at, end)
            classes = table[code]
            bit = 0
            while classes:
                found[row, bit] += classes & 1
                classes >>= 1
                bit += 1
            n_chars += 1
            at += step
        found[row, 16] = n_chars
    return found
