"""Division as filters need it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """part / whole, float64; NaN, which fails no rule, where the whole is 0."""
    result = np.full(len(part), np.nan)
    np.divide(part, whole, out=result, where=np.asarray(whole) != 0)
    return result
