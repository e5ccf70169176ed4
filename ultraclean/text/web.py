"""FineWeb's measures of lines (Penedo et al. 2024, arXiv 2406.17557, 3.6), as datatrove 0.10.1 takes them."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from ultraclean.document import Batch, n_chars
from ultraclean.text.lines import NonblankLines
from ultraclean.text.ratios import ratio
from ultraclean.text.words import WordSplitter, n_words


def measure(batch: Batch, words: WordSplitter, look: NonblankLines) -> dict[str, NDArray[Any]]:
    """A number per document for each measure; NaN where there is nothing to divide by."""
    lines = batch.view("text", look)
    chars = batch.view("text", n_chars) - lines.n_newlines
    return {
        "empty": lines.n_lines == 0,
        "ended_line_fraction": ratio(lines.n_ended, lines.n_lines),
        "short_line_fraction": ratio(lines.n_short, lines.n_lines),
        "repeated_line_char_fraction": ratio(lines.repeated_chars, chars),
        "newlines_per_word": ratio(lines.n_newlines, n_words(batch, words)),
    }
