"""How many sentences a line has, by one of two rules.

`punctuation`: a word whose last character, closing quotes and brackets aside, ends sentences in
some script ends one here; what follows the last one is a sentence too. No package needed.
`spacy`: spaCy's sentencizer over its English tokens, which is what datatrove counts (0.3 and
later): it knows `Mr.` and `U.S.`, and sees ends inside a word (`end.Next`). C4 itself used NLTK's
Punkt model, which neither reproduces.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from ultraclean.text.characters import TERMINAL

SentenceSplitter = Literal["punctuation", "spacy"]

CLOSING: Final = "\"'”’»)]}）」』】》"
_ENDS: Final = tuple(TERMINAL)


def n_sentences(lines: list[str], splitter: SentenceSplitter) -> NDArray[np.int64]:
    """Sentences per line, int64[n_lines]; at least 1, even of an empty line."""
    if splitter == "spacy":
        from ultraclean.text.spacy_tokens import tokenizer

        return tokenizer().n_sentences(lines)
    return np.array([_by_punctuation(line) for line in lines], dtype=np.int64)


def _by_punctuation(line: str) -> int:
    words = line.split()
    ended = [word.rstrip(CLOSING).endswith(_ENDS) for word in words]
    return max(1, sum(ended) + (not ended[-1] if ended else 0))
