"""Unicode's word boundaries (UAX 29) with the tables of the package uniseg, at the speed of a kernel.

uniseg itself reads some 20 KB of text a second. Its rules are in `ultrakernels.word_breaks`; only its
table of classes is read here, so the version of Unicode is that of the installed uniseg.
"""

from __future__ import annotations

import functools

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ultraclean.text import characters
from ultraclean.text.buffers import utf8


@functools.cache
def table() -> NDArray[np.uint8]:
    """uint8[0x110000]: the class of each code point, as `ultrakernels.word_breaks` names them."""
    from ultrakernels.word_breaks import CLASSES, PICTOGRAPHIC
    from uniseg.db_lookups import columns, index1, index2, shift, values

    breaks, pictures = columns.index("Word_Break"), columns.index("Extended_Pictographic")
    classes = [
        CLASSES.index(value[breaks] or "Other") | (PICTOGRAPHIC if value[pictures] else 0)
        for value in values
    ]
    pages = np.frombuffer(index2, dtype=np.uint8).reshape(-1, 1 << shift)
    found = np.array(classes, dtype=np.uint8)[pages[np.frombuffer(index1, dtype=np.uint8)]].ravel()
    found.setflags(write=False)
    return np.asarray(found)


def split(column: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint8]]:
    """Words that begin with a letter or digit: (words per document as offsets, bytes, joined)."""
    from ultrakernels.word_breaks import word_breaks

    text = utf8(column)
    return word_breaks(text.data, text.offsets, table(), characters.alphanumeric())
