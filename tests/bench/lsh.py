"""From band keys to connected components of one partition in memory, on synthetic keys.

Fourteen bands; a fifth of the documents are copies of others that share each band with probability
0.43, the rest are alone. `bands.meet` joins rows of keys to components; `clusters.meet` is the step of
`dedup.minhash` around it, which reads sketches as Arrow and makes the table that is shuffled; what
storage adds is measured by `dedup_scale`. ns are per document and band.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from ultrakernels import bands

from bench.measure import Row
from ultraclean.document import AT
from ultraclean.stages.dedup import clusters
from ultraclean.stages.dedup.minhash import binary_rows

if TYPE_CHECKING:
    from bench.__main__ import Run

BANDS = 14


def rows(run: Run) -> Iterator[Row]:
    for n_docs in (100_000, 300_000) if run.quick else (1_000_000, 4_000_000, 10_000_000):
        keys = _keys(n_docs)
        sketches = pa.table(
            {AT: np.arange(n_docs), "bands": binary_rows(keys.view(np.uint8).reshape(n_docs, -1))}
        )
        nodes = np.arange(n_docs)
        spent = min(_timed(lambda k=keys, n=nodes: bands.meet(k, n)) for _ in range(5))
        yield _row(f"{n_docs:,}", "bands.meet", spent, n_docs)
        spent = min(_timed(lambda t=sketches: clusters.meet(None, t)) for _ in range(3))
        yield _row(f"{n_docs:,}", "clusters.meet", spent, n_docs)


def _keys(n_docs: int) -> Any:
    chance = np.random.default_rng(1)
    keys = chance.integers(0, 2**63, (n_docs, BANDS), dtype=np.uint64)
    copies = np.flatnonzero(chance.random(n_docs) < 0.2)
    originals = chance.integers(0, n_docs, len(copies))
    same = chance.random((len(copies), BANDS)) < 0.43
    keys[copies] = np.where(same, keys[originals], keys[copies])
    return keys


def _timed(work: Any) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _row(corpus: str, what: str, seconds: float, n_docs: int) -> Row:
    ns = seconds / n_docs / BANDS * 1e9
    goal, met = ("25 ns", ns <= 25) if what == "bands.meet" else ("", None)
    return Row("lsh", corpus, what, ns, n_docs / seconds, 0, goal=goal, met=met, unit="ns")
