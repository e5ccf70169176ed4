"""How many lines a text has, and how long its longest three are, in code points."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.utf8 import decode

COLUMNS: Final = ("n_lines", "longest", "third")


def reference(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], every: bool
) -> NDArray[np.int64]:
    """See `line_sizes`."""
    rows = []
    for first, last in pairwise(offsets):
        text = data[first:last].tobytes().decode()
        lines = text.splitlines() if every else text.split("\n")
        sizes = sorted(map(len, lines), reverse=True)
        rows.append((len(lines), sizes[0] if sizes else 0, sizes[2] if len(sizes) > 2 else 0))
    return np.array(rows, dtype=np.int64).reshape(-1, len(COLUMNS))


@numba.njit(cache=True, nogil=True)
def line_sizes(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], every: bool
) -> NDArray[np.int64]:
    """int64[n_docs, 3] in the order of `COLUMNS`; of fewer than three lines the third has 0.

    `every`: lines are those of `str.splitlines`; otherwise what lies between newlines.
    """
    n_docs = len(offsets) - 1
    found = np.zeros((n_docs, 3), dtype=np.int64)
    for row in range(n_docs):
        at, end = offsets[row], offsets[row + 1]
        first = second = third = size = n_lines = 0
        while at <= end:
            code, step = np.int64(10), 1
            if at < end:
                code, step = decode(data, at, end)
            elif every and size == 0:
                break  # a text that ends in a line break has no line after it
            ends = code == 10
            if every and not ends:
                ends = 10 < code <= 13 or 28 <= code <= 30 or code in (0x85, 0x2028, 0x2029)
                if code == 13 and at + 1 < end and data[at + 1] == 10:
                    step = 2
            at += step
            if not ends:
                size += 1
                continue
            n_lines += 1
            if size > first:
                first, second, third = size, first, second
            elif size > second:
                second, third = size, second
            elif size > third:
                third = size
            size = 0
        found[row, 0], found[row, 1], found[row, 2] = n_lines, first, third
    return found
