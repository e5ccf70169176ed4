"""Sums rows of a table by documents' token ids, and adds rows to a table by them: a sparse matrix
(documents by tokens, of counts) times a dense one, and its transpose times one, never written down.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray


def reference(
    ids: NDArray[np.int32], offsets: NDArray[np.int64], table: NDArray[np.float32]
) -> NDArray[np.float32]:
    """See `pooled`."""
    out = np.zeros((len(offsets) - 1, table.shape[1]), dtype=np.float32)
    for doc in range(len(out)):
        found = ids[offsets[doc] : offsets[doc + 1]]
        found = found[found >= 0]
        if len(found):
            out[doc] = table[found].astype(np.float64).mean(axis=0)
    return out


def reference_scattered(
    ids: NDArray[np.int32], offsets: NDArray[np.int64], rows: NDArray[np.float32], n_tokens: int
) -> NDArray[np.float64]:
    """See `scattered`."""
    out = np.zeros((n_tokens, rows.shape[1]))
    for doc in range(len(offsets) - 1):
        found = ids[offsets[doc] : offsets[doc + 1]]
        np.add.at(out, found[found >= 0], rows[doc].astype(np.float64))
    return out


@numba.njit(cache=True, nogil=True)
def pooled(ids: Any, offsets: Any, table: Any) -> NDArray[np.float32]:
    """The mean of the rows of `table` that a document's tokens name: float32[n_docs, dim].

    ids int32[n_tokens], of which negative ones are no token; document i has those from offsets[i]
    to offsets[i + 1]. A document without any is a row of zeros. Summed in float64.
    """
    n_docs, dim = len(offsets) - 1, table.shape[1]
    out = np.zeros((n_docs, dim), dtype=np.float32)
    total = np.empty(dim)
    for doc in range(n_docs):
        total[:] = 0.0
        n = 0
        for at in range(offsets[doc], offsets[doc + 1]):
            token = ids[at]
            if token < 0:
                continue
            n += 1
            for k in range(dim):
                total[k] += np.float64(table[token, k])
        if n:
            for k in range(dim):
                out[doc, k] = total[k] / n
    return out


@numba.njit(cache=True, nogil=True)
def scattered(ids: Any, offsets: Any, rows: Any, out: Any) -> None:
    """Adds row i of `rows` to the row of `out` (float64[n_tokens, dim]) of each token of document i."""
    dim = rows.shape[1]
    for doc in range(len(offsets) - 1):
        for at in range(offsets[doc], offsets[doc + 1]):
            token = ids[at]
            if token < 0:
                continue
            for k in range(dim):
                out[token, k] += np.float64(rows[doc, k])
