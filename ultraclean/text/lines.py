"""Views of a column's lines and paragraphs, and what repeats among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
    start, stop = strip_ends(
        *(text.data, text.offsets[:-1], text.offsets[1:]),
        *(characters.table(), characters.leads(), characters.SPACE),
    )
    return _repeats(text.data, *newline_spans(text.data, start, stop, 2))


def _repeats(
    data: NDArray[np.uint8],
    doc: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
) -> Repeats:
    from ultrakernels.duplicate_spans import duplicate_spans

    return Repeats(np.diff(doc), *duplicate_spans(data, doc, begin, end))


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines i from doc[d] to doc[d + 1] are those of document d: data[begin[i]:end[i]]."""

    data: NDArray[np.uint8]
    doc: NDArray[np.int64]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]

    def repeats(self) -> Repeats:
        """Lines that occur twice or more, each as often as it occurs (DCLM, dolma)."""
        from ultrakernels.duplicate_spans import duplicate_spans

        found = duplicate_spans(self.data, self.doc, self.begin, self.end, True)
        return Repeats(np.diff(self.doc), *found)

    def n_chars(self) -> NDArray[np.int64]:
        """Code points in the lines of each document, int64[n_docs]."""
        starts = np.zeros(len(self.data) + 1, dtype=np.int64)
        np.cumsum((self.data & 0xC0) != 0x80, out=starts[1:])
        return _sums(self.doc, starts[self.end] - starts[self.begin])

    def n_starting(self, *prefixes: str) -> NDArray[np.int64]:
        """Lines of each document that begin with one of the prefixes, int64[n_docs]."""
        return self._n_with([(self.begin, prefix.encode()) for prefix in prefixes])

    def n_ending(self, *suffixes: str) -> NDArray[np.int64]:
        """Lines of each document that end with one of the suffixes, int64[n_docs]."""
        return self._n_with(
            [(self.end - len(raw), raw) for raw in (suffix.encode() for suffix in suffixes)]
        )

    def _n_with(self, marks: list[tuple[NDArray[np.int64], bytes]]) -> NDArray[np.int64]:
        found = np.zeros(len(self.begin), dtype=np.bool_)
        for at, raw in marks:
            here = np.flatnonzero(self.end - self.begin >= len(raw))
            for place, byte in enumerate(raw):
                here = here[self.data[at[here] + place] == byte]
            found[here] = True
        return _sums(self.doc, found)


def plain_lines(column: pa.Array) -> Lines:
    """A view: `text.split("\\n")`; even of an empty text one line."""
    text = utf8(column)
    newlines = np.flatnonzero(text.data[: text.offsets[-1]] == 10)
    newlines = newlines[newlines >= text.offsets[0]]
    before = np.searchsorted(newlines, text.offsets)
    doc = before + np.arange(len(text.offsets))
    doc -= before[0]
    begin = np.empty(doc[-1], dtype=np.int64)
    end = np.empty(doc[-1], dtype=np.int64)
    first = np.zeros(doc[-1], dtype=np.bool_)
    last = np.zeros(doc[-1], dtype=np.bool_)
    first[doc[:-1]] = True
    last[doc[1:] - 1] = True
    begin[first], end[last] = text.offsets[:-1], text.offsets[1:]
    begin[~first], end[~last] = newlines + 1, newlines
    return Lines(text.data, doc, begin, end)


def bare_lines(column: pa.Array) -> Lines:
    """A view: stripped lines, empty ones left out."""
    lines = plain_lines(column)
    return _bare(lines.data, lines.doc, lines.begin, lines.end)


def bare_paragraphs(column: pa.Array) -> Lines:
    """A view: stripped paragraphs between empty lines, empty ones left out."""
    from ultrakernels.newline_spans import newline_spans

    text = utf8(column)
    return _bare(text.data, *newline_spans(text.data, text.offsets[:-1], text.offsets[1:], 2))


def _bare(
    data: NDArray[np.uint8],
    doc: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
) -> Lines:
    from ultrakernels.strip_ends import strip_ends

    begin, end = strip_ends(
        data, begin, end, characters.table(), characters.leads(), characters.SPACE
    )
    filled = end > begin
    counts = np.zeros(len(doc), dtype=np.int64)
    np.cumsum(_sums(doc, filled), out=counts[1:])
    return Lines(data, counts, begin[filled], end[filled])


def line_marks(column: pa.Array) -> dict[str, NDArray[np.int64]]:
    """A view: lines, bullet lines, lines that end in an ellipsis, hash signs and ellipses."""
    from ultrakernels.line_marks import COLUMNS, line_marks

    text = utf8(column)
    marks = line_marks(
        text.data,
        text.offsets,
        characters.table(),
        characters.leads(),
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
            characters.leads(),
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


def _sums(doc: NDArray[np.int64], values: NDArray[Any]) -> NDArray[np.int64]:
    """Sums of a number per line over each document, int64[n_docs]."""
    total = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=total[1:])
    return total[doc[1:]] - total[doc[:-1]]
