"""What rules for Chinese text measure: characters and lines, since there are no words between spaces.

Each function gives a number per document for each measure; NaN, which fails no rule, where there is
nothing to divide by. Characters are code points.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ultraclean.document import Batch, texts
from ultraclean.text import characters
from ultraclean.text.buffers import of_strings, utf8
from ultraclean.text.ratios import ratio

HAN: Final = range(0x4E00, 0x9FA6)
"""What ChineseWebText counts as Chinese: the unified characters of Unicode 1.1."""

_HAN, _TRADITIONAL, _ALPHANUMERIC, _NEWLINE = range(4)


@functools.cache
def table() -> NDArray[np.uint16]:
    """uint16[0x110000]: the classes of each code point."""
    classes = np.zeros(0x110000, dtype=np.uint16)
    classes[HAN.start : HAN.stop] |= np.uint16(1 << _HAN)
    classes[[code for code in HAN if _is_traditional(chr(code))]] |= np.uint16(1 << _TRADITIONAL)
    classes[characters.alphanumeric()] |= np.uint16(1 << _ALPHANUMERIC)
    classes[ord("\n")] |= np.uint16(1 << _NEWLINE)
    classes.setflags(write=False)
    return classes


def _is_traditional(char: str) -> bool:
    """In Big5, Taiwan's character set, and not in GB 2312, the mainland's."""
    return _encodes(char, "big5") and not _encodes(char, "gb2312")


def _encodes(char: str, charset: str) -> bool:
    try:
        char.encode(charset)
    except UnicodeEncodeError:
        return False
    return True


def measure(batch: Batch) -> dict[str, NDArray[Any]]:
    """Counts and shares of characters and lines."""
    from ultrakernels.class_counts import CLASSES, class_counts

    text = utf8(batch["text"])
    counts = class_counts(text.data, text.offsets, table())
    n_chars, n_han, n_lines = counts[:, CLASSES], counts[:, _HAN], counts[:, _NEWLINE] + 1
    return {
        "n_chars": n_chars,
        "n_lines": n_lines,
        "mean_line_chars": n_chars / n_lines,
        "n_han_chars": n_han,
        "han_fraction": ratio(n_han, n_chars),
        "traditional_fraction": ratio(counts[:, _TRADITIONAL], n_han),
        "alphanumeric_fraction": ratio(counts[:, _ALPHANUMERIC], n_chars),
    }


def repeated_ngrams(batch: Batch, n: int) -> NDArray[np.float64]:
    """Share of n-grams that occur twice or more, as ChineseWebText: the last one is left out."""
    from ultrakernels.char_ngrams import char_ngrams

    bare = batch.view("text", squeezed)
    found = char_ngrams(bare.data, bare.offsets, n, 1)
    return ratio(found[:, 2], found[:, 0])


def top_ngrams(batch: Batch, n: int) -> NDArray[np.float64]:
    """Share of the most frequent n-grams, as data-juicer."""
    from ultrakernels.char_ngrams import char_ngrams

    text = utf8(batch["text"])
    found = char_ngrams(text.data, text.offsets, n, 0)
    return ratio(found[:, 3], found[:, 0])


def squeezed(column: pa.Array) -> Any:
    """A view: texts in lower case without spaces, tabs and newlines."""
    gone = str.maketrans("", "", " \n\t")
    return of_strings([text.strip().lower().translate(gone) for text in texts(column)])


def by_first(words: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """The words by their first character, so that few of them are looked for in a text."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for word in words:
        found[word[0]].add(word)
    return {char: tuple(sorted(mine)) for char, mine in found.items()}


def n_listed(rows: list[str], words: Mapping[str, tuple[str, ...]]) -> NDArray[np.int64]:
    """How many of the words each text has somewhere, each once, int64[n_docs]."""
    return np.array(
        [
            sum(word in text for char in words.keys() & set(text) for word in words[char])
            for text in rows
        ],
        dtype=np.int64,
    )
