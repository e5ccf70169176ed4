"""fastText scoring of a two-label model on raw text, beside fastText's own predict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import fasttext
import numpy as np
from ultrakernels import fasttext as kernel

from bench import models
from bench.measure import Row, Way, interleaved
from bench.measure import rows as table
from ultraclean.text.buffers import utf8

if TYPE_CHECKING:
    from bench.__main__ import Run

PEER_BYTES = 10**6


def rows(run: Run) -> Iterator[Row]:
    path = models.fasttext_model("raw", run.corpora, lambda texts: texts)
    theirs = fasttext.load_model(str(path))
    with path.open("rb") as stream:
        model = kernel.load(stream, str(path))
    column = model.labels.index("pos")
    for corpus in run.corpora:
        text, part = utf8(corpus.column), corpus.first(PEER_BYTES)
        lines = [one.replace("\n", " ") for one in part.texts]
        ours = Way(
            "ultrakernels.fasttext",
            lambda text=text: kernel.probabilities(model, text.offsets, text.data)[:, column],
            corpus.n_bytes,
            len(corpus.texts),
        )
        peer = Way(
            "fasttext predict",
            lambda lines=lines: [models.predict(theirs, line)["__label__pos"] for line in lines],
            part.n_bytes,
            len(lines),
            goal=15,
        )
        found, expected = interleaved([ours, peer], run.rounds)
        # fastText adds 1e-5 before its logarithm
        most = np.abs(found[: len(lines)] - (np.array(expected) - 1e-5)).max()
        sides = (np.array(expected) > 0.5).mean()
        peer.agrees = (
            f"largest difference {most:.1e} of {len(lines)} documents, {sides:.0%} positive"
        )
        yield from table("classifier", corpus.name, ours, [peer])
