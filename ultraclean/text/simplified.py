"""datatrove's `simplify_text`, by a kernel: its words are what its signatures are made of.

The table is made of datatrove's own patterns and Python's Unicode, so it follows what is installed.
A text with a character that depends on its neighbours (a final sigma, marks that can change
places) goes to datatrove's function itself.
"""

from __future__ import annotations

import functools
import itertools
import unicodedata
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ultraclean.text import characters

if TYPE_CHECKING:
    from ultrakernels.rewrite import Table

_NOBODYS: Final = frozenset({"Cn", "Co", "Cs"})


def simplified(
    data: NDArray[np.uint8], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(bytes, offsets int64[n_docs + 1]) of what `datatrove.utils.text.simplify_text` makes of texts."""
    from datatrove.utils.text import simplify_text  # type: ignore[import-untyped]
    from ultrakernels import rewrite

    out, ends, slow = rewrite.rewrite(data, offsets, table())
    if not slow.any():
        return out, ends
    pieces = [out[begin:end].tobytes() for begin, end in itertools.pairwise(ends)]
    for row in np.flatnonzero(slow):
        text = data[offsets[row] : offsets[row + 1]].tobytes().decode()
        pieces[row] = simplify_text(text).encode()
    ends = np.cumsum([0, *map(len, pieces)]).astype(np.int64)
    return np.frombuffer(b"".join(pieces) + b"\0", dtype=np.uint8), ends


@functools.cache
def table() -> Table:
    """What becomes of each code point."""
    from datatrove.utils.text import NUMBERS_PATTERN, PUNCTUATION_TRANS
    from ultrakernels import rewrite

    every = characters.every()
    digits = set("".join(found[0] for found in NUMBERS_PATTERN.finditer(every)))
    points = {char for char in NUMBERS_PATTERN.pattern if NUMBERS_PATTERN.fullmatch(f"0{char}0")}
    kinds = np.full(len(every), rewrite.COPY, dtype=np.uint8)
    replaced: dict[int, bytes] = {}
    for code, char in enumerate(every):
        if char in digits:
            kinds[code] = rewrite.DIGIT
            continue
        if unicodedata.category(char) in _NOBODYS:
            continue
        plain = char.lower().translate(PUNCTUATION_TRANS)
        apart = unicodedata.normalize("NFD", plain)
        left = "".join(one for one in apart if unicodedata.category(one) != "Mn")
        if plain.isspace():
            kinds[code] = rewrite.SPACE
        elif char == "Σ" or any(one.isspace() or unicodedata.combining(one) for one in left):
            kinds[code] = rewrite.SLOW
        elif left != char:
            replaced[code] = left.encode()
    kinds[[ord(char) for char in points - digits]] |= rewrite.POINT
    return rewrite.Table.of(kinds, replaced)
