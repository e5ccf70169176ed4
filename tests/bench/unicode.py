"""`fix.unicode` beside ftfy in the same configuration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import ftfy

from bench.measure import Row, Way, interleaved
from bench.measure import rows as table
from ultraclean.document import Batch
from ultraclean.stages.fix.unicode import Unicode, configuration

if TYPE_CHECKING:
    from bench.__main__ import Run

PEER_BYTES = 2 * 10**6


def rows(run: Run) -> Iterator[Row]:
    fix = Unicode().open()
    config = configuration()
    for corpus in run.corpora:
        part = corpus.first(PEER_BYTES)
        batch = Batch.of(text=corpus.column)
        ours = Way(
            "fix.unicode",
            lambda batch=batch: fix(Batch(batch.data))["text"],
            corpus.n_bytes,
            len(corpus.texts),
        )
        peer = Way(
            "ftfy.fix_text",
            lambda part=part: [ftfy.fix_text(text, config) for text in part.texts],
            part.n_bytes,
            len(part.texts),
            goal=2,
        )
        found, expected = interleaved([ours, peer], run.rounds)
        differ = sum(a != b for a, b in zip(found.to_pylist(), expected, strict=False))
        changed = sum(a != b for a, b in zip(part.texts, expected, strict=True))
        peer.agrees = f"{differ} of {len(expected)} differ, {changed} changed"
        yield from table("unicode", corpus.name, ours, [peer])
