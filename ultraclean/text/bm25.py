"""Which documents of an index are about a query: BM25 over an inverted index of plain arrays.

Okapi BM25 (Robertson et al. 1994) with k1 1.2, b 0.75 and the idf of Lucene, `ln(1 + (N - n + 0.5) / (n +
0.5))`. A term is a run of letters and digits in lower case; of Chinese, Japanese and Korean, each pair
of neighbours. Building holds one int64 and one int32 per posting in memory.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

K1: Final = 1.2
B: Final = 0.75
_TERM: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|[^\W_]+")
_PAIRS: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def terms(text: str) -> list[str]:
    """The terms of a text, in order."""
    found: list[str] = []
    for run in _TERM.findall(text.lower()):
        if _PAIRS.match(run):
            found += [run[at : at + 2] for at in range(max(1, len(run) - 1))]
        else:
            found.append(run)
    return found


def build(texts: Iterable[str]) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The arrays of an index (`documents`, `counts`: postings by term; `starts`; `lengths`), and its terms."""
    known: dict[str, int] = {}
    term_ids: list[NDArray[np.int64]] = []
    counts: list[NDArray[np.int32]] = []
    lengths: list[int] = []
    for text in texts:
        found = Counter(terms(text))
        ids = [known.setdefault(term, len(known)) for term in found]
        term_ids.append(np.array(ids, dtype=np.int64))
        counts.append(np.array(list(found.values()), dtype=np.int32))
        lengths.append(found.total())
    sizes = np.array([len(ids) for ids in term_ids], dtype=np.int64)
    documents = np.repeat(np.arange(len(lengths), dtype=np.int32), sizes)
    flat = np.concatenate([*term_ids, np.empty(0, np.int64)])
    order = np.argsort(flat, kind="stable")  # postings by term, each in the order of documents
    starts = np.concatenate([[0], np.cumsum(np.bincount(flat, minlength=len(known)))])
    arrays: dict[str, NDArray[Any]] = {
        "documents": documents[order],
        "counts": np.concatenate([*counts, np.empty(0, np.int32)])[order],
        "starts": starts.astype(np.int64),
        "lengths": np.array(lengths, dtype=np.int32),
    }
    return arrays, list(known)


class Index:
    """An index that was built; its arrays may be mapped into memory."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], terms: Sequence[str]) -> None:
        self._documents, self._counts = arrays["documents"], arrays["counts"]
        self._starts, self._lengths = arrays["starts"], arrays["lengths"]
        self._ids = {term: number for number, term in enumerate(terms)}
        self.n_docs = len(self._lengths)
        mean = float(np.mean(self._lengths)) if self.n_docs else 1.0
        self._norm = K1 * (1 - B + B * np.asarray(self._lengths, dtype=np.float64) / max(mean, 1.0))

    def search(self, query: str, k: int) -> list[tuple[int, float]]:
        """The best k documents by number, with their scores; ties go to the lower number."""
        scores = np.zeros(self.n_docs)
        for term in dict.fromkeys(terms(query)):
            number = self._ids.get(term)
            if number is None:
                continue
            span = slice(int(self._starts[number]), int(self._starts[number + 1]))
            rows = np.asarray(self._documents[span])
            counts = np.asarray(self._counts[span], dtype=np.float64)
            idf = np.log(1 + (self.n_docs - len(rows) + 0.5) / (len(rows) + 0.5))
            scores[rows] += idf * counts * (K1 + 1) / (counts + self._norm[rows])
        best = np.argsort(-scores, kind="stable")[:k]
        return [(int(row), float(scores[row])) for row in best if scores[row] > 0]


def reference(texts: Sequence[str], query: str) -> list[float]:
    """Scores of all texts, from the formula: what `search` is tested against."""
    split = [terms(text) for text in texts]
    mean = sum(map(len, split)) / len(split)
    scores = []
    for document in split:
        score = 0.0
        for term in dict.fromkeys(terms(query)):
            n_with = sum(term in other for other in split)
            count = document.count(term)
            idf = np.log(1 + (len(split) - n_with + 0.5) / (n_with + 0.5))
            norm = K1 * (1 - B + B * len(document) / mean)
            score += idf * count * (K1 + 1) / (count + norm)
        scores.append(float(score))
    return scores
