"""Where each text begins and ends without the white space around it, as `str.strip` sees it."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.utf8 import decode

Ends = tuple[NDArray[np.int64], NDArray[np.int64]]


def reference(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], table: NDArray[np.uint8], space: int
) -> Ends:
    """See `strip_ends`; `table` and `space` are what `str.strip` knows already."""
    start, stop = [], []
    for first, last in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        text = data[first:last].tobytes().decode()
        begin = last - len(text.lstrip().encode())
        start.append(begin)
        stop.append(begin + len(text.strip().encode()))
    return np.array(start, dtype=np.int64), np.array(stop, dtype=np.int64)


@numba.njit(cache=True, nogil=True)
def strip_ends(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], table: NDArray[np.uint8], space: int
) -> Ends:
    """(start int64[n_docs], stop int64[n_docs]); a text of white space is empty, at its end."""
    n_docs = len(offsets) - 1
    start = np.empty(n_docs, dtype=np.int64)
    stop = np.empty(n_docs, dtype=np.int64)
    for row in range(n_docs):
        first, end = offsets[row], offsets[row + 1]
        while first < end:
            code, size = decode(data, first, end)
            if not table[code] & space:
                break
            first += size
        last = end
        while last > first:
            at = last - 1
            while at > first and (data[at] & 0xC0) == 0x80:
                at -= 1
            code, size = decode(data, at, last)
            if not table[code] & space:
                break
            last = at
        start[row] = first
        stop[row] = last
    return start, stop
