"""Texts rewritten code point by code point from a table, numbers as one 0, white space as one space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.utf8 import decode

COPY: Final = 0
REPLACE: Final = 1
"""By what the table has for it, which may be nothing."""
SPACE: Final = 2
DIGIT: Final = 3
SLOW: Final = 4
"""What it becomes depends on more than itself: its text is not rewritten here."""
POINT: Final = 128
"""Flag: between digits, part of the number."""


@dataclass(frozen=True, eq=False)
class Table:
    """kinds uint8[0x110000]; code point c becomes pool[begin[c]:begin[c] + size[c]] where it is REPLACE."""

    kinds: NDArray[np.uint8]
    begin: NDArray[np.int32]
    size: NDArray[np.uint8]
    pool: NDArray[np.uint8]
    growth: int
    """Bytes that one byte becomes, at most."""

    @classmethod
    def of(cls, kinds: NDArray[np.uint8], replaced: dict[int, bytes]) -> Self:
        begin, size = np.zeros(len(kinds), dtype=np.int32), np.zeros(len(kinds), dtype=np.uint8)
        pool = bytearray()
        growth = 1
        for code, content in replaced.items():
            begin[code], size[code] = len(pool), len(content)
            pool += content
            growth = max(growth, -(-len(content) // len(chr(code).encode())))
        kinds = kinds.copy()
        kinds[list(replaced)] = REPLACE | (kinds[list(replaced)] & POINT)
        return cls(kinds, begin, size, np.frombuffer(bytes(pool) + b"\0", dtype=np.uint8), growth)


def reference(texts: Sequence[str], table: Table) -> list[str | None]:
    """See `rewrite`: the rewritten texts, None for those that hold a SLOW code point."""
    return [_rewritten(text, table) for text in texts]


def _rewritten(text: str, table: Table) -> str | None:
    kinds = [int(table.kinds[ord(char)]) for char in text]
    if SLOW in kinds:
        return None
    out: list[str] = []
    spaced, at = True, 0
    while at < len(text):
        kind = kinds[at] & ~POINT
        at += 1
        if kind == DIGIT:
            at = _digits(kinds, at)
            if kinds[at : at + 1] and kinds[at] & POINT and kinds[at + 1 : at + 2] == [DIGIT]:
                at = _digits(kinds, at + 1)
        if kind == SPACE:
            out += [] if spaced else [" "]
            spaced = True
            continue
        spaced = False
        code = ord(text[at - 1])
        content = table.pool[table.begin[code] : table.begin[code] + table.size[code]]
        new = {COPY: text[at - 1], DIGIT: "0", REPLACE: content.tobytes().decode()}[kind]
        out.append(new)
    return "".join(out).strip(" ")


def _digits(kinds: list[int], at: int) -> int:
    while at < len(kinds) and kinds[at] == DIGIT:
        at += 1
    return at


def rewrite(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], table: Table
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
    """(bytes, offsets int64[n_docs + 1], slow bool[n_docs]): of texts with SLOW code points nothing.

    A number is DIGITs, and if a POINT and more DIGITs follow, these too. Spaces at the ends go.
    """
    out = np.empty(int(offsets[-1] - offsets[0]) * table.growth, dtype=np.uint8)
    ends = np.zeros(len(offsets), dtype=np.int64)
    slow = np.zeros(len(offsets) - 1, dtype=np.bool_)
    _rewrite(data, offsets, table.kinds, table.begin, table.size, table.pool, out, ends, slow)
    return out[: ends[-1]], ends, slow


@numba.njit(cache=True, nogil=True)
def _after_digits(data: Any, kinds: Any, at: int, end: int) -> int:
    while at < end:
        code, size = decode(data, at, end)
        if kinds[np.uint64(code)] != DIGIT:
            break
        at += size
    return at


@numba.njit(cache=True, nogil=True)
def _rewrite(
    data: Any,
    offsets: Any,
    kinds: Any,
    begin: Any,
    sizes: Any,
    pool: Any,
    out: Any,
    ends: Any,
    slow: Any,
) -> None:
    put = 0
    for row in range(len(offsets) - 1):
        at, end, first = offsets[row], offsets[row + 1], put
        spaced = True
        while at < end:
            byte = data[np.uint64(at)]
            if byte < 0x80:
                code, size = np.int64(byte), 1
            else:
                code, size = decode(data, at, end)
            kind = kinds[np.uint64(code)] & np.uint8(127)
            if kind == SPACE:
                at += size
                if not spaced and put > first:
                    out[np.uint64(put)] = 32
                    put += 1
                spaced = True
                continue
            spaced = False
            if kind == COPY:
                out[np.uint64(put)] = byte
                for k in range(1, size):
                    out[np.uint64(put + k)] = data[np.uint64(at + k)]
                put += size
                at += size
            elif kind == REPLACE:
                at += size
                source, n_bytes = begin[code], sizes[code]
                for k in range(n_bytes):
                    out[np.uint64(put + k)] = pool[np.uint64(source + k)]
                put += n_bytes
            elif kind == DIGIT:
                at = _after_digits(data, kinds, at + size, end)
                if at < end:
                    code, size = decode(data, at, end)
                    if kinds[np.uint64(code)] & np.uint8(POINT):
                        more = _after_digits(data, kinds, at + size, end)
                        if more > at + size:
                            at = more
                out[np.uint64(put)] = 48
                put += 1
            else:
                slow[row] = True
                put = first
                break
        while put > first and out[put - 1] == 32:
            put -= 1
        ends[row + 1] = put
