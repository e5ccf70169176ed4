"""The sum of many small decision trees, for rows of features.

A tree goes left where `x[feature] <= threshold`. All trees lie in one table: a negative child c is
the leaf ~c, whose value is added.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


def reference(
    x: NDArray[np.float32],
    roots: NDArray[np.int32],
    feature: NDArray[np.int32],
    threshold: NDArray[np.float64],
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    value: NDArray[np.float64],
) -> NDArray[np.float64]:
    """See `trees`."""
    total = np.zeros(len(x))
    for root in roots.tolist():
        for row in range(len(x)):
            at = root
            while at >= 0:
                at = int((left if x[row, feature[at]] <= threshold[at] else right)[at])
            total[row] += value[~at]
    return total


@numba.njit(cache=True, nogil=True)
def trees(
    x: NDArray[np.float32],
    roots: NDArray[np.int32],
    feature: NDArray[np.int32],
    threshold: NDArray[np.float64],
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    value: NDArray[np.float64],
) -> NDArray[np.float64]:
    """float64[n_rows]: the trees' values for each row of x[n_rows, n_features], added in order."""
    total = np.zeros(len(x))
    for row in range(len(x)):
        features = x[row]
        for root in roots:
            at = root
            while at >= 0:
                at = left[at] if features[feature[at]] <= threshold[at] else right[at]
            total[row] += value[~at]
    return total
