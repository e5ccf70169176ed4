"""Views of a column's lines and paragraphs, and what repeats among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ultraclean.text import characters
from ultraclean.text.buffers import utf8


@dataclass(frozen=True, eq=False)
class Repeats:
    """Pieces of each document (lines or paragraphs), and those that occurred before in it.

    All int64[n_docs]. `n_pieces` is at least 1; characters are code points.
    """

    n_pieces: NDArray[np.int64]
    n_repeated: NDArray[np.int64]
    repeated_chars: NDArray[np.int64]


def repeated_lines(column: pa.Array) -> Repeats:
    """A view: lines between runs of newlines of the text as it is."""
    from ultrakernels.newline_spans import newline_spans

    text = utf8(column)
    return _repeats(text.data, *newline_spans(text.data, text.offsets[:-1], text.offsets[1:], 1))


def repeated_paragraphs(column: pa.Array) -> Repeats:
    """A view: paragraphs between two or more newlines of the stripped text."""
    from ultrakernels.newline_spans import newline_spans
    from ultrakernels.strip_ends import strip_ends

    text = utf8(column)
    start, stop = strip_ends(text.data, text.offsets, characters.table(), characters.SPACE)
    return _repeats(text.data, *newline_spans(text.data, start, stop, 2))


def _repeats(
    data: NDArray[np.uint8],
    doc: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
) -> Repeats:
    from ultrakernels.duplicate_spans import duplicate_spans

    return Repeats(np.diff(doc), *duplicate_spans(data, doc, begin, end))


def line_marks(column: pa.Array) -> dict[str, NDArray[np.int64]]:
    """A view: lines, bullet lines, lines that end in an ellipsis, hash signs and ellipses."""
    from ultrakernels.line_marks import COLUMNS, line_marks

    text = utf8(column)
    marks = line_marks(
        text.data,
        text.offsets,
        characters.table(),
        characters.SPACE,
        characters.LINE_BREAK,
    )
    return {name: marks[:, index] for index, name in enumerate(COLUMNS)}


@dataclass(frozen=True, eq=False)
class Nonblank:
    """Of each document, its lines that are not blank: how many, how they end, how short they are.

    All int64[n_docs]; characters are code points.
    """

    n_lines: NDArray[np.int64]
    n_ended: NDArray[np.int64]
    n_short: NDArray[np.int64]
    repeated_chars: NDArray[np.int64]
    n_newlines: NDArray[np.int64]


@dataclass(frozen=True)
class NonblankLines:
    """A view, as a value: lines that end in one of `ends`, lines of at most `short_chars`."""

    ends: frozenset[str]
    short_chars: int

    def __call__(self, column: pa.Array) -> Nonblank:
        from ultrakernels.duplicate_spans import duplicate_spans
        from ultrakernels.nonblank_lines import nonblank_lines

        text = utf8(column)
        doc, begin, end, n_chars, ended, n_newlines = nonblank_lines(
            text.data,
            text.offsets,
            characters.marked(self.ends),
            characters.SPACE,
            characters.MARKED,
        )
        _, repeated_chars = duplicate_spans(text.data, doc, begin, end)
        return Nonblank(
            np.diff(doc),
            _sums(doc, ended),
            _sums(doc, n_chars <= self.short_chars),
            repeated_chars,
            n_newlines,
        )


def _sums(doc: NDArray[np.int64], flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    total = np.zeros(len(flags) + 1, dtype=np.int64)
    np.cumsum(flags, out=total[1:])
    return total[doc[1:]] - total[doc[:-1]]
