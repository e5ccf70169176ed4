"""Pieces of a text between runs of newlines: lines, or paragraphs where a run is two or more."""

from __future__ import annotations

import re

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.wide import find_byte

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
        at = find_byte(data, start[row], stop[row], 10)
        while at < stop[row]:
            run = at
            at = _after(data, at, stop[row])
            n_spans += at - run >= min_run
            at = find_byte(data, at, stop[row], 10)
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
        at = find_byte(data, start[row], stop[row], 10)
        while at < stop[row]:
            run = at
            at = _after(data, at, stop[row])
            if at - run >= min_run:
                end[span] = run
                span += 1
                begin[span] = at
            at = find_byte(data, at, stop[row], 10)
        end[span] = stop[row]
        span += 1


@numba.njit(cache=True, nogil=True)
def _after(data: NDArray[np.uint8], at: int, stop: int) -> int:
    """Where the run of newlines at `at` ends."""
    while at < stop and data[at] == 10:
        at += 1
    return at
