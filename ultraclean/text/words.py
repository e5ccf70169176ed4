"""The words of a column, split once per batch and shared by the stages that count them.

`whitespace`: `str.split`, over Unicode white space. Fast; its words carry their punctuation.
`spacy`: the tokens of spaCy's blank English tokenizer without white space, which is what
datatrove splits English into (0.3 and later). Use it for decisions equal to a datatrove run.
Of the two it is the nearer to the published FineWeb, whose decisions were made on tokens that
split punctuation off, too; by an older datatrove with NLTK's tokenizer, which neither reproduces.
`uniseg`: what lies between Unicode's word boundaries and begins with a letter or digit, which is
what DCLM splits into. A run of Chinese is as many words as it has characters, of Thai one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ultraclean.document import Batch
from ultraclean.text import characters
from ultraclean.text.buffers import of_strings, utf8

WordSplitter = Literal["whitespace", "spacy", "uniseg"]


@dataclass(frozen=True, eq=False)
class Words:
    """Words i from doc[d] to doc[d + 1] are those of document d.

    The bytes of word i are joined[begin[i]:begin[i] + n_bytes[i]]; the words of one document lie
    side by side there, with nothing between them.
    """

    joined: NDArray[np.uint8]
    doc: NDArray[np.int64]
    begin: NDArray[np.int64]
    n_bytes: NDArray[np.int32]
    n_chars: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    classes: NDArray[np.uint8]
    """Union of the classes of a word's code points; see `characters`."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """Words per document, int64[n_docs]."""
        return np.diff(self.doc)

    def per_doc(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Sums of a number per word over each document, int64[n_docs]."""
        total = np.zeros(len(values) + 1, dtype=np.int64)
        np.cumsum(values, out=total[1:])
        return total[self.doc[1:]] - total[self.doc[:-1]]

    def totals(self, kind: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(words of a class, their characters) per document, int64[n_docs] each."""
        from ultrakernels.word_totals import class_totals

        words, chars = class_totals(self.doc, self.n_chars, self.classes, kind)
        return words, chars

    def median_chars(self) -> NDArray[np.float64]:
        """Median length of the words of each document; 0 where there are none, float64[n_docs]."""
        counts = self.counts
        order = np.lexsort((self.n_chars, np.repeat(np.arange(len(counts)), counts)))
        ordered = np.append(self.n_chars[order], 0).astype(np.float64)
        middle = self.doc[:-1] + counts // 2
        other = middle - (counts % 2 == 0)
        medians = (ordered[middle] + ordered[np.maximum(other, 0)]) / 2
        return np.where(counts == 0, 0.0, medians)

    def filter(self, keep: NDArray[np.bool_]) -> Self:
        """The words of the kept documents; the bytes are shared, not copied."""
        counts = self.counts
        chosen = np.repeat(keep, counts)
        doc = np.zeros(int(keep.sum()) + 1, dtype=np.int64)
        np.cumsum(counts[keep], out=doc[1:])
        return type(self)(
            self.joined,
            doc,
            self.begin[chosen],
            self.n_bytes[chosen],
            self.n_chars[chosen],
            self.hashes[chosen],
            self.classes[chosen],
        )

    def of(self, document: int) -> list[str]:
        """The words of one document, as strings."""
        found = range(self.doc[document], self.doc[document + 1])
        return [
            self.joined[self.begin[i] : self.begin[i] + self.n_bytes[i]].tobytes().decode()
            for i in found
        ]


def whitespace_words(column: pa.Array) -> Words:
    """A view: words between Unicode white space."""
    from ultrakernels.split_words import split_words

    text = utf8(column)
    split, measured = split_words(text.data, text.offsets, characters.table(), characters.SPACE)
    return _words(*split, measured)


def n_whitespace_words(column: pa.Array) -> NDArray[np.int64]:
    """A view: how many words there are between Unicode white space, int64[n_docs]."""
    from ultrakernels.word_totals import count_words

    text = utf8(column)
    classes = (characters.table(), characters.leads(), characters.SPACE)
    return np.asarray(count_words(text.data, text.offsets, *classes))


def n_words(batch: Batch, words: WordSplitter) -> NDArray[np.int64]:
    """Words of the column `text` of each document, int64[n_docs]; counted alone where that is cheaper."""
    if words == "whitespace":
        return batch.view("text", n_whitespace_words)
    return batch.view("text", SPLITTERS[words]).counts


def spacy_words(column: pa.Array) -> Words:
    """A view: tokens of spaCy's blank English tokenizer, white space removed."""
    from ultraclean.text.spacy_tokens import tokenizer

    return _measured(*tokenizer().split(column))


def uniseg_words(column: pa.Array) -> Words:
    """A view: words between Unicode's word boundaries that begin with a letter or digit."""
    from ultraclean.text.word_boundaries import split

    return _measured(*split(column))


def n_plain_words(column: pa.Array) -> NDArray[np.int64]:
    """A view: words between ASCII white space or NUL that begin with a letter or digit, int64[n_docs].

    fastText's splitter, with which DCLM counts the words of a page.
    """
    from ultrakernels.measure_words import measure_words
    from ultrakernels.split_words import split_words

    text = utf8(column)
    spaces = characters.marked(" \n\r\t\v\f\0")
    (doc, n_bytes, joined), _ = split_words(text.data, text.offsets, spaces, characters.MARKED)
    begin = _begin(n_bytes)
    lead = joined[begin]
    first = 1 + (lead >= 0xC0).astype(np.int32) + (lead >= 0xE0) + (lead >= 0xF0)
    first = np.minimum(first, n_bytes)
    wanted = characters.alphanumeric().view(np.uint8)
    total = np.zeros(len(n_bytes) + 1, dtype=np.int64)
    np.cumsum(measure_words(joined, begin, first, wanted)[2], out=total[1:])
    return np.diff(total[doc])


SPLITTERS: Final[dict[WordSplitter, Callable[[pa.Array], Words]]] = {
    "whitespace": whitespace_words,
    "spacy": spacy_words,
    "uniseg": uniseg_words,
}


def _measured(
    doc: NDArray[np.int64], n_bytes: NDArray[np.int32], joined: NDArray[np.uint8]
) -> Words:
    from ultrakernels.measure_words import measure_words

    measured = measure_words(joined, _begin(n_bytes), n_bytes, characters.table())
    return _words(doc, n_bytes, joined, measured)


def _words(
    doc: NDArray[np.int64],
    n_bytes: NDArray[np.int32],
    joined: NDArray[np.uint8],
    measured: tuple[NDArray[np.int32], NDArray[np.uint64], NDArray[np.uint8]],
) -> Words:
    return Words(joined, doc, _begin(n_bytes), n_bytes, *measured)


def _begin(n_bytes: NDArray[np.int32]) -> NDArray[np.int64]:
    begin = np.zeros(len(n_bytes), dtype=np.int64)
    np.cumsum(n_bytes[:-1], dtype=np.int64, out=begin[1:])
    return begin


@dataclass(frozen=True, eq=False)
class WordList:
    """A short list of words, in the order of their hashes, for `n_listed`."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    hashes: NDArray[np.uint64]


def word_list(words: Sequence[str]) -> WordList:
    from ultrakernels.measure_words import hash_bytes

    ordered = sorted(set(words), key=lambda word: hash_bytes(word.encode()))
    text = of_strings(ordered)
    hashes = np.array([hash_bytes(word.encode()) for word in ordered], dtype=np.uint64)
    return WordList(text.data, text.offsets, hashes)


def n_listed(words: Words, listed: WordList, *, repeats: bool = False) -> NDArray[np.int64]:
    """How many different words of the list each document has, int64[n_docs].

    With `repeats`, how many words of it are on the list, each as often as it occurs.
    """
    from ultrakernels.members import members

    return np.asarray(
        members(
            words.joined,
            words.begin,
            words.n_bytes,
            words.hashes,
            words.doc,
            listed.data,
            listed.offsets,
            listed.hashes,
            repeats,
        )
    )
