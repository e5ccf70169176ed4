"""The four heuristic filters, chained, beside datatrove's as it ships and with words between spaces."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from unittest import mock

from bench.corpora import Corpus
from bench.measure import Row, Way, interleaved
from bench.measure import rows as table
from ultraclean.document import Batch
from ultraclean.stage import Filter
from ultraclean.stages.filter.c4 import C4
from ultraclean.stages.filter.fineweb import Fineweb
from ultraclean.stages.filter.gopher_quality import GopherQuality
from ultraclean.stages.filter.gopher_repetition import GopherRepetition

if TYPE_CHECKING:
    from bench.__main__ import Run

SHIPPED_BYTES = 120_000
WHITESPACE_BYTES = 400_000


def rows(run: Run) -> Iterator[Row]:
    for corpus in run.corpora:
        few, more = corpus.first(SHIPPED_BYTES), corpus.first(WHITESPACE_BYTES)
        ours = _ours("four filters, white space", "whitespace", corpus)
        exact = _ours("four filters, spaCy's words", "spacy", corpus)
        shipped = _datatrove("datatrove as it ships", few, whitespace=False, goal=100)
        split = _datatrove("datatrove, words between spaces", more, whitespace=True, goal=30)
        results = interleaved([ours, exact, shipped, split], run.rounds)
        shipped.agrees = _agreement(results[1], results[2], "by spaCy's words: ")
        split.agrees = _agreement(results[0], results[3], "")
        yield from table("heuristics", corpus.name, ours, [shipped, split])
        shipped.goal = None
        yield from table("heuristics", corpus.name, exact, [shipped])


def _agreement(ours: list[bool], theirs: list[bool], what: str) -> str:
    same = sum(a == b for a, b in zip(ours, theirs, strict=False))
    return f"{what}{same} of {len(theirs)} decisions equal, {sum(theirs)} kept"


def _ours(name: str, words: Any, corpus: Corpus) -> Way:
    stages: list[Filter] = [
        GopherRepetition(words=words),
        GopherQuality(words=words),
        C4(sentences="spacy" if words == "spacy" else "punctuation"),
        Fineweb(words=words),
    ]
    opened = [stage.open() for stage in stages]
    column = corpus.column

    def run() -> list[bool]:
        kept = [False] * len(column)
        for start in range(0, len(column), 1024):
            batch = Batch.of(text=column.slice(start, 1024))
            rows = list(range(start, start + batch.num_rows))
            for judge in opened:
                if not batch.num_rows:
                    break
                decision = judge(batch)
                rows = [row for row, keep in zip(rows, decision.keep, strict=True) if keep]
                batch = batch.with_columns(decision.columns).filter(decision.keep)
            for row in rows:
                kept[row] = True
        return kept

    return Way(name, run, corpus.n_bytes, len(column))


def _datatrove(name: str, part: Corpus, *, whitespace: bool, goal: float) -> Way:
    from datatrove.data import Document
    from datatrove.pipeline import filters

    steps = [
        filters.GopherRepetitionFilter(),
        filters.GopherQualityFilter(),
        filters.C4QualityFilter(),
        filters.FineWebQualityFilter(),
    ]

    def run() -> list[bool]:
        with splitting(whitespace):
            return [_passes(steps, Document(text=text, id="")) for text in part.texts]

    return Way(name, run, part.n_bytes, len(part.texts), goal)


def _passes(steps: list[Any], document: Any) -> bool:
    return all(step.filter(document) is True for step in steps)


@contextlib.contextmanager
def splitting(whitespace: bool) -> Iterator[None]:
    """datatrove's filters with words between spaces, or as they ship."""
    from datatrove.pipeline.filters import (
        c4_filters,
        fineweb_quality_filter,
        gopher_quality_filter,
        gopher_repetition_filter,
    )

    from ultraclean.text.sentences import n_sentences

    if not whitespace:
        yield
        return

    def split(text: str, language: str) -> list[str]:
        return text.split()

    def sentences(text: str, language: str) -> list[str]:
        return [""] * int(n_sentences([text], "punctuation")[0])

    modules = (gopher_quality_filter, gopher_repetition_filter, fineweb_quality_filter)
    with contextlib.ExitStack() as stack:
        for module in modules:
            stack.enter_context(mock.patch.object(module, "split_into_words", split))
        stack.enter_context(mock.patch.object(c4_filters, "split_into_sentences", sentences))
        yield
