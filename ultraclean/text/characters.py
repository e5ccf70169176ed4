"""Classes of code points, as one table that kernels look up.

White space, letters and line breaks are what Python's `str` methods say, so that a kernel and
`str.split`, `str.isalpha` and `str.splitlines` agree on every code point of this Python's Unicode.
Punctuation is the set that datatrove's filters use (datatrove 0.10.1, `utils/text.py`): sentence
terminators of all scripts, ASCII and some Chinese and typographic marks, and control characters.
A test compares it with theirs.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

SPACE: Final = 1
ALPHA: Final = 2
PUNCTUATION: Final = 4
LINE_BREAK: Final = 8
NOT_PUNCTUATION: Final = 16
MARKED: Final = 32
"""A class that a stage gives meaning to, with `marked`."""


def _ranges(text: str) -> frozenset[str]:
    codes: list[int] = []
    for item in text.split():
        first, _, last = item.partition("-")
        codes.extend(range(int(first, 16), int(last or first, 16) + 1))
    return frozenset(map(chr, codes))


TERMINAL: Final = _ranges("""
    21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E
    1735-1736 17D4-17D6 17D9-17DA 1803 1809 1944-1945 1AA8-1AAB 1B5A-1B5B 1B5E-1B5F 1B7D-1B7E
    1C3B-1C3C 1C7E-1C7F 203C-203D 2047-2049 2E2E 2E3C 2E53-2E54 3002 A4FF A60E-A60F A6F3 A6F7
    A876-A877 A8CE-A8CF A92F A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB FE52 FE56-FE57 FF01 FF0E FF1F FF61
    10A56-10A57 10F55-10F59 10F86-10F89 11047-11048 110BE-110C1 11141-11143 111C5-111C6 111CD
    111DE-111DF 11238-11239 1123B-1123C 112A9 1144B-1144C 115C2-115C3 115C9-115D7 11641-11642
    1173C-1173E 11944 11946 11A42-11A43 11A9B-11A9C 11C41-11C42 11EF7-11EF8 11F43-11F44
    16A6E-16A6F 16AF5 16B37-16B38 16B44 16E98 1BC9F 1DA88
""")
"""Code points that end a sentence, in any script."""

PUNCTUATION_MARKS: Final = TERMINAL | _ranges("""
    0-8 B-1F 22-2D 2F 3A-3E 40 5B-60 7B-9F AB B4 BB 2013-2014 2019 201C-201E 2026 2236 2501 25BA
    3001 3008-300D 3010-3011 FF05 FF08-FF09 FF0C FF11 FF1A-FF1B FF5E
""")
"""What a word may consist of without counting as a word."""


def every() -> str:
    """All code points in their order, surrogates too."""
    codes = np.arange(sys.maxunicode + 1, dtype="<u4")
    return codes.tobytes().decode("utf-32-le", "surrogatepass")


def those(expression: str, test: Callable[[str], bool]) -> NDArray[np.bool_]:
    """bool[0x110000]: the code points of which `test`, a method of `str`, is true.

    The regular expression finds runs of code points among which all of them are: asking a method for
    every code point takes a third of a second, in each process.
    """
    found = np.zeros(sys.maxunicode + 1, dtype=np.bool_)
    for match in re.finditer(expression, every()):
        run = match.group()
        found[match.start() : match.end()] = test(run) or [test(char) for char in run]
    return found


@functools.cache
def table() -> NDArray[np.uint8]:
    """uint8[0x110000]: the classes of each code point."""
    classes = np.full(sys.maxunicode + 1, NOT_PUNCTUATION, dtype=np.uint8)
    classes[[ord(char) for char in PUNCTUATION_MARKS]] = PUNCTUATION
    classes[those(r"\s+", str.isspace)] |= SPACE
    classes[those(r"\w+", str.isalpha)] |= ALPHA
    # Only white space breaks lines, so only white space need be tried.
    breaks = [
        code for code in np.flatnonzero(classes & SPACE) if len(f"a{chr(code)}b".splitlines()) > 1
    ]
    classes[breaks] |= LINE_BREAK
    classes.setflags(write=False)
    return classes


def leads_of(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8[256]: the union of the classes of the code points whose UTF-8 begins with each byte.

    Nine in ten bytes are no white space and begin none, so kernels need not decode what follows.
    """
    leads = np.zeros(256, dtype=np.uint8)
    leads[:0x80] = classes[:0x80]
    for first, last, n_bits, least in (
        (0xC0, 0xE0, 6, 0x80),
        (0xE0, 0xF0, 12, 0x800),
        (0xF0, 0xF5, 18, 0x10000),
    ):
        for lead in range(first, last):
            begin = (lead - first) << n_bits
            codes = classes[max(begin, least) : begin + (1 << n_bits)]
            leads[lead] = np.bitwise_or.reduce(codes, initial=0)
    return leads


@functools.cache
def leads() -> NDArray[np.uint8]:
    """`leads_of` the table."""
    found = leads_of(table())
    found.setflags(write=False)
    return found


@functools.cache
def _marked(chars: frozenset[str]) -> NDArray[np.uint8]:
    classes = table().copy()
    classes[[ord(char) for char in chars]] |= MARKED
    classes.setflags(write=False)
    return classes


def marked(chars: Iterable[str]) -> NDArray[np.uint8]:
    """The table with the bit `MARKED` on the given characters."""
    return _marked(frozenset(chars))


@functools.cache
def alphanumeric() -> NDArray[np.bool_]:
    """bool[0x110000]: what `str.isalnum` says of each code point."""
    found = those(r"\w+", str.isalnum)
    found.setflags(write=False)
    return found
