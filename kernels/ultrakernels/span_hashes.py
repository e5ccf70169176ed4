"""128-bit hashes of spans of bytes, and of runs of neighbouring hashes."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

_MASK = 2**64 - 1
_LENGTH = 0xA0761D6478BD642F
_LANES = ((0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9), (0xD6E8FEB86659FD93, 0x94D049BB133111EB))


def reference(
    data: NDArray[np.uint8], begin: NDArray[np.int64], end: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """See `span_hashes`."""
    out = np.zeros((len(begin), 2), dtype=np.uint64)
    for row, (start, stop) in enumerate(zip(begin.tolist(), end.tolist(), strict=True)):
        content = data[start:stop].tobytes()
        words = [int.from_bytes(content[i : i + 8], "little") for i in range(0, len(content), 8)]
        for lane, (seed, factor) in enumerate(_LANES):
            value = seed
            for word in words:
                value = ((value ^ word) * factor) & _MASK
                value ^= value >> 32
            out[row, lane] = _mix_int((value + len(content) * _LENGTH) & _MASK)
    return out


def _mix_int(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def span_hashes(
    data: NDArray[np.uint8], begin: NDArray[np.int64], end: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """uint64[n_spans, 2]: a hash of the bytes data[begin[i]:end[i]] of each span."""
    return _hashes(data, begin, end)


def reference_runs(
    hashes: NDArray[np.uint64], doc: NDArray[np.int64], length: int
) -> NDArray[np.uint64]:
    """See `run_hashes`."""
    out = np.zeros_like(hashes)
    for row in range(len(doc) - 1):
        for at in range(doc[row], doc[row + 1] - length + 1):
            for lane, (seed, factor) in enumerate(_LANES):
                value = seed
                for one in hashes[at : at + length, lane].tolist():
                    value = _mix_int(((value ^ one) * factor) & _MASK)
                out[at, lane] = value
    return out


def run_hashes(
    hashes: NDArray[np.uint64], doc: NDArray[np.int64], length: int
) -> NDArray[np.uint64]:
    """uint64[n_spans, 2]: of each span a hash of it and the `length - 1` after it.

    Zero where fewer follow in the document; doc[i] to doc[i + 1] are the spans of document i.
    """
    return _runs(hashes, doc, length)


@numba.njit(cache=True, nogil=True)
def _mix(x: np.uint64) -> np.uint64:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def _hashes(
    data: NDArray[np.uint8], begin: NDArray[np.int64], end: NDArray[np.int64]
) -> NDArray[np.uint64]:
    out = np.zeros((len(begin), 2), dtype=np.uint64)
    for row in range(len(begin)):
        at, stop = np.uint64(begin[row]), np.uint64(end[row])
        a = np.uint64(0x9E3779B97F4A7C15)
        b = np.uint64(0xD6E8FEB86659FD93)
        length = (stop - at) * np.uint64(0xA0761D6478BD642F)
        while at < stop:
            word = np.uint64(0)
            n_bytes = min(np.uint64(8), stop - at)
            for k in range(n_bytes):
                word |= np.uint64(data[at + np.uint64(k)]) << np.uint64(8 * k)
            a = (a ^ word) * np.uint64(0xBF58476D1CE4E5B9)
            a ^= a >> np.uint64(32)
            b = (b ^ word) * np.uint64(0x94D049BB133111EB)
            b ^= b >> np.uint64(32)
            at += n_bytes
        out[row, 0] = _mix(a + length)
        out[row, 1] = _mix(b + length)
    return out


@numba.njit(cache=True, nogil=True)
def _runs(hashes: NDArray[np.uint64], doc: NDArray[np.int64], length: int) -> NDArray[np.uint64]:
    out = np.zeros_like(hashes)
    for row in range(len(doc) - 1):
        for at in range(doc[row], doc[row + 1] - length + 1):
            a = np.uint64(0x9E3779B97F4A7C15)
            b = np.uint64(0xD6E8FEB86659FD93)
            for k in range(at, at + length):
                a = _mix((a ^ hashes[k, 0]) * np.uint64(0xBF58476D1CE4E5B9))
                b = _mix((b ^ hashes[k, 1]) * np.uint64(0x94D049BB133111EB))
            out[at, 0] = a
            out[at, 1] = b
    return out
