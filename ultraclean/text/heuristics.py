"""Shares of characters, words and lines as NeMo Curator's and data-juicer's heuristics count them.

Each function gives a number per document for each measure; NaN, which fails no rule, where there is
nothing to divide by (Curator takes such a text for bad, data-juicer's shares are 0).
"""

from __future__ import annotations

import functools
import re
import string
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ultraclean.document import Batch, texts
from ultraclean.text import characters
from ultraclean.text.buffers import utf8
from ultraclean.text.lines import bare_lines
from ultraclean.text.ratios import ratio
from ultraclean.text.words import whitespace_words

Measures = dict[str, NDArray[Any]]

BULLETS: Final = ("•", "‣", "⁃", "⁌", "⁍", "∙", "○", "●", "◘", "◦", "⦾", "⦿")
END_MARKS: Final = (".", "?", "!", '"', "'")
ELLIPSES: Final = ("...", "[...]", "…", "(...)", "[…]", "-»", "read more..", "read more")
REPEATED_CHARS: Final = 10

_URL: Final = re.compile(r"https?://(?:[A-Za-z0-9$_@.&+/:=?#~!*(),-]|%[0-9A-Fa-f]{2})+")
_HASHES: Final = re.compile("#+")
_LISTED_WORD: Final = re.compile(r"[^\W\d_](?:\S*[^\W\d_])?")
_PLAIN, _DIGIT, _SPACE, _PARENTHESIS, _ALPHANUMERIC, _SPECIAL = range(6)


@functools.cache
def table() -> NDArray[np.uint16]:
    """uint16[0x110000]: the classes of each code point."""
    classes = np.zeros(0x110000, dtype=np.uint16)
    for bit, chars in (
        (_PLAIN, string.ascii_letters + string.digits + "\n?!,."),
        (_DIGIT, string.digits),
        (_SPACE, "\t\n\r\b "),
        (_PARENTHESIS, "{}⟨⟩[]()"),
    ):
        classes[[ord(char) for char in chars]] |= np.uint16(1 << bit)
    classes[characters.alphanumeric()] |= np.uint16(1 << _ALPHANUMERIC)
    kinds = [unicodedata.category(chr(code))[0] for code in range(len(classes))]
    classes[~np.isin(kinds, ["L", "M"])] |= np.uint16(1 << _SPECIAL)
    classes.setflags(write=False)
    return classes


def of_characters(batch: Batch) -> Measures:
    """Shares of kinds of characters."""
    from ultrakernels.class_counts import CLASSES, class_counts

    text = utf8(batch["text"])
    counts = class_counts(text.data, text.offsets, table())
    n_chars = counts[:, CLASSES]
    return {
        "non_alphanumeric_fraction": ratio(n_chars - counts[:, _PLAIN], n_chars),
        "digit_fraction": ratio(counts[:, _DIGIT], n_chars),
        "white_space_fraction": ratio(counts[:, _SPACE], n_chars),
        "parenthesis_fraction": ratio(counts[:, _PARENTHESIS], n_chars),
        "alphanumeric_fraction": ratio(counts[:, _ALPHANUMERIC], n_chars),
        "special_fraction": ratio(counts[:, _SPECIAL], n_chars),
    }


def of_repeats(batch: Batch) -> Measures:
    """The share of the most frequent n-grams of characters."""
    from ultrakernels.char_ngrams import char_ngrams

    text = utf8(batch["text"])
    ngrams = char_ngrams(text.data, text.offsets, REPEATED_CHARS, 0)
    return {"repeated_char_fraction": ratio(ngrams[:, 3], ngrams[:, 0])}


def of_words(batch: Batch) -> Measures:
    """Lengths of the words between white space, and the share of those that are symbols."""
    words = batch.view("text", whitespace_words)
    longest = np.zeros(len(words.counts), dtype=np.int64)
    some = np.flatnonzero(words.counts)
    if len(some):
        longest[some] = np.maximum.reduceat(words.n_chars, words.doc[some])
    symbols = [_n_symbols(text) for text in batch.view("text", texts)]
    return {
        "longest_word_chars": longest,
        "mean_word_chars": ratio(words.per_doc(words.n_chars.astype(np.int64)), words.counts),
        "symbol_word_fraction": ratio(np.array(symbols, dtype=np.int64), words.counts),
    }


def _n_symbols(text: str) -> int:
    """Words that are an ellipsis, or of which more than half are runs of hash signs."""
    if "#" not in text and not any(mark in text for mark in ELLIPSES):
        return 0
    return sum(
        word in ELLIPSES or 2 * len(_HASHES.findall(word)) > len(word) for word in text.split()
    )


def of_lines(batch: Batch) -> Measures:
    """Lengths of lines, and shares of lines by their first and last marks, blank ones left out."""
    from ultrakernels.line_sizes import line_sizes

    text = utf8(batch["text"])
    every = line_sizes(text.data, text.offsets, True)
    plain = line_sizes(text.data, text.offsets, False)
    lines = batch.view("text", lower_lines)
    n_lines = np.diff(lines.doc)
    n_chars = batch.view("text", _n_chars)
    return {
        "mean_line_chars": ratio(n_chars, every[:, 0]),
        "longest_line_chars": every[:, 1],
        "third_line_chars": plain[:, 2],
        "bullet_line_fraction": ratio(lines.n_starting(*BULLETS), n_lines),
        "unended_line_fraction": ratio(n_lines - lines.n_ending(*END_MARKS), n_lines),
        "ellipsis_line_fraction": ratio(lines.n_ending(*ELLIPSES), n_lines),
    }


def lower_lines(column: pa.Array) -> Any:
    """A view: stripped lines in lower case, empty ones left out."""
    return bare_lines(pa.array([text.lower() for text in texts(column)], pa.large_string()))


def _n_chars(column: pa.Array) -> NDArray[np.int64]:
    """A view: code points, int64[n_docs]."""
    return np.array([len(text) for text in texts(column)], dtype=np.int64)


def of_phrases(batch: Batch, boilerplate: Sequence[str], url_words: Sequence[str]) -> Measures:
    """URLs in the text, and the share of paragraphs with a phrase; `lorem ipsum` makes it 1."""
    rows = batch.view("text", texts)
    urls = [_URL.findall(text) if "http" in text else [] for text in rows]
    phrases = re.compile("|".join(map(re.escape, boilerplate)) or "(?!)")
    with_phrase = [_n_paragraphs_with(phrases, text.lower()) for text in rows]
    n_paragraphs = np.array([text.count("\n\n") + 1 for text in rows], dtype=np.int64)
    return {
        "n_urls": np.array([len(found) for found in urls], dtype=np.int64),
        "url_fraction": ratio(
            np.array([sum(map(len, found)) for found in urls]), batch.view("text", _n_chars)
        ),
        "url_word": np.array(
            [any(word in url for url in found for word in url_words) for found in urls],
            dtype=np.int64,
        ),
        "boilerplate_fraction": np.where(
            np.array(with_phrase) < 0, 1.0, np.array(with_phrase) / n_paragraphs
        ),
    }


def _n_paragraphs_with(phrases: re.Pattern[str], text: str) -> int:
    """Paragraphs between blank lines that have one of the phrases; -1 with `lorem ipsum`."""
    if "lorem ipsum" in text:
        return -1
    if not phrases.search(text):
        return 0
    return sum(bool(phrases.search(paragraph)) for paragraph in text.split("\n\n"))


def listed_fraction(rows: Sequence[str], lists: Sequence[frozenset[str] | None]) -> NDArray[Any]:
    """Share of each text's words, without marks and digits at their ends, that its list has.

    float64[n_docs]; NaN where there is no list, or no word.
    """
    found = np.full(len(rows), np.nan)
    for row, (text, listed) in enumerate(zip(rows, lists, strict=True)):
        words = _LISTED_WORD.findall(text.lower()) if listed is not None else []
        if words and listed is not None:
            found[row] = sum(word in listed for word in words) / len(words)
    return found
