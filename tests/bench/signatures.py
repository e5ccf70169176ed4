"""MinHash signatures from raw text, beside datasketch, rensa and datatrove.

Each library hashes with its own family, so results are compared by what they are for: the root mean
square error of the estimated Jaccard similarity of pairs whose true similarity is known, beside its
theory. With datatrove it is bits: the dialect `datatrove` must give the very same signatures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from ultrakernels import minhash
from ultrakernels.shingles import ALONE, reference_words

from bench.corpora import Corpus
from bench.measure import Row, Way, interleaved
from bench.measure import rows as table
from ultraclean.stages.dedup.minhash import Minhash, datatrove_signer
from ultraclean.text.spacy_tokens import Cutter

if TYPE_CHECKING:
    from bench.__main__ import Run

N_PERM = 128
NGRAM = 5
PEER_BYTES = 500_000
DATATROVE_BYTES = 60_000
_ALONE = "".join(f"{chr(first)}-{chr(last)}" for first, last in ALONE)
WORD = re.compile(rf"[{_ALONE}]|[^\W{_ALONE}]+")
"""Words as ours divides them, a Chinese character each, so that all sides hash as many shingles."""


def rows(run: Run) -> Iterator[Row]:
    a, b = minhash.parameters(1, N_PERM)
    for corpus in run.corpora:
        part = corpus.first(PEER_BYTES)
        sign = lambda corpus=corpus: minhash.signatures(corpus.column, NGRAM, a, b)  # noqa: E731
        ours = Way("ultrakernels.minhash, 128", sign, corpus.n_bytes, len(corpus.texts))
        peers = [
            Way(name, lambda make=make, part=part: [make(_words(t)) for t in part.texts],
                part.n_bytes, len(part.texts), goal)
            for name, make, goal in (("datasketch", _datasketch, 40), ("rensa", _rensa, 15))
        ]  # fmt: skip
        interleaved([ours, *peers], run.rounds)
        if corpus.name == "english":
            theory, errors = _errors(corpus, run.quick)
            for peer, error in zip(peers, errors[1:], strict=True):
                peer.agrees = (
                    f"RMSE ours {errors[0]:.4f}, theirs {error:.4f}, in theory {theory:.4f}"
                )
        yield from table("signatures", corpus.name, ours, peers)
        yield from _bits(corpus, run.rounds)


def _words(text: str) -> list[str]:
    """Shingles in Python, as users of the two libraries make them."""
    words = WORD.findall(text.lower())
    return [" ".join(words[i : i + NGRAM]) for i in range(len(words) - NGRAM + 1)]


def _datasketch(shingles: list[str]) -> Any:
    from datasketch import MinHash

    found = MinHash(num_perm=N_PERM, seed=1)
    found.update_batch([one.encode() for one in shingles])
    return found.hashvalues


def _rensa(shingles: list[str]) -> Any:
    from rensa import RMinHash

    found = RMinHash(num_perm=N_PERM, seed=1)
    found.update(shingles)
    return np.array(found.digest())


def _bits(corpus: Corpus, rounds: int) -> list[Row]:
    """The dialect `datatrove` beside datatrove's own signature step."""
    import xxhash
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.utils.hashing import HashConfig
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    stage = Minhash(dialect="datatrove")
    config = MinhashConfig(
        n_grams=stage.ngram,
        num_buckets=stage.bands,
        hashes_per_bucket=stage.rows,
        seed=stage.seed,
        hash_config=HashConfig(precision=64, hash_fc="xxhash"),
    )
    step = MinhashDedupSignature("/nowhere", config, language="eng")
    # datatrove 0.10.1 hands str to xxhash, which version 4 no longer takes
    step._hash_func = lambda text: xxhash.xxh64_intdigest(text.encode())

    def signed(text: str) -> Any:
        shingles = step.get_shingles(text)
        return np.ravel(step.get_signature(shingles)) if len(shingles) else None

    # in the middle of a worker's life: one half of the corpus was read before, the other is new
    read, timed = (Corpus(corpus.name, corpus.texts[start::2]) for start in (1, 0))
    part, more = timed.first(DATATROVE_BYTES), timed.first(20 * DATATROVE_BYTES)
    cutter = Cutter(load_word_tokenizer("eng").tokenizer.tokenizer)
    datatrove_signer(stage, lambda data, ends: (data, cutter.spans(data, ends)))(read.column)
    sign = datatrove_signer(stage, lambda data, ends: (data, cutter.copy().spans(data, ends)))
    ours = Way("dialect datatrove", lambda: sign(more.column), more.n_bytes, len(more.texts))
    peer = Way("datatrove", lambda: [signed(text) for text in part.texts],
               part.n_bytes, len(part.texts), 20)  # fmt: skip
    found, expected = interleaved([ours, peer], rounds)
    same = sum(
        one is None or found[0][row].tolist() == one.tolist() for row, one in enumerate(expected)
    )
    peer.agrees = f"{same} of {len(expected)} signatures equal bit by bit"
    return table("signatures", corpus.name, ours, [peer])


def _errors(corpus: Corpus, quick: bool) -> tuple[float, list[float]]:
    """(RMSE in theory, [ours, datasketch's, rensa's]) over edited copies of real documents."""
    chance = np.random.default_rng(5)
    pairs = []
    for text in corpus.texts[: 150 if quick else 600]:
        words = reference_words(text)[:400]
        if len(words) < 40:
            continue
        share = chance.uniform(0.005, 0.1)
        edited = [f"x{chance.integers(10**9)}" if chance.random() < share else w for w in words]
        pairs.append((" ".join(words), " ".join(edited)))
    true = np.array([_jaccard(left, right) for left, right in pairs])
    a, b = minhash.parameters(1, N_PERM)
    left, right = (
        minhash.signatures(pa.array(side), NGRAM, a, b)[0] for side in zip(*pairs, strict=True)
    )
    estimates = [(left == right).mean(axis=1)]
    makers: list[Callable[[list[str]], Any]] = [_datasketch, _rensa]
    for make in makers:
        both = [[make(_words(text)) for text in pair] for pair in pairs]
        estimates.append(np.array([(one == other).mean() for one, other in both]))
    theory = float(np.sqrt((true * (1 - true) / N_PERM).mean()))
    return theory, [float(np.sqrt(((found - true) ** 2).mean())) for found in estimates]


def _jaccard(left: str, right: str) -> float:
    one, other = set(_words(left)), set(_words(right))
    return len(one & other) / len(one | other)
