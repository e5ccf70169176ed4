"""Gopher's measures of repetition (Rae et al. 2021, table A1), in three published readings.

Each function gives float64[n_docs] per measure. A measure that a text has not (it has no lines, or
fewer words than n) is NaN or 0, which fails no rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ultraclean.document import Batch, n_chars
from ultraclean.text.lines import (
    bare_lines,
    bare_paragraphs,
    plain_lines,
    repeated_lines,
    repeated_paragraphs,
)
from ultraclean.text.ratios import ratio
from ultraclean.text.words import Words

TOP_SIZES: Final = (2, 3, 4)
REPEATED_SIZES: Final = (5, 6, 7, 8, 9, 10)

Measures = dict[str, NDArray[Any]]
Split = Callable[[pa.Array], Words]


def datatrove(batch: Batch, split: Split) -> Measures:
    """As datatrove 0.10.1: occurrences beyond the first, of all characters of the raw text.

    The most frequent n-gram has its spaces; repeated n-grams are compared without, and after one
    the scan jumps over its words.
    """
    from ultrakernels.duplicate_ngrams import duplicate_ngrams
    from ultrakernels.top_ngrams import top_ngrams

    chars = batch.view("text", n_chars)
    paragraphs = batch.view("text", repeated_paragraphs)
    lines = batch.view("text", repeated_lines)
    tokens = _tokens(batch.view("text", split))
    return {
        "empty": chars == 0,
        "repeated_paragraph_fraction": ratio(paragraphs.n_repeated, paragraphs.n_pieces),
        "repeated_paragraph_char_fraction": ratio(paragraphs.repeated_chars, chars),
        "repeated_line_fraction": ratio(lines.n_repeated, lines.n_pieces),
        "repeated_line_char_fraction": ratio(lines.repeated_chars, chars),
    } | _by_size(
        [ratio(column, chars) for column in top_ngrams(*tokens, TOP_SIZES[-1]).T],
        [
            ratio(column, chars)
            for column in duplicate_ngrams(*tokens, np.array(REPEATED_SIZES, dtype=np.int64)).T
        ],
    )


def dclm(batch: Batch, split: Split) -> Measures:
    """As DCLM: all occurrences of what occurs twice, of the characters of lines or of words.

    Lines and paragraphs are stripped, empty ones do not exist; of equally frequent n-grams the
    longest counts, and only if it occurs twice; a word in several repeated n-grams counts once.
    """
    lines = batch.view("text", bare_lines)
    paragraphs = batch.view("text", bare_paragraphs)
    line, paragraph = lines.repeats(), paragraphs.repeats()
    words = batch.view("text", split)
    ngrams = _repeated(words)
    chars = words.per_doc(words.n_chars.astype(np.int64))
    again = ngrams[:, :, 3] > 0
    return {
        "empty": line.n_pieces == 0,
        "repeated_paragraph_fraction": ratio(paragraph.n_repeated, paragraph.n_pieces),
        "repeated_paragraph_char_fraction": ratio(paragraph.repeated_chars, paragraphs.n_chars()),
        "repeated_line_fraction": ratio(line.n_repeated, line.n_pieces),
        "repeated_line_char_fraction": ratio(line.repeated_chars, lines.n_chars()),
    } | _by_size(
        [ratio(ngrams[:, n - 2, 1] * again[:, n - 2], chars) for n in TOP_SIZES],
        [ratio(ngrams[:, n - 2, 2], chars) for n in REPEATED_SIZES],
    )


def dolma(batch: Batch, split: Split) -> Measures:
    """As dolma's tagger gopher_v1: all occurrences, of the characters that are no white space.

    Blank lines are lines, so they repeat each other; of equally frequent n-grams the first counts,
    even if it occurs once; repeated n-grams are a share of all n-grams. There are no paragraphs.
    """
    line = batch.view("text", plain_lines).repeats()
    words = batch.view("text", split)
    ngrams = _repeated(words)
    empty = batch.view("text", n_chars) == 0
    chars = np.maximum(words.per_doc(words.n_chars.astype(np.int64)), 1)
    return {
        "repeated_line_fraction": np.where(empty, 0.0, ratio(line.n_repeated, line.n_pieces)),
        "repeated_line_char_fraction": ratio(line.repeated_chars, chars),
    } | _by_size(
        [ratio(ngrams[:, n - 2, 0], chars) for n in TOP_SIZES],
        [ratio(ngrams[:, n - 2, 3], ngrams[:, n - 2, 4]) for n in REPEATED_SIZES],
    )


DIALECTS: Final[dict[str, Callable[[Batch, Split], Measures]]] = {
    "datatrove": datatrove,
    "dclm": dclm,
    "dolma": dolma,
}


def _tokens(words: Words) -> tuple[Any, Any, Any, Any, Any, Any]:
    return (words.joined, words.begin, words.n_bytes, words.n_chars, words.hashes, words.doc)


def _repeated(words: Words) -> NDArray[np.int64]:
    from ultrakernels.repeated_ngrams import repeated_ngrams

    return np.asarray(repeated_ngrams(*_tokens(words), REPEATED_SIZES[-1]))


def _by_size(top: list[NDArray[Any]], repeated: list[NDArray[Any]]) -> Measures:
    return {
        **{f"top_{n}gram_fraction": share for n, share in zip(TOP_SIZES, top, strict=True)},
        **{
            f"repeated_{n}gram_fraction": share
            for n, share in zip(REPEATED_SIZES, repeated, strict=True)
        },
    }
