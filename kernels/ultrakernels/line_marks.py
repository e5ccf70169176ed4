"""What Gopher's quality rules count on lines: bullets, ellipses, and hash signs.

Lines are those of `str.splitlines`. A bullet line begins, after white space, with `•` or `-`; an
ellipsis line ends, before white space, in `...` or `…`. In the text, `...` is counted without
overlap, as `str.count` does.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.utf8 import after_kind, before_kind, decode

COLUMNS = ("n_lines", "n_bullet_lines", "n_ellipsis_lines", "n_hashes", "n_ellipses")


def reference(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint8],
    leads: NDArray[np.uint8],
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
    leads: NDArray[np.uint8],
    space: int,
    line_break: int,
) -> NDArray[np.int64]:
    """int64[n_docs, 5] in the order of `COLUMNS`.

    A code point c is white space where `table[c] & space`, and ends a line where
    `table[c] & line_break`; `leads[b]` is the union over the code points that begin with byte b.
    Few bytes can begin a line break, an ellipsis or a hash sign; the others are passed over.
    """
    n_docs = len(offsets) - 1
    marks = np.zeros((n_docs, 5), dtype=np.int64)
    telling = (leads & line_break) != 0
    telling[35] = telling[46] = telling[0xE2] = True
    for row in range(n_docs):
        at, end = offsets[row], offsets[row + 1]
        n_lines = n_bullets = n_dotted = n_hashes = n_ellipses = 0
        while at < end:
            start = at
            stop = after = end
            while at < end:
                byte = data[np.uint64(at)]
                if not telling[np.uint64(byte)]:
                    at += 1
                elif byte == 35:
                    n_hashes += 1
                    at += 1
                elif byte == 46:
                    dots = at
                    while at < end and data[np.uint64(at)] == 46:
                        at += 1
                    n_ellipses += (at - dots) // 3
                else:
                    code, size = decode(data, at, end)
                    if table[np.uint64(code)] & line_break:
                        pair = code == 13 and at + 1 < end and data[at + 1] == 10
                        stop, after = at, at + size + pair
                        break
                    n_ellipses += code == 0x2026
                    at += size
            at = after
            n_lines += 1
            start = after_kind(data, start, stop, table, leads, space)
            stop = before_kind(data, start, stop, table, leads, space)
            if start < stop:
                n_bullets += data[start] == 45
            if stop >= start + 3:
                a, b, c = data[start], data[start + 1], data[start + 2]
                n_bullets += a == 0xE2 and b == 0x80 and c == 0xA2
                a, b, c = data[stop - 3], data[stop - 2], data[stop - 1]
                dotted = a == 46 and b == 46 and c == 46
                n_dotted += dotted or (a == 0xE2 and b == 0x80 and c == 0xA6)
        marks[row, 0], marks[row, 1], marks[row, 2] = n_lines, n_bullets, n_dotted
        marks[row, 3], marks[row, 4] = n_hashes, n_ellipses
    return marks
