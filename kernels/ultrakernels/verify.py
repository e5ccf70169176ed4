"""Drops a document if and only if a kept earlier one shares a band and is similar enough."""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]

OPEN, KEPT, ASKS = 0, 1, 2
"""Roles of a row: to be decided; kept whatever it resembles; compared with others, others not with it."""
CHANCE: Final = 1 / 256
"""Bytes of different minima agree that often."""


def verify(
    bands: NDArray[np.uint64],
    shingles: NDArray[np.uint64],
    offsets: Ids,
    threshold: float,
    role: NDArray[np.int8] | None = None,
    signature: NDArray[np.uint8] | None = None,
) -> tuple[Ids, NDArray[np.float64], Ids]:
    """(the kept row that each row duplicates or -1, their Jaccard similarity or NaN, pairs compared).

    Rows are in order, the best first; row i has bands[i] and the sorted distinct shingles
    offsets[i] to offsets[i + 1]. A row is compared with the kept rows that share a band with it, from
    the first on; the first of at least `threshold` is the one that it duplicates. The similarity is
    exact where both have shingles, or else estimated from signature[i], a byte per permutation.
    """
    _, ids = np.unique(bands.ravel(), return_inverse=True)
    ids = ids.reshape(bands.shape).astype(np.int64)
    role = np.zeros(len(bands), dtype=np.int8) if role is None else role
    signature = np.zeros((len(bands), 0), dtype=np.uint8) if signature is None else signature
    copy_of, jaccard, n_compared = _verify(ids, shingles, offsets, threshold, role, signature)
    return copy_of, jaccard, n_compared


def reference(
    bands: NDArray[np.uint64],
    shingles: NDArray[np.uint64],
    offsets: Ids,
    threshold: float,
    role: NDArray[np.int8] | None = None,
    signature: NDArray[np.uint8] | None = None,
) -> tuple[Ids, NDArray[np.float64], Ids]:
    """`verify`, as one would say it."""
    sets = [set(shingles[offsets[i] : offsets[i + 1]].tolist()) for i in range(len(bands))]
    keys = [set(row) for row in bands.tolist()]
    copy_of = np.full(len(bands), -1, dtype=np.int64)
    jaccard = np.full(len(bands), np.nan)
    n_compared = np.zeros(len(bands), dtype=np.int64)
    kept: list[int] = []
    for row in range(len(bands)):
        if role is not None and role[row] == KEPT:
            kept.append(row)
            continue
        for earlier in kept:
            if not keys[row] & keys[earlier]:
                continue
            n_compared[row] += 1
            if sets[row] and sets[earlier]:
                similarity = len(sets[row] & sets[earlier]) / len(sets[row] | sets[earlier])
            elif signature is not None and signature.shape[1]:
                same = float((signature[row] == signature[earlier]).mean())
                similarity = max(0.0, (same - CHANCE) / (1 - CHANCE))
            else:
                similarity = 0.0
            if similarity >= threshold:
                copy_of[row], jaccard[row] = earlier, similarity
                break
        else:
            if role is None or role[row] != ASKS:
                kept.append(row)
    return copy_of, jaccard, n_compared


@numba.njit(cache=True, nogil=True)
def _n_shared(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> int:
    i = j = n_shared = 0
    while i < len(left) and j < len(right):
        a, b = left[i], right[j]
        n_shared += a == b
        i += a <= b
        j += b <= a
    return n_shared


@numba.njit(cache=True, nogil=True)
def _estimate(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> float:
    if not len(left):
        return 0.0
    n_same = 0
    for k in range(len(left)):
        n_same += left[k] == right[k]
    return max(0.0, (n_same / len(left) - CHANCE) / (1 - CHANCE))


@numba.njit(cache=True, nogil=True)
def _verify(
    ids: Ids,
    shingles: NDArray[np.uint64],
    offsets: Ids,
    threshold: float,
    role: NDArray[np.int8],
    signature: NDArray[np.uint8],
) -> Any:
    n_rows, n_bands = ids.shape
    copy_of = np.full(n_rows, -1)
    jaccard = np.full(n_rows, np.nan)
    n_compared = np.zeros(n_rows, dtype=np.int64)
    # Kept rows of each key, in order, as linked lists: first[key], after[row, band].
    first = np.full(ids.size, -1)
    last = np.full(ids.size, -1)
    after = np.full((n_rows, n_bands), -1)
    here = np.empty(n_bands, dtype=np.int64)
    for row in range(n_rows):
        mine = shingles[offsets[row] : offsets[row + 1]]
        for band in range(n_bands):
            here[band] = first[ids[row, band]]
        while role[row] != KEPT:
            # The lists are merged: the earliest kept row that any of them has next.
            earlier = n_rows
            for band in range(n_bands):
                if here[band] >= 0 and here[band] < earlier:
                    earlier = here[band]
            if earlier == n_rows:
                break
            for band in range(n_bands):
                if here[band] == earlier:
                    here[band] = after[earlier, band]
            n_compared[row] += 1
            other = shingles[offsets[earlier] : offsets[earlier + 1]]
            if len(mine) and len(other):
                n_shared = _n_shared(mine, other)
                similarity = n_shared / (len(mine) + len(other) - n_shared)
            else:
                similarity = _estimate(signature[row], signature[earlier])
            if similarity >= threshold:
                copy_of[row] = earlier
                jaccard[row] = similarity
                break
        if copy_of[row] >= 0 or role[row] == ASKS:
            continue
        for band in range(n_bands):
            key = ids[row, band]
            if first[key] < 0:
                first[key] = row
            elif last[key] != row:
                after[last[key], band] = row
            last[key] = row
    return copy_of, jaccard, n_compared
