"""The tables with which kernels bring text into the form that a classifier reads.

Made once per process, of the very Python functions that `classifier.normalise` calls, so that both
agree whatever version of Unicode Python has.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ultraclean.text import characters

FINAL_SIGMA: Final = "\u03a3"
"""The only letter whose lower case depends on its place in the word."""
_PAGE: Final = 256
_NOT_FASTTEXT: Final = "\x85\u1680\u2028\u2029"
"""Beside U+001C to U+001F, what Python strips, fastText does not split at, and NFKD leaves."""


@dataclass(frozen=True, eq=False)
class Forms:
    """See `ultrakernels.plain_text.plain`."""

    pages: NDArray[np.int64]
    forms: NDArray[np.int32]
    pool: NDArray[np.uint8]


def form(char: str) -> str:
    """Lower case, NFKD, without category Mn: of one character by itself."""
    decomposed = unicodedata.normalize("NFKD", char.lower())
    return "".join(one for one in decomposed if unicodedata.category(one) != "Mn")


@functools.cache
def forms() -> Forms:
    from ultrakernels.plain_text import BLANK, ODD, SAME

    pages = np.zeros(0x110000 // _PAGE, dtype=np.int64)
    rows = [np.full(_PAGE, SAME, dtype=np.int32)]
    pool = bytearray()
    for page in range(len(pages)):
        codes = range(page * _PAGE, page * _PAGE + _PAGE)
        if 0xD800 <= codes[0] < 0xE000 or _unchanged("".join(map(chr, codes))):
            continue
        row = np.full(_PAGE, SAME, dtype=np.int32)
        for place, code in enumerate(codes):
            char = chr(code)
            made = form(char)
            if char == FINAL_SIGMA or _moves(char):
                row[place] = ODD
            elif char in _NOT_FASTTEXT:
                row[place] = BLANK
            elif made != char:
                encoded = made.encode()
                row[place] = len(pool) << 8 | len(encoded)
                pool += encoded
        pages[page] = len(rows)
        rows.append(row)
    return Forms(pages, np.array(rows), np.frombuffer(bytes(pool), dtype=np.uint8))


def _unchanged(block: str) -> bool:
    return (
        block.lower() == block
        and unicodedata.normalize("NFKD", block) == block
        and not any(map(unicodedata.combining, block))
        and not any(unicodedata.category(char) == "Mn" for char in block)
        and not any(char in block for char in _NOT_FASTTEXT)
    )


def _moves(char: str) -> bool:
    """Whether NFKD may move the character, or a part of it that stays, past a neighbour."""
    decomposed = unicodedata.normalize("NFKD", char.lower())
    return any(
        unicodedata.combining(one) and unicodedata.category(one) != "Mn" for one in decomposed
    )


@functools.cache
def word_kinds() -> NDArray[np.uint8]:
    """Kind of each code point for `ultrakernels.plain_text.cut_words`, uint8[0x110000]."""
    from ultrakernels import plain_text as kernel

    from ultraclean.text.classifier import CJK

    everything = characters.every()
    kinds = np.full(len(everything), kernel.ALONE, dtype=np.uint8)
    for kind, pattern in ((kernel.WORD, f"[^\\W_{CJK}]+"), (kernel.SPACE, r"\s+")):
        for found in re.finditer(pattern, everything):
            kinds[found.start() : found.end()] = kind
    for char, kind in (("\n", kernel.NEWLINE), ("\r", kernel.RETURN), ("\t", kernel.TAB)):
        kinds[ord(char)] = kind
    return kinds
