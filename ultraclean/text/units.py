"""A column as sequences of what a length is counted in: bytes, words or a tokenizer's tokens."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ultraclean.document import texts
from ultraclean.text import characters
from ultraclean.text.buffers import utf8

Unit = Literal["words", "bytes", "tokens"]


@dataclass(frozen=True, eq=False)
class Units:
    """Document i is ids[doc[i]:doc[i + 1]]; equal units have equal ids."""

    ids: NDArray[np.uint64]
    doc: NDArray[np.int64]


class Bytes:
    """UTF-8 bytes."""

    def units(self, column: pa.Array) -> Units:
        text = utf8(column)
        first, last = int(text.offsets[0]), int(text.offsets[-1])
        return Units(text.data[first:last].astype(np.uint64), text.offsets - first)

    def spans(self, text: str, runs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Runs of units as spans of code points: the whole characters inside."""
        content = np.frombuffer(text.encode() + b"\0", dtype=np.uint8)
        begins = np.append(0, np.cumsum((content & 0xC0) != 0x80))  # characters that begin before
        return [
            (int(begins[start]), int(begins[stop + 1]) - 1)
            for start, stop in runs
            if begins[stop + 1] - 1 > begins[start]
        ]


class Words:
    """Runs of letters and digits, and every other visible character by itself.

    A character of a script without spaces is by itself, too; white space makes no difference.
    """

    def units(self, column: pa.Array) -> Units:
        from ultrakernels.span_hashes import span_hashes

        text = utf8(column)
        doc, begin, end = _word_spans(text.data, text.offsets)
        return Units(np.ascontiguousarray(span_hashes(text.data, begin, end)[:, 0]), doc)

    def spans(self, text: str, runs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Runs of units as spans of code points, with the white space behind them."""
        column = utf8(pa.array([text], pa.large_string()))
        _, begin, _ = _word_spans(column.data, column.offsets)
        content = column.data[: column.offsets[-1]]
        begins = np.append(0, np.cumsum((content & 0xC0) != 0x80))
        bounds = np.append(begins[begin], len(text))
        return [(int(bounds[start]), int(bounds[stop])) for start, stop in runs]


class Tokens:
    """Tokens of a tokenizer.json."""

    def __init__(self, content: str) -> None:
        from tokenizers import Tokenizer

        self._tokenizer: Any = Tokenizer.from_str(content)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def units(self, column: pa.Array) -> Units:
        found = self._tokenizer.encode_batch_fast(texts(column), add_special_tokens=False)
        ids = [np.array(encoding.ids, dtype=np.uint64) for encoding in found]
        doc = np.cumsum([0, *map(len, ids)]).astype(np.int64)
        return Units(np.concatenate([*ids, np.zeros(0, dtype=np.uint64)]), doc)

    def spans(self, text: str, runs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Runs of units as spans of code points."""
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets
        found = [(offsets[start][0], offsets[stop - 1][1]) for start, stop in runs]
        return [(start, stop) for start, stop in found if stop > start]


Splitter = Bytes | Words | Tokens


def _word_spans(
    data: NDArray[np.uint8], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    from ultrakernels.unit_spans import unit_spans

    return unit_spans(data, offsets, _kinds())


@functools.cache
def _kinds() -> NDArray[np.uint8]:
    """uint8[0x110000]: 0 white space, 1 part of a word, 2 a word by itself."""
    from ultrakernels.shingles import ALONE

    table = characters.table()
    kinds = np.full(len(table), 2, dtype=np.uint8)
    kinds[(table & characters.ALPHA) > 0] = 1
    word = [c for c in range(len(table)) if unicodedata.category(chr(c))[0] in "MN"]
    kinds[word] = 1
    for first, last in ALONE:
        kinds[first : last + 1] = 2
    kinds[(table & characters.SPACE) > 0] = 0
    kinds.setflags(write=False)
    return kinds
