"""Gopher's measures of prose (Rae et al. 2021, A1.1), in three published readings.

Each function gives a number per document for each measure; NaN, which fails no rule, where there is
nothing to divide by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ultraclean.document import Batch, texts
from ultraclean.text import characters
from ultraclean.text.lines import bare_lines, line_marks, plain_lines
from ultraclean.text.ratios import ratio
from ultraclean.text.words import (
    WordList,
    Words,
    n_listed,
    n_plain_words,
    whitespace_words,
)

Measures = dict[str, NDArray[Any]]
Split = Callable[[pa.Array], Words]

DCLM_SYMBOLS: Final = ("#", "...", ". . .", "…")


def datatrove(batch: Batch, split: Split, stop_words: WordList) -> Measures:
    """As datatrove 0.10.1: words of punctuation alone do not count for number and length of words."""
    words = batch.view("text", split)
    lines = batch.view("text", line_marks)
    n_words, n_chars = words.totals(characters.NOT_PUNCTUATION)
    return {
        "n_words": n_words,
        "mean_word_chars": ratio(n_chars, n_words),
        "hash_fraction": ratio(lines["n_hashes"], words.counts),
        "ellipsis_fraction": ratio(lines["n_ellipses"], words.counts),
        "bullet_line_fraction": ratio(lines["n_bullet_lines"], lines["n_lines"]),
        "ellipsis_line_fraction": ratio(lines["n_ellipsis_lines"], lines["n_lines"]),
        "alphabetic_word_fraction": _alphabetic(words),
        "n_stop_words": n_listed(words, stop_words),
    }


def dclm(batch: Batch, split: Split, stop_words: WordList) -> Measures:
    """As the filters of DCLM-Baseline: words counted are those that begin with a letter or digit.

    All words count for their mean length; hash signs and three spellings of an ellipsis are one
    measure; stop words count in any case and as often as they occur; blank lines are no lines.
    """
    words = batch.view("text", split)
    lines = batch.view("text", bare_lines)
    column = pc.fill_null(batch["text"].cast(pa.large_string()), "")
    n_symbols = sum(pc.count_substring(column, symbol).to_numpy() for symbol in DCLM_SYMBOLS)
    n_lines = np.diff(lines.doc)
    return {
        "n_words": batch.view("text", n_plain_words),
        "empty": words.counts == 0,
        "mean_word_chars": ratio(words.per_doc(words.n_chars.astype(np.int64)), words.counts),
        "symbol_fraction": ratio(n_symbols, words.counts),
        "bullet_line_fraction": ratio(lines.n_starting("●", "•", "*", "-"), n_lines),
        "ellipsis_line_fraction": ratio(lines.n_ending("...", ". . .", "…"), n_lines),
        "alphabetic_word_fraction": _alphabetic(words),
        "n_stop_words": n_listed(batch.view("text", _lower_words), stop_words, repeats=True),
    }


def dolma(batch: Batch, split: Split, stop_words: WordList) -> Measures:
    """As dolma's tagger gopher_v1: median length, words with a symbol, lines between newlines.

    A bullet is `*` or `-`, an ellipsis `…`, at the very edge of a line; blank lines are lines. Shares
    of no words are 0.
    """
    words = batch.view("text", split)
    n_words = np.maximum(words.counts, 1)
    lines = batch.view("text", plain_lines)
    n_lines = np.diff(lines.doc)
    return {
        "n_words": words.counts,
        "median_word_chars": words.median_chars(),
        "symbol_fraction": _n_with_symbols(words) / n_words,
        "bullet_line_fraction": ratio(lines.n_starting("*", "-"), n_lines),
        "ellipsis_line_fraction": ratio(lines.n_ending("…"), n_lines),
        "alphabetic_word_fraction": words.totals(characters.ALPHA)[0] / n_words,
        "n_stop_words": n_listed(words, stop_words, repeats=True),
    }


DIALECTS: Final[dict[str, Callable[[Batch, Split, WordList], Measures]]] = {
    "datatrove": datatrove,
    "dclm": dclm,
    "dolma": dolma,
}


def _alphabetic(words: Words) -> NDArray[np.float64]:
    return ratio(words.totals(characters.ALPHA)[0], words.counts)


def _n_with_symbols(words: Words) -> NDArray[np.int64]:
    from ultrakernels.measure_words import measure_words

    table = characters.marked("#…")
    classes = measure_words(words.joined, words.begin, words.n_bytes, table)[2]
    return words.per_doc(((classes & characters.MARKED) != 0).astype(np.int64))


def _lower_words(column: pa.Array) -> Words:
    """Python's lower case, since Arrow's differs where a character becomes two."""
    lower = [text.lower() for text in texts(column)]
    return whitespace_words(pa.array(lower, pa.large_string()))
