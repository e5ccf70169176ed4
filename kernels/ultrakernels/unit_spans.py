"""Words, and single characters that stand for themselves, as spans of UTF-8 texts."""

from __future__ import annotations

import itertools

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.utf8 import decode

Spans = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def reference(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], kinds: NDArray[np.uint8]
) -> Spans:
    """See `unit_spans`."""
    counts = [0]
    begin: list[int] = []
    end: list[int] = []
    for first, last in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        before = len(begin)
        at = first
        text = data[first:last].tobytes().decode()
        for kind, group in itertools.groupby(text, key=lambda char: int(kinds[ord(char)])):
            run = "".join(group)
            for word in [run] if kind == 1 else run:
                size = len(word.encode())
                if kind:
                    begin.append(at)
                    end.append(at + size)
                at += size
        counts.append(len(begin) - before)
    arrays = (np.cumsum(counts), np.array(begin), np.array(end))
    return tuple(array.astype(np.int64) for array in arrays)  # type: ignore[return-value]


def unit_spans(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], kinds: NDArray[np.uint8]
) -> Spans:
    """(doc int64[n_docs + 1], begin int64[n], end int64[n]): unit j of document i is data[begin[j]:end[j]].

    A code point of kind 0 divides, of kind 1 is part of a word, of kind 2 a unit by itself.
    """
    none = np.empty(0, dtype=np.int64)
    doc = _cut(data, offsets, kinds, none, none, False)
    begin, end = np.empty(doc[-1], dtype=np.int64), np.empty(doc[-1], dtype=np.int64)
    _cut(data, offsets, kinds, begin, end, True)
    return doc, begin, end


@numba.njit(cache=True, nogil=True)
def _cut(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    fill: bool,
) -> NDArray[np.int64]:
    doc = np.zeros(len(offsets), dtype=np.int64)
    n_units = 0
    for row in range(len(offsets) - 1):
        at, last = offsets[row], offsets[row + 1]
        inside = False
        while at < last:
            byte = data[np.uint64(at)]
            if byte < 0x80:
                code, size = np.int64(byte), 1
            else:
                code, size = decode(data, at, last)
            kind = kinds[np.uint64(code)]
            if kind == 0:
                inside = False
            elif kind == 1 and inside:
                if fill:
                    end[n_units - 1] = at + size
            else:
                if fill:
                    begin[n_units] = at
                    end[n_units] = at + size
                n_units += 1
                inside = kind == 1
            at += size
        doc[row + 1] = n_units
    return doc
