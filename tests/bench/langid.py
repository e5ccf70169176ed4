"""Language identification with lid.176.ftz on whole texts, beside fastText's own predict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import fasttext
import numpy as np

from bench.measure import Row, Way, interleaved
from bench.measure import rows as table
from ultraclean.document import Batch
from ultraclean.stages.score.language import Language, packaged_model

if TYPE_CHECKING:
    from bench.__main__ import Run

PEER_BYTES = 10**6


def rows(run: Run) -> Iterator[Row]:
    theirs = fasttext.load_model(packaged_model())
    score = Language().open()
    for corpus in run.corpora:
        part = corpus.first(PEER_BYTES)
        lines = [one.replace("\n", " ") + "\n" for one in part.texts]
        batch = Batch.of(text=corpus.column)
        ours = Way(
            "score.language",
            lambda batch=batch: score(Batch(batch.data)),
            corpus.n_bytes,
            len(corpus.texts),
        )
        peer = Way(
            "fasttext predict",
            lambda lines=lines: [theirs.f.predict(line, 1, 0.0, "strict") for line in lines],
            part.n_bytes,
            len(lines),
            goal=6,
        )
        found, expected = interleaved([ours, peer], run.rounds)
        labels = found["language"].to_pylist()
        scores = found["language_score"].to_numpy(zero_copy_only=False)
        same = sum(
            labels[i] == (one[0][1].removeprefix("__label__") if one else None)
            for i, one in enumerate(expected)
        )
        most = max(abs(scores[i] - min(one[0][0], 1)) for i, one in enumerate(expected) if one)
        peer.agrees = f"{same} of {len(lines)} labels equal, scores within {most:.1e}"
        assert not np.isnan(most)
        yield from table("langid", corpus.name, ours, [peer])
