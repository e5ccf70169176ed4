"""Lines, paragraphs or sentences of UTF-8 texts, each with the white space that follows it.

Pieces lie side by side and cover their text, so that leaving some out is a concatenation of the rest.

- A line ends with its newline.
- A paragraph ends before the first line that is not blank after one or more blank lines.
- A sentence ends at a newline; at a mark that ends sentences, with the closing quotes and brackets
  behind it, where white space follows and no small letter after that; and at a full-width such mark,
  which needs no white space. `Mr. Smith` is cut, `3.14`, `e.g. this` and `example.org` are not.
"""

from __future__ import annotations

import re
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.utf8 import decode

Pieces = tuple[NDArray[np.int64], NDArray[np.int64]]

LINE, PARAGRAPH, SENTENCE = 0, 1, 2
SPACE: Final = 1
END: Final = 2
WIDE_END: Final = 4
CLOSING: Final = 8
SMALL: Final = 16


def reference(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], table: NDArray[np.uint8], grain: int
) -> Pieces:
    """See `pieces`."""
    counts, begin = [0], []
    for first, last in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        text = data[first:last].tobytes().decode()
        at = first
        found = _REFERENCES[grain](text, table)
        for piece in found:
            begin.append(at)
            at += len(piece.encode())
        counts.append(len(found))
    return np.cumsum(counts).astype(np.int64), np.array([*begin, int(offsets[-1])], dtype=np.int64)


def _lines(text: str, table: NDArray[np.uint8]) -> list[str]:
    return re.findall("[^\n]*\n|[^\n]+", text)


def _paragraphs(text: str, table: NDArray[np.uint8]) -> list[str]:
    made: list[str] = []
    blank = seen = False
    for line in _lines(text, table):
        empty = all(table[ord(char)] & SPACE for char in line)
        if not made or (blank and seen and not empty):
            made.append("")
            seen = False
        made[-1] += line
        blank, seen = empty, seen or not empty
    return made


def _sentences(text: str, table: NDArray[np.uint8]) -> list[str]:
    kinds = [int(table[ord(char)]) for char in text]
    cuts = [0]
    for at in range(1, len(text)):
        if kinds[at] & SPACE:
            continue
        back = at
        while back > cuts[-1] and kinds[back - 1] & SPACE:
            back -= 1
        spaces = text[back:at]
        run = back
        while run > cuts[-1] and kinds[run - 1] & (END | WIDE_END | CLOSING):
            run -= 1
        marks = kinds[run:back]
        while marks and not marks[0] & (END | WIDE_END):
            del marks[0]
        if "\n" in spaces:
            cut = True
        elif spaces:
            cut = bool(marks) and not kinds[at] & SMALL
        else:
            mark = kinds[at] & (END | WIDE_END | CLOSING)
            cut = any(kind & WIDE_END for kind in marks) and not mark
        if cut:
            cuts.append(at)
    ends = [*cuts[1:], len(text)]
    return [text[start:stop] for start, stop in zip(cuts, ends, strict=True) if stop > start]


_REFERENCES = {LINE: _lines, PARAGRAPH: _paragraphs, SENTENCE: _sentences}


def pieces(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], table: NDArray[np.uint8], grain: int
) -> Pieces:
    """(doc int64[n_docs + 1], begin int64[n_pieces + 1]) of the texts data[offsets[i]:offsets[i + 1]].

    Document i has the pieces data[begin[j]:begin[j + 1]] for j from doc[i] to doc[i + 1]; an empty
    one has none. `table` has the classes of each code point: SPACE, END and so on.
    """
    none = np.empty(0, dtype=np.int64)
    doc = _cut(data, offsets, table, grain, none, False)
    begin = np.empty(doc[-1] + 1, dtype=np.int64)
    _cut(data, offsets, table, grain, begin, True)
    begin[-1] = offsets[-1]
    return doc, begin


@numba.njit(cache=True, nogil=True)
def _cut(  # noqa: PLR0915 (one walk over the bytes, three grains)
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint8],
    grain: int,
    begin: NDArray[np.int64],
    fill: bool,
) -> NDArray[np.int64]:
    doc = np.zeros(len(offsets), dtype=np.int64)
    n_pieces = 0
    for row in range(len(offsets) - 1):
        at, end = offsets[row], offsets[row + 1]
        if at < end:
            if fill:
                begin[n_pieces] = at
            n_pieces += 1
        # Sentences: 0 inside, 1 after an end, 2 after a wide end, 3 in white space after one, 4 after
        # a newline. Paragraphs: 0 no text yet, 1 text on this line, 2 a line begins, 3 after a blank.
        state = 0
        line = at
        while at < end:
            byte = data[np.uint64(at)]
            if byte < 0x80:
                code, size = np.int64(byte), 1
            else:
                code, size = decode(data, at, end)
            kind = table[np.uint64(code)]
            cut = np.int64(-1)
            if grain == 0:
                if state == 1:
                    cut = at
                state = 1 if code == 10 else 0
            elif grain == 1:
                if code == 10:
                    if state == 1:
                        state = 2
                    elif state == 2:
                        state = 3
                    line = at + size
                elif not kind & 1:
                    if state == 3:
                        cut = line
                    state = 1
            elif code == 10:
                state = 4
            elif kind & 1:
                if state == 1 or state == 2:  # noqa: PLR1714 (numba is quicker so)
                    state = 3
            else:
                if state == 4 or (state == 3 and not kind & 16):
                    cut = at
                    state = 0
                elif state == 3:
                    state = 0
                elif state == 2 and not kind & 14:
                    cut = at
                    state = 0
                elif state == 1 and not kind & 14:
                    state = 0
                if kind & 4:
                    state = 2
                elif kind & 2 and state != 2:
                    state = 1
            if cut > offsets[row]:
                if fill:
                    begin[n_pieces] = cut
                n_pieces += 1
            at += size
        doc[row + 1] = n_pieces
    return doc
