"""One code point of UTF-8, decoded; the text kernels call it wherever a byte is not ASCII.

Arrow does not check its strings unless asked, so a sequence that runs past its end, or does not
begin like one, counts as one unknown character of one byte instead of reading beyond the buffer.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)
def decode(data: NDArray[np.uint8], at: int, end: int) -> tuple[np.int64, int]:
    """(code point, bytes) of the character that starts at `at`, inside data[:end]."""
    first = np.int64(data[at])
    if first < 0x80:
        return first, 1
    if first >= 0xF0:
        if at + 4 <= end and first < 0xF5:
            code = (first & 0x07) << 18 | np.int64(data[at + 1] & 0x3F) << 12
            code |= np.int64(data[at + 2] & 0x3F) << 6 | np.int64(data[at + 3] & 0x3F)
            return code if code <= 0x10FFFF else np.int64(0xFFFD), 4
    elif first >= 0xE0:
        if at + 3 <= end:
            code = (first & 0x0F) << 12 | np.int64(data[at + 1] & 0x3F) << 6
            return code | np.int64(data[at + 2] & 0x3F), 3
    elif first >= 0xC0 and at + 2 <= end:
        return (first & 0x1F) << 6 | np.int64(data[at + 1] & 0x3F), 2
    return np.int64(0xFFFD), 1
