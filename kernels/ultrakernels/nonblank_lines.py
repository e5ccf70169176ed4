"""The lines of a text that are not blank, and how they end: what FineWeb's own rules look at."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.utf8 import after_kind, decode, last_start
from ultrakernels.wide import find_byte, n_code_points

Lines = tuple[
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.bool_],
    NDArray[np.int64],
]


def reference(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint8],
    leads: NDArray[np.uint8],
    space: int,
    mark: int,
) -> Lines:
    """See `nonblank_lines`; `space` is what `str.strip` knows already."""
    counts, begin, end, n_chars, marked, newlines = [0], [], [], [], [], []
    for first, last in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        raw = data[first:last].tobytes()
        newlines.append(raw.count(b"\n"))
        at, kept = first, 0
        for line in raw.split(b"\n"):
            text = line.decode()
            if text.strip():
                begin.append(at)
                end.append(at + len(line))
                n_chars.append(len(text))
                marked.append(bool(table[ord(text[-1])] & mark))
                kept += 1
            at += len(line) + 1
        counts.append(kept)
    return (
        np.cumsum(counts).astype(np.int64),
        np.array(begin, dtype=np.int64),
        np.array(end, dtype=np.int64),
        np.array(n_chars, dtype=np.int64),
        np.array(marked, dtype=np.bool_),
        np.array(newlines, dtype=np.int64),
    )


def nonblank_lines(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint8],
    leads: NDArray[np.uint8],
    space: int,
    mark: int,
) -> Lines:
    """Lines between `\\n` that hold more than white space, as they are (nothing is stripped).

    `leads[b]` is the union of `table[c]` over the code points c that begin with byte b. Gives
    (doc int64[n_docs + 1], begin, end, n_chars int64[n_lines], marked bool[n_lines] (the last
    code point c of the line has `table[c] & mark`), n_newlines int64[n_docs]).
    """
    n_newlines = _count_newlines(data, offsets)
    most = int(n_newlines.sum()) + len(n_newlines)
    begin = np.empty(most, dtype=np.int64)
    end = np.empty(most, dtype=np.int64)
    n_chars = np.empty(most, dtype=np.int64)
    marked = np.empty(most, dtype=np.bool_)
    doc = _fill(data, offsets, table, leads, space, mark, begin, end, n_chars, marked)
    n_lines = int(doc[-1])
    return doc, begin[:n_lines], end[:n_lines], n_chars[:n_lines], marked[:n_lines], n_newlines


@numba.njit(cache=True, nogil=True)
def _count_newlines(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    n_newlines = np.zeros(len(offsets) - 1, dtype=np.int64)
    for row in range(len(offsets) - 1):
        count = 0
        for at in range(np.uint64(offsets[row]), np.uint64(offsets[row + 1])):
            count += data[at] == 10
        n_newlines[row] = count
    return n_newlines


@numba.njit(cache=True, nogil=True)
def _fill(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint8],
    leads: NDArray[np.uint8],
    space: int,
    mark: int,
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    n_chars: NDArray[np.int64],
    marked: NDArray[np.bool_],
) -> NDArray[np.int64]:
    doc = np.zeros(len(offsets), dtype=np.int64)
    line = 0
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        while start <= stop:
            at = find_byte(data, start, stop, 10)
            if after_kind(data, start, at, table, leads, space) < at:
                last, _ = decode(data, last_start(data, start, at), at)
                begin[line] = start
                end[line] = at
                n_chars[line] = n_code_points(data, start, at)
                marked[line] = (table[np.uint64(last)] & mark) != 0
                line += 1
            start = at + 1
        doc[row + 1] = line
    return doc
