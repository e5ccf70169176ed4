"""The text that a quality classifier reads: UltraClean's normalisation, before training and scoring.

The order of the steps is that of Ultra-FineWeb's published scripts (Wang et al. 2025, arXiv
2505.05427; the MiniCPM4 report, arXiv 2506.07900, section 2.2.1) and it matters:

1. three or more newlines become two
2. lower case
3. Unicode NFKD, without category Mn (accents)
4. cut into tokens; each token id decoded by itself, joined by single spaces
5. newline, CR and tab become the two characters `\\n`, `\\r`, `\\t`
6. runs of spaces become one; white space at both ends goes

They use the tokenizer of DeepSeek-V2. Here any `tokenizer.json` serves, or `words` (no file at all),
or none, which leaves step 4 out; a classifier must be scored with the one that it was trained with.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

Split = Callable[[Sequence[str]], Iterator[Sequence[str]]]
"""Step 4: the pieces of each text."""

_NEWLINES: Final = re.compile("\n{3,}")
_SPACES: Final = re.compile(" +")
_ESCAPES: Final = str.maketrans({"\n": "\\n", "\r": "\\r", "\t": "\\t"})

# scripts written without spaces, where a character is the best word that needs no dictionary
CJK: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD: Final = re.compile(f"[\n\r\t]|[{CJK}]|[^\\W_{CJK}]+|[^\\w\\s]|_")


def normalise(text: str, split: Split | None) -> str:
    """The six steps, one after the other; `split` is `words`, `of_json(...)`, or None."""
    text = _NEWLINES.sub("\n\n", text)
    text = text.lower()
    text = unicodedata.normalize("NFKD", text)
    text = "".join(char for char in text if unicodedata.category(char) != "Mn")
    if split is not None:
        (pieces,) = split([text])
        text = " ".join(pieces)
    text = escaped(text)
    return _SPACES.sub(" ", text).strip()


def normalise_batch(texts: Sequence[str], split: Split | None) -> list[str]:
    """`normalise` of each text, tokenised together."""
    decomposed = [plain(text) for text in texts]
    joined = decomposed if split is None else [" ".join(pieces) for pieces in split(decomposed)]
    return [_SPACES.sub(" ", escaped(text)).strip() for text in joined]


def plain(text: str) -> str:
    """The first three steps: what a tokenizer is given."""
    text = _NEWLINES.sub("\n\n", text).lower()
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKD", text)
    marks = {char for char in set(text) if unicodedata.category(char) == "Mn"}
    return text.translate(dict.fromkeys(map(ord, marks))) if marks else text


def escaped(text: str) -> str:
    """Step 5."""
    return text.translate(_ESCAPES)


def words(texts: Sequence[str]) -> Iterator[list[str]]:
    """Runs of letters and digits, single Chinese characters and kana, and single other marks.

    Newline, CR and tab are pieces too, as they are for a tokenizer; other white space separates.
    An underscore is a mark, so that no text contains a piece like `__label__x`.
    """
    for text in texts:
        yield _WORD.findall(text)


def of_json(content: str) -> Split:
    """The pieces of a `tokenizer.json`; ValueError if the content is not one.

    Each id is decoded by itself and special tokens are kept, as transformers' `decode` does: a
    character that is cut into bytes gives U+FFFD for each part that is not one by itself.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer: Any = Tokenizer.from_str(content)
    except Exception as error:  # the package raises bare Exception
        raise ValueError(f"not a tokenizer.json: {error}") from None
    # limits meant for a model must not cut documents
    tokenizer.no_truncation()
    tokenizer.no_padding()
    n_ids = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
    decoded = tokenizer.decode_batch([[i] for i in range(n_ids)], skip_special_tokens=False)

    def split(texts: Sequence[str]) -> Iterator[list[str]]:
        for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False):
            yield [decoded[i] for i in encoding.ids]

    return split
