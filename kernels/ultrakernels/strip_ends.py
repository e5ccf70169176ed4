"""Where each text begins and ends without the white space around it, as `str.strip` sees it."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.utf8 import after_kind, before_kind

Ends = tuple[NDArray[np.int64], NDArray[np.int64]]


def reference(
    data: NDArray[np.uint8],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    table: NDArray[np.uint8],
    leads: NDArray[np.uint8],
    space: int,
) -> Ends:
    """See `strip_ends`; `table` and `space` are what `str.strip` knows already."""
    start, stop = [], []
    for first, last in zip(begin.tolist(), end.tolist(), strict=True):
        text = data[first:last].tobytes().decode()
        start.append(last - len(text.lstrip().encode()))
        stop.append(start[-1] + len(text.strip().encode()))
    return np.array(start, dtype=np.int64), np.array(stop, dtype=np.int64)


@numba.njit(cache=True, nogil=True)
def strip_ends(
    data: NDArray[np.uint8],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    table: NDArray[np.uint8],
    leads: NDArray[np.uint8],
    space: int,
) -> Ends:
    """(start int64[n], stop int64[n]) of the texts data[begin:end]; white space is empty, at its end."""
    start = np.empty(len(begin), dtype=np.int64)
    stop = np.empty(len(begin), dtype=np.int64)
    for row in range(len(begin)):
        start[row] = after_kind(data, begin[row], end[row], table, leads, space)
        stop[row] = before_kind(data, start[row], end[row], table, leads, space)
    return start, stop
