"""A column cut into lines, paragraphs or sentences, and texts without some of their pieces."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ultraclean.text import characters, sentences
from ultraclean.text.buffers import utf8

Grain = Literal["line", "paragraph", "sentence"]
WIDE: Final = "。．！？｡…।॥։؟۔"
"""Marks after which a sentence may follow without a space: those of scripts that write none, above all."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """Document i has the pieces j from doc[i] to doc[i + 1]: the bytes data[begin[j]:begin[j + 1]]."""

    data: NDArray[np.uint8]
    doc: NDArray[np.int64]
    begin: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.int64]:
        return np.diff(self.doc)

    @property
    def strings(self) -> pa.Array:
        """All pieces as one array, without a copy."""
        buffers = [None, pa.py_buffer(self.begin), pa.py_buffer(self.data)]
        return pa.Array.from_buffers(pa.large_string(), len(self.begin) - 1, buffers)

    def without(self, row: int, places: Sequence[int]) -> tuple[str, list[tuple[int, int]]]:
        """Document `row` without some of its pieces, and the spans that went, in code points.

        Where the last piece went, no white space is left at the end.
        """
        first, last = int(self.doc[row]), int(self.doc[row + 1])
        gone = set(places)
        parts: list[str] = []
        spans: list[tuple[int, int]] = []
        at = 0
        for place in range(last - first):
            start, stop = self.begin[first + place], self.begin[first + place + 1]
            piece = self.data[start:stop].tobytes().decode("utf-8", "replace")
            if place not in gone:
                parts.append(piece)
            elif spans and spans[-1][1] == at:
                spans[-1] = (spans[-1][0], at + len(piece))
            else:
                spans.append((at, at + len(piece)))
            at += len(piece)
        left = "".join(parts)
        return (left.rstrip() if last - first - 1 in gone else left), spans


def cut(column: pa.Array, grain: Grain) -> Pieces:
    """The pieces of a column of texts, null as empty."""
    from ultrakernels import pieces as kernel

    text = utf8(column)
    number = {"line": kernel.LINE, "paragraph": kernel.PARAGRAPH, "sentence": kernel.SENTENCE}
    return Pieces(text.data, *kernel.pieces(text.data, text.offsets, _classes(), number[grain]))


@functools.cache
def _classes() -> NDArray[np.uint8]:
    """uint8[0x110000]: what the kernel needs to know of each code point."""
    from ultrakernels import pieces as kernel

    table = characters.table()
    classes = np.where(table & characters.SPACE, kernel.SPACE, 0).astype(np.uint8)
    for marks, bit in (
        (characters.TERMINAL, kernel.END),
        (WIDE, kernel.WIDE_END),
        (sentences.CLOSING, kernel.CLOSING),
    ):
        classes[[ord(char) for char in marks]] |= bit
    alpha = np.flatnonzero(table & characters.ALPHA)
    classes[[code for code in alpha.tolist() if chr(code).islower()]] |= kernel.SMALL
    classes.setflags(write=False)
    return classes
