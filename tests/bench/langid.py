"""Language identification with lid.176.ftz on whole texts, beside fastText's own predict.

Ours remembers what words add, so it is timed on one half of a corpus after reading the other half: a
worker in the middle of its work. Each time begins with that same memory (a copy, whose time counts).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING

import fasttext
import numpy as np
from ultrakernels import fasttext as kernel
from ultrakernels.fasttext_words import Memory

from bench.corpora import Corpus
from bench.measure import Row, Way, interleaved
from bench.measure import rows as table
from ultraclean.stages.score.language import packaged_model
from ultraclean.text.buffers import utf8

if TYPE_CHECKING:
    from bench.__main__ import Run

PEER_BYTES = 10**6


def rows(run: Run) -> Iterator[Row]:
    path = packaged_model()
    theirs = fasttext.load_model(path)
    with open(path, "rb") as stream:
        model = kernel.load(stream, path)
    for corpus in run.corpora:
        read, timed = (Corpus(corpus.name, corpus.texts[start::2]) for start in (1, 0))
        words = kernel.remembers(model)
        before = utf8(read.column)
        kernel.best(model, before.offsets, before.data, words)
        part, text = timed.first(PEER_BYTES), utf8(timed.column)
        lines = [one.replace("\n", " ") + "\n" for one in part.texts]
        ours = Way(
            "score.language",
            lambda text=text, words=words: kernel.best(
                model, text.offsets, text.data, _copy(words)
            ),
            timed.n_bytes,
            len(timed.texts),
        )
        peer = Way(
            "fasttext predict",
            lambda lines=lines: [theirs.f.predict(line, 1, 0.0, "strict") for line in lines],
            part.n_bytes,
            len(lines),
            goal=6,
        )
        (label, scores), expected = interleaved([ours, peer], run.rounds)
        same = sum(
            model.labels[label[i]] == one[0][1].removeprefix("__label__")
            for i, one in enumerate(expected)
            if one
        )
        most = max(abs(scores[i] - min(one[0][0], 1)) for i, one in enumerate(expected) if one)
        peer.agrees = f"{same} of {len(lines)} labels equal, scores within {most:.1e}"
        assert not np.isnan(most)
        yield from table("langid", corpus.name, ours, [peer])


def _copy(words: Memory) -> Memory:
    return Memory(*(getattr(words, one.name).copy() for one in fields(words)))
