"""What Gopher's quality rules count on lines: bullets, ellipses, and hash signs.

Lines are those of `str.splitlines`. A bullet line begins, after white space, with `•` or `-`; an
ellipsis line ends, before white space, in `...` or `…`. In the text, `...` is counted without
overlap, as `str.count` does.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.utf8 import decode

COLUMNS = ("n_lines", "n_bullet_lines", "n_ellipsis_lines", "n_hashes", "n_ellipses")


def reference(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint8],
    space: int,
    line_break: int,
) -> NDArray[np.int64]:
    """See `line_marks`; the table and its bits are what `str` knows already."""
    rows = []
    for first, last in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        text = data[first:last].tobytes().decode()
        lines = text.splitlines()
        bullets = sum(line.lstrip().startswith(("•", "-")) for line in lines)
        ellipses = sum(line.rstrip().endswith(("...", "…")) for line in lines)
        dots = text.count("...") + text.count("…")
        rows.append((len(lines), bullets, ellipses, text.count("#"), dots))
    return np.array(rows, dtype=np.int64).reshape(-1, len(COLUMNS))


@numba.njit(cache=True, nogil=True)
def line_marks(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint8],
    space: int,
    line_break: int,
) -> NDArray[np.int64]:
    """int64[n_docs, 5] in the order of `COLUMNS`.

    A code point c is white space where `table[c] & space`, and ends a line where
    `table[c] & line_break`.
    """
    n_docs = len(offsets) - 1
    marks = np.zeros((n_docs, 5), dtype=np.int64)
    for row in range(n_docs):
        at, end = offsets[row], offsets[row + 1]
        line_start = at
        last_end = at  # the end of the last character of the line that is not white space
        dots = 0
        while at < end:
            byte = data[np.uint64(at)]
            if byte < 0x80:
                code, size = np.int64(byte), 1
            else:
                code, size = decode(data, at, end)
            classes = table[np.uint64(code)]
            if code == 46:
                dots += 1
                if dots == 3:
                    marks[row, 4] += 1
                    dots = 0
            else:
                dots = 0
                marks[row, 4] += code == 0x2026
                marks[row, 3] += code == 35
            if classes & line_break:
                marks[row, 0] += 1
                marks[row, 2] += _ends_in_ellipsis(data, line_start, last_end)
                if code == 13 and at + 1 < end and data[at + 1] == 10:
                    size = 2
                line_start = at + size
                last_end = line_start
            elif not classes & space:
                if last_end == line_start:
                    marks[row, 1] += code in (0x2022, 45)
                last_end = at + size
            at += size
        if line_start < end:
            marks[row, 0] += 1
            marks[row, 2] += _ends_in_ellipsis(data, line_start, last_end)
    return marks


@numba.njit(cache=True, nogil=True)
def _ends_in_ellipsis(data: NDArray[np.uint8], start: int, stop: int) -> bool:
    if stop - start < 3:
        return False
    a, b, c = data[stop - 3], data[stop - 2], data[stop - 1]
    return bool((a == 46 and b == 46 and c == 46) or (a == 0xE2 and b == 0x80 and c == 0xA6))
