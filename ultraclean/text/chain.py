"""A text column to a classifier's probabilities: normalised, cut and scored without Python strings.

`classifier.normalise_batch` and `ultrakernels.fasttext` say what comes out; this is how it comes out
fast. A document that the kernels leave undone (a final sigma, an invalid byte, a special token of the
tokenizer written out) takes the way of strings by itself, so the result never depends on the way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ultraclean.document import texts
from ultraclean.text import bpe, classifier, plain
from ultraclean.text.buffers import Utf8, of_strings, utf8

if TYPE_CHECKING:
    from ultrakernels.fasttext import Classifier

Probabilities = NDArray[np.float32]
"""float32[n_docs, n_labels]; NaN where the model finds nothing to go by."""
Scorer = Callable[[pa.Array], Probabilities]


def scorer(model: Classifier, tokenizer: str | None) -> Scorer:
    """The scorer for `raw`, `words`, None (no tokens), or the content of a tokenizer.json.

    ValueError if the content is none.
    """
    from ultrakernels import fasttext

    def read(text: Utf8) -> Probabilities:
        return fasttext.probabilities(model, text.offsets, text.data)

    if tokenizer == "raw":
        return lambda column: read(utf8(column))
    if tokenizer in (None, "words"):
        finish = _cut if tokenizer == "words" else _squeezed
        by_words = classifier.words if tokenizer == "words" else None
        return _mended(lambda column: _by_pieces(column, finish, read), by_words, read)
    split = classifier.of_json(tokenizer)
    tables = bpe.of_json(tokenizer) if model.single else None
    by_strings = _by_strings(split, read)
    return by_strings if tables is None else _mended(_by_ids(model, tables), split, read)


Attempt = Callable[[pa.Array], tuple[Probabilities, NDArray[np.bool_]]]
"""Probabilities, and which documents were left undone."""


def _mended(
    attempt: Attempt, split: classifier.Split | None, read: Callable[[Utf8], Probabilities]
) -> Scorer:
    """The attempt, with what it left undone done by strings."""
    by_strings = _by_strings(split, read)

    def score(column: pa.Array) -> Probabilities:
        found, undone = attempt(column)
        if undone.any():
            # Arrow cannot filter string_view
            left = column.cast(pa.large_string()).filter(pa.array(undone))
            found[undone] = by_strings(left)
        return found

    return score


def _by_strings(split: classifier.Split | None, read: Callable[[Utf8], Probabilities]) -> Scorer:
    return lambda column: read(of_strings(classifier.normalise_batch(texts(column), split)))


def _plain(column: pa.Array) -> tuple[Utf8, NDArray[np.bool_], NDArray[np.bool_]]:
    """The first three steps, which documents they could not do, and which hold odd white space."""
    from ultrakernels import plain_text

    text, forms = utf8(column), plain.forms()
    data, ends, odd, blank = plain_text.plain(
        text.data, text.offsets, forms.pages, forms.forms, forms.pool
    )
    return Utf8(data, ends), odd, blank


def _cut(text: Utf8) -> Utf8:
    from ultrakernels import plain_text

    data, ends = plain_text.cut_words(text.data, text.offsets, plain.word_kinds())
    return Utf8(data, ends)


def _squeezed(text: Utf8) -> Utf8:
    from ultrakernels import plain_text

    data, ends = plain_text.squeeze(text.data, text.offsets, plain.word_kinds())
    return Utf8(data, ends)


def _by_pieces(
    column: pa.Array, finish: Callable[[Utf8], Utf8], read: Callable[[Utf8], Probabilities]
) -> tuple[Probabilities, NDArray[np.bool_]]:
    text, odd, _ = _plain(column)
    return read(finish(text)), odd


def _by_ids(model: Classifier, tables: bpe.Bpe) -> Attempt:
    """By token ids: each id's words and their numbers are worked out here, once."""
    from ultrakernels import fasttext, fasttext_ids
    from ultrakernels.fasttext_kernel import PREFIX

    shown = of_strings([classifier.escaped(piece) for piece in tables.decoded])
    weights = model.rows.reshape(-1)
    words = (PREFIX, model.slots, model.pool, model.starts, weights)
    bounds, hashes, numbers, known, bad = fasttext_ids.words_of_ids(
        shown.data, shown.offsets, *words
    )
    # fastText ends every document with this word, if it knows it
    end = of_strings(["</s>"])
    _, _, end_number, end_known, _ = fasttext_ids.words_of_ids(end.data, end.offsets, *words)
    added = of_strings([token.decode() for token in tables.specials])
    firsts = np.zeros(256, dtype=np.bool_)
    firsts[[token[0] for token in tables.specials]] = True
    lock = threading.Lock()  # the table of pieces is written to

    def attempt(column: pa.Array) -> tuple[Probabilities, NDArray[np.bool_]]:
        text, odd, blank = _plain(column)
        total = np.zeros((text.n_docs, 1))
        count = np.zeros(text.n_docs, dtype=np.int64)
        with lock:
            undone = fasttext_ids.sum_ids(
                text.data, text.offsets, odd | blank, tables.kinds, tables.rules, tables.bits,
                firsts, added.data, added.offsets, tables.byte_ids, tables.keys, tables.values,
                tables.cache, tables.pool, tables.used, bounds, hashes, numbers, known, bad,
                end_number[0], int(end_known[0]), model.n_words, model.n_buckets,
                model.word_ngrams, weights, total.reshape(-1), count,
            )  # fmt: skip
        return fasttext.of_sums(model, total, count), undone

    return attempt
