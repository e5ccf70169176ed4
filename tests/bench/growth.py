"""What a document costs as there are more of them, and what a byte costs as a document gets longer.

First documents of 200 bytes, a thousand to a million; then ten megabytes of text cut into documents
of a hundred bytes to ten million. A loop that is linear has one cost in each list. The texts are pieces of
the English corpus, over and over: what a loop remembers of words it has seen is warm throughout.
The first round of each is run before it is timed; the second counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from ultrakernels import minhash

from bench import models
from bench.measure import Row
from ultraclean.document import Batch
from ultraclean.stage import Filter, Map
from ultraclean.stages.dedup.minhash import Minhash, datatrove_signer
from ultraclean.stages.filter.c4 import C4
from ultraclean.stages.filter.fineweb import Fineweb
from ultraclean.stages.filter.gopher_quality import GopherQuality
from ultraclean.stages.filter.gopher_repetition import GopherRepetition
from ultraclean.stages.fix.unicode import Unicode
from ultraclean.stages.score.fasttext import Fasttext
from ultraclean.stages.score.language import Language
from ultraclean.text import classifier

if TYPE_CHECKING:
    from bench.__main__ import Run

Loop = Callable[[pa.Array], Any]

BATCH_ROWS = 1024
SHORT = 200
COUNTS = (1_000, 10_000, 100_000, 1_000_000)
LENGTHS = (10**2, 10**3, 10**4, 10**5, 10**6, 10**7)


def rows(run: Run) -> Iterator[Row]:
    corpus = run.corpus("english")
    if corpus is None:
        return
    text = " ".join(corpus.texts).encode().decode("ascii", "ignore")  # a byte is a character
    counts, lengths = (COUNTS[:3], LENGTHS[:5]) if run.quick else (COUNTS, LENGTHS)
    short = _pieces(text, SHORT)
    total = max(lengths)
    long = (text * (1 + total // len(text)))[:total]
    for name, loop in _loops(run).items():
        loop(short)
        spent = [_seconds(loop, short, n_docs) / n_docs for n_docs in counts]
        yield _row("documents of 200 bytes", name, counts, [1e6 * one for one in spent], "us each")
        costs = []
        for length in lengths:
            column = _pieces(long, length)
            loop(column.slice(0, BATCH_ROWS))
            costs.append(_seconds(loop, column, len(column)) / total)
        yield _row("bytes a document", name, lengths, [1e9 * one for one in costs], "ns a byte")


def _row(corpus: str, name: str, sizes: tuple[int, ...], costs: list[float], unit: str) -> Row:
    """The cost at the largest size, and all of them."""
    each = ", ".join(f"{size:,}: {cost:.3g}" for size, cost in zip(sizes, costs, strict=True))
    return Row("growth", corpus, name, costs[-1], 0, 0, unit=unit, agrees=each)


def _pieces(text: str, length: int) -> pa.Array:
    return pa.array([text[at : at + length] for at in range(0, len(text), length)], pa.string())


def _seconds(loop: Loop, column: pa.Array, n_docs: int) -> float:
    """CPU seconds for `n_docs` documents in batches, from the column over and over."""
    begun, done = time.process_time(), 0
    while done < n_docs:
        start = done % len(column)
        some = column.slice(start, min(BATCH_ROWS, n_docs - done))
        loop(some)
        done += len(some)
    return time.process_time() - begun


def _loops(run: Run) -> dict[str, Loop]:
    a, b = minhash.parameters(1, 112)
    model = models.fasttext_model(
        "words", run.corpora, lambda texts: classifier.normalise_batch(texts, classifier.words)
    )
    filters: list[Filter] = [GopherRepetition(), GopherQuality(), C4(), Fineweb()]
    return {
        "score.fasttext, words": _mapped(Fasttext(model=str(model), tokenizer="words")),
        "score.language": _mapped(Language()),
        "fix.unicode": _mapped(Unicode()),
        "minhash, 112": lambda column: minhash.signatures(column, 5, a, b),
        "minhash, dialect datatrove": datatrove_signer(Minhash(dialect="datatrove")),
        **{one.stage: _judged(one) for one in filters},
    }


def _mapped(stage: Map) -> Loop:
    opened = stage.open()
    return lambda column: opened(Batch.of(text=column))


def _judged(stage: Filter) -> Loop:
    opened = stage.open()
    return lambda column: opened(Batch.of(text=column))
