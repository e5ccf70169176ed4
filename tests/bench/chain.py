"""The UltraClean chain on raw text: normalise, cut into tokens, score.

Beside the published script (transformers: encode, then decode each id; then fastText's predict) and
the same with the bare tokenizers package. The tokenizer is cut as DeepSeek-V2's is; `words`, the
chain's dialect without a tokenizer, is beside its own plain Python.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import fasttext
import numpy as np

from bench import models
from bench.corpora import BUILD, Corpus
from bench.measure import Row, Way, interleaved
from bench.measure import rows as table
from ultraclean.document import Batch
from ultraclean.stages.score.fasttext import Fasttext
from ultraclean.text import classifier

if TYPE_CHECKING:
    from bench.__main__ import Run

PEER_BYTES = 300_000
GOALS = {"english": 100.0, "technical": 60.0, "chinese": 30.0}


def rows(run: Run) -> Iterator[Row]:
    for rule in ("deepseek", "gpt2"):
        content = models.tokenizer(rule, run.corpora)
        split = classifier.of_json(content)
        normalised = lambda texts, split=split: classifier.normalise_batch(texts, split)  # noqa: E731
        path = models.fasttext_model(rule, run.corpora, normalised)
        file = BUILD / f"tokenizer-{rule}.json"
        file.write_text(content)
        score = Fasttext(model=str(path), tokenizer=str(file)).open()
        theirs = fasttext.load_model(str(path))
        script, bare = _published(content), _bare(content)
        for corpus in run.corpora:
            goal = GOALS.get(corpus.name) if rule == "deepseek" else None
            part = corpus.first(PEER_BYTES)
            ways = [
                _ours(f"score.fasttext, {rule} BPE", score, corpus),
                _theirs("the published script", script, theirs, part, goal),
                _theirs("the same, bare tokenizers", bare, theirs, part, None),
            ]
            yield from _compared(corpus, ways, run.rounds)
    path = models.fasttext_model(
        "words", run.corpora, lambda texts: classifier.normalise_batch(texts, classifier.words)
    )
    score = Fasttext(model=str(path), tokenizer="words").open()
    theirs = fasttext.load_model(str(path))
    plain: Callable[[str], str] = lambda text: classifier.normalise(text, classifier.words)  # noqa: E731
    for corpus in run.corpora:
        ways = [
            _ours("score.fasttext, words", score, corpus),
            _theirs("plain Python and predict", plain, theirs, corpus.first(PEER_BYTES), None),
        ]
        yield from _compared(corpus, ways, run.rounds)


def _compared(corpus: Corpus, ways: list[Way], rounds: int) -> list[Row]:
    ours, *peers = ways
    found, *others = interleaved(ways, rounds)
    for peer, expected in zip(peers, others, strict=True):
        near = np.abs(found[: len(expected)] - (np.array(expected) - 1e-5))
        same = ((found[: len(expected)] > 0.5) == (np.array(expected) - 1e-5 > 0.5)).mean()
        peer.agrees = (
            f"largest difference {near.max():.1e} of {len(expected)}, decisions {same:.1%}"
        )
    return table("chain", corpus.name, ours, peers)


def _ours(name: str, score: Callable[[Batch], Batch], corpus: Corpus) -> Way:
    batch = Batch.of(text=corpus.column)
    run = lambda: score(Batch(batch.data))["quality"].to_numpy(zero_copy_only=False)  # noqa: E731
    return Way(name, run, corpus.n_bytes, len(corpus.texts))


def _theirs(
    name: str, normalise: Callable[[str], str], model: Any, part: Corpus, goal: float | None
) -> Way:
    def run() -> list[float]:
        return [models.predict(model, normalise(text))["__label__pos"] for text in part.texts]

    return Way(name, run, part.n_bytes, len(part.texts), goal)


def _published(content: str) -> Callable[[str], str]:
    """The preprocessing of Ultra-FineWeb's published script."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(content))

    def decoded(text: str) -> list[str]:
        ids = tokenizer.encode(text, add_special_tokens=False)
        return [tokenizer.decode([one]) for one in ids]

    return lambda text: _steps(text, decoded)


def _bare(content: str) -> Callable[[str], str]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(content)

    def decoded(text: str) -> list[str]:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        return [tokenizer.decode([one], skip_special_tokens=False) for one in ids]

    return lambda text: _steps(text, decoded)


def _steps(text: str, decoded: Callable[[str], list[str]]) -> str:
    text = re.sub(r"\n{3,}", "\n\n", text).lower()
    text = "".join(
        char for char in unicodedata.normalize("NFKD", text) if unicodedata.category(char) != "Mn"
    )
    text = " ".join(decoded(text))
    text = text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    return re.sub(r" +", " ", text).strip()
