"""Linear heads on vectors: logistic regression for two classes, ridge regression for a number.

Both are convex and small (one weight per dimension), so they are solved exactly, by Newton's method
and in one step; the same vectors give the same head on any machine up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_STEPS: Final = 50
_ROWS_AT_ONCE: Final = 8192


@dataclass(frozen=True)
class Head:
    """score = vector @ weight + bias, and of a classifier its logistic."""

    weight: NDArray[np.float64]
    bias: float
    logistic: bool

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """float64[n_docs]: a probability, or the number."""
        # row by row and in one order, so that a batch cut anywhere gives the same bits
        score = (vectors.astype(np.float64) * self.weight).sum(axis=1) + self.bias
        return sigmoid(score) if self.logistic else score


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    out: NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * x))
    return out


def fit(
    vectors: NDArray[np.float32], target: NDArray[np.float64], l2: float, *, logistic: bool
) -> Head:
    """The head with the least loss plus l2/2 * |weight|^2 per document, on standardised vectors.

    vectors float32[n_docs, dim]; target float64[n_docs], 0 or 1 for a classifier. A dimension that
    does not vary has no weight.
    """
    n_docs, dim = vectors.shape
    mean = vectors.mean(axis=0, dtype=np.float64)
    spread = vectors.std(axis=0, dtype=np.float64)
    scale = np.divide(1.0, spread, out=np.zeros(dim), where=spread > 1e-12)
    solution = np.zeros(dim + 1)
    penalty = np.full(dim + 1, l2)
    penalty[dim] = 1e-9  # the bias is free
    for _ in range(_STEPS if logistic else 1):
        gradient = penalty * solution
        hessian = np.diag(penalty)
        for start in range(0, n_docs, _ROWS_AT_ONCE):
            rows = np.ones((min(_ROWS_AT_ONCE, n_docs - start), dim + 1))
            rows[:, :dim] = (vectors[start : start + _ROWS_AT_ONCE] - mean) * scale
            score = rows @ solution
            found = sigmoid(score) if logistic else score
            curve = found * (1 - found) if logistic else np.ones(len(rows))
            gradient += rows.T @ (found - target[start : start + _ROWS_AT_ONCE]) / n_docs
            hessian += rows.T @ (rows * curve[:, None]) / n_docs
        step = np.linalg.solve(hessian, gradient)
        # far from the solution a whole Newton step may overshoot
        solution -= step * min(1.0, 10.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    weight = solution[:dim] * scale
    return Head(weight, float(solution[dim] - weight @ mean), logistic)
