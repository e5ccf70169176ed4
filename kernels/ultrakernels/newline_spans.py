"""Pieces of a text between runs of newlines: lines, or paragraphs where a run is two or more."""

from __future__ import annotations

import re

import numba
import numpy as np
from numpy.typing import NDArray

Spans = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def reference(
    data: NDArray[np.uint8], start: NDArray[np.int64], stop: NDArray[np.int64], min_run: int
) -> Spans:
    """See `newline_spans`."""
    separator = re.compile(rb"\n{%d,}" % min_run)
    counts, begin, end = [0], [], []
    for first, last in zip(start.tolist(), stop.tolist(), strict=True):
        found = list(separator.finditer(data[first:last].tobytes()))
        begin += [first, *(first + match.end() for match in found)]
        end += [*(first + match.start() for match in found), last]
        counts.append(len(found) + 1)
    return (
        np.cumsum(counts).astype(np.int64),
        np.array(begin, dtype=np.int64),
        np.array(end, dtype=np.int64),
    )


def newline_spans(
    data: NDArray[np.uint8], start: NDArray[np.int64], stop: NDArray[np.int64], min_run: int
) -> Spans:
    """What `re.split("\\n{min_run,}", text)` gives for each text data[start[i]:stop[i]].

    (doc int64[n_docs + 1], begin int64[n_spans], end int64[n_spans]): the spans of document i are
    data[begin[j]:end[j]] for j from doc[i] to doc[i + 1]; at least one, which may be empty.
    """
    doc = _count(data, start, stop, min_run)
    begin = np.empty(doc[-1], dtype=np.int64)
    end = np.empty(doc[-1], dtype=np.int64)
    _fill(data, start, stop, min_run, begin, end)
    return doc, begin, end


@numba.njit(cache=True, nogil=True)
def _count(
    data: NDArray[np.uint8], start: NDArray[np.int64], stop: NDArray[np.int64], min_run: int
) -> NDArray[np.int64]:
    doc = np.zeros(len(start) + 1, dtype=np.int64)
    n_spans = 0
    for row in range(len(start)):
        n_spans += 1
        run = 0
        for at in range(start[row], stop[row]):
            if data[at] == 10:
                run += 1
                n_spans += run == min_run
            else:
                run = 0
        doc[row + 1] = n_spans
    return doc


@numba.njit(cache=True, nogil=True)
def _fill(
    data: NDArray[np.uint8],
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    min_run: int,
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
) -> None:
    span = 0
    for row in range(len(start)):
        begin[span] = start[row]
        run = 0
        for at in range(start[row], stop[row]):
            if data[at] == 10:
                run += 1
                continue
            if run >= min_run:
                end[span] = at - run
                span += 1
                begin[span] = at
            run = 0
        if run >= min_run:
            end[span] = stop[row] - run
            span += 1
            begin[span] = stop[row]
        end[span] = stop[row]
        span += 1
