"""datatrove's filters beside ours: for each rule set, what both say of a text.

A pair is ours (of a batch) and theirs (of a text); both give an `Outcome` per text, and equal ones
mean the same decision, the same reason, and the same of whatever else is compared.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple
from unittest import mock

import numpy as np
from datatrove.data import Document
from datatrove.pipeline import filters
from datatrove.pipeline.filters import (
    c4_filters,
    fineweb_quality_filter,
    gopher_quality_filter,
    gopher_repetition_filter,
)
from datatrove.utils.text import split_into_sentences
from datatrove.utils.word_tokenizers import load_word_tokenizer

from ultraclean.document import Batch
from ultraclean.stage import Decision, Filter
from ultraclean.stages.dedup.minhash import Minhash, datatrove_signer
from ultraclean.stages.filter.c4 import C4
from ultraclean.stages.filter.fineweb import Fineweb
from ultraclean.stages.filter.gopher_quality import GopherQuality
from ultraclean.stages.filter.gopher_repetition import GopherRepetition
from ultraclean.stages.filter.language import Language
from ultraclean.stages.fix.pii import Pii
from ultraclean.stages.score.language import Language as NamesLanguage
from ultraclean.stages.score.language import packaged_model
from ultraclean.text.sentences import n_sentences

Splitter = Literal["spacy", "whitespace"]


class Outcome(NamedTuple):
    reason: str
    """`kept`, or the reason in our words."""
    value: Any = None
    """What is left of the text, or what was made of it."""
    also: tuple[tuple[str, int], ...] = ()
    """What else was counted, by name; for C4 the lines that went, by cause."""

    def names(self, text: str) -> Iterator[str]:
        """What happened to the text, to be counted."""
        if self.reason != "kept":
            yield self.reason
        elif isinstance(self.value, str) and self.value != text:
            yield "text changed"
            if self.also and not any(count for _, count in self.also):
                lines = "\n".join(line.strip() for line in text.splitlines())
                yield from ["citations"] * (self.value != lines.strip())
        yield from (name for name, count in self.also if count)


Ours = Callable[[Batch], list[Outcome]]
Theirs = Callable[[str], Outcome]

REASONS: dict[str, dict[str, str]] = {
    "quality": {
        "gopher_short_doc": "too_few_words",
        "gopher_long_doc": "too_many_words",
        "gopher_below_avg_threshold": "short_words",
        "gopher_above_avg_threshold": "long_words",
        "gopher_too_many_hashes": "too_many_hashes",
        "gopher_too_many_ellipsis": "too_many_ellipses",
        "gopher_too_many_bullets": "too_many_bullet_lines",
        "gopher_too_many_end_ellipsis": "too_many_ellipsis_lines",
        "gopher_below_alpha_threshold": "too_few_alphabetic_words",
        "gopher_enough_stop_words": "too_few_stop_words",
    },
    "repetition": {
        "empty": "empty",
        "dup_para_frac": "repeated_paragraphs",
        "dup_para_char_frac": "repeated_paragraph_chars",
        "dup_line_frac": "repeated_lines",
        "dup_line_char_frac": "repeated_line_chars",
        **{f"top_{n}_gram": f"top_{n}gram" for n in (2, 3, 4)},
        **{f"duplicated_{n}_n_grams": f"repeated_{n}grams" for n in range(5, 11)},
    },
    "c4": {
        "lorem_ipsum": "lorem_ipsum",
        "curly_bracket": "curly_bracket",
        "too_few_sentences": "too_few_sentences",
    },
    "fineweb": {
        "empty": "empty",
        "line_punct_ratio": "few_ended_lines",
        "short_line_ratio": "short_lines",
        "char_dup_ratio": "repeated_line_chars",
        "list_ratio": "list",
    },
}
LINES = {
    "line-filter-too_long_word": "long_word",
    "line-filter-no_terminal_punc": "no_end_mark",
    "line-filter-too_few_words": "few_words",
    "line-filter-javascript": "javascript",
    "line-filter-policy": "policy",
}
"""datatrove's counters of lines that C4 removes -> ours."""
MEMORY: dict[tuple[str, str], list[str]] = {}
"""What spaCy said of a text: it is most of datatrove's time, and every rule set asks it."""
LONGEST = 300_000
"""Characters of a text that is remembered."""


@contextlib.contextmanager
def splitting(splitter: Splitter) -> Iterator[None]:
    """datatrove's filters with words between white space and our rule for sentences, or as they are."""
    spacy = load_word_tokenizer("en")
    if splitter == "spacy":
        words = remembering("words", spacy.word_tokenize)
        sentences = remembering("sentences", split_into_sentences)
    else:
        words = lambda text, language: text.split()  # noqa: E731
        sentences = lambda text, language: [""] * int(n_sentences([text], "punctuation")[0])  # noqa: E731
    with contextlib.ExitStack() as stack:
        for module in (gopher_quality_filter, gopher_repetition_filter, fineweb_quality_filter):
            stack.enter_context(mock.patch.object(module, "split_into_words", words))
        stack.enter_context(mock.patch.object(c4_filters, "split_into_sentences", sentences))
        yield


def remembering(what: str, split: Callable[[str], list[str]]) -> Callable[[str, str], list[str]]:
    def remembered(text: str, language: str) -> list[str]:
        if len(text) > LONGEST:
            return split(text)
        if (what, text) not in MEMORY:
            MEMORY[what, text] = split(text)
        return MEMORY[what, text]

    return remembered


def different(ours: Ours, theirs: Theirs, texts: list[str]) -> tuple[list[Any], Counter[str]]:
    """(text's number, ours, theirs) wherever the two differ, and what happened to how many texts."""
    found, counts = [], Counter[str]()
    for number, (text, mine) in enumerate(zip(texts, ours(Batch.of(text=texts)), strict=True)):
        expected = theirs(text)
        counts.update(expected.names(text))
        if mine != expected:
            found.append((number, mine, expected))
    return found, counts


# --- filters --------------------------------------------------------------------------------------


def rule_sets(splitter: Splitter) -> dict[str, tuple[Filter, Any]]:
    """Kind -> our filter and theirs, as published, in the order of FineWeb's recipe."""
    sentences: Any = "spacy" if splitter == "spacy" else "punctuation"
    return {
        "repetition": (GopherRepetition(words=splitter), filters.GopherRepetitionFilter()),
        "quality": (GopherQuality(words=splitter), filters.GopherQualityFilter()),
        "c4": (C4(sentences=sentences), filters.C4QualityFilter()),
        "fineweb": (Fineweb(words=splitter), filters.FineWebQualityFilter()),
    }


def filter_pair(kind: str, stage: Filter, their_filter: Any) -> tuple[Ours, Theirs]:
    judge = stage.open()
    counted: list[str] = []
    their_filter.stat_update = lambda *names, **_: counted.extend(names)

    def ours(batch: Batch) -> list[Outcome]:
        return outcomes(judge(batch), batch)

    def theirs(text: str) -> Outcome:
        document = Document(text=text, id="")
        counted.clear()
        verdict = their_filter.filter(document)
        lines = Counter(LINES.get(name) for name in counted)
        also = tuple((cause, lines[cause]) for cause in LINES.values() if kind == "c4")
        if verdict is True:
            return Outcome("kept", document.text, also)
        return Outcome(REASONS[kind][verdict[1]], None, also)

    return ours, theirs


def outcomes(decision: Decision, batch: Batch) -> list[Outcome]:
    left = decision.columns.get("text", batch["text"]).to_pylist()
    lines = {cause: decision.numbers.get(f"n_lines_{cause}") for cause in LINES.values()}
    return [
        Outcome(
            "kept" if code < 0 else decision.reasons[code],
            left[row] if code < 0 else None,
            tuple((cause, int(n[row])) for cause, n in lines.items() if n is not None),
        )
        for row, code in enumerate(decision.code)
    ]


def chain(splitter: Splitter) -> tuple[Ours, Theirs]:
    """The four one after the other: what C4 left of a text is what FineWeb's filter reads."""
    sets = rule_sets(splitter)
    judges = {kind: stage.open() for kind, (stage, _) in sets.items()}

    def ours(batch: Batch) -> list[Outcome]:
        found = [Outcome("kept")] * batch.num_rows
        rows = np.arange(batch.num_rows)
        for kind, judge in judges.items():
            decision = judge(batch)
            for row, code in zip(rows, decision.code, strict=True):
                if code >= 0:
                    found[row] = Outcome(f"{kind}: {decision.reasons[code]}")
            rows = rows[decision.keep]
            batch = batch.with_columns(decision.columns).filter(decision.keep)
        for row, text in zip(rows, batch["text"].to_pylist(), strict=True):
            found[row] = Outcome("kept", text)
        return found

    def theirs(text: str) -> Outcome:
        document = Document(text=text, id="")
        for kind, (_, their_filter) in sets.items():
            verdict = their_filter.filter(document)
            if verdict is not True:
                return Outcome(f"{kind}: {REASONS[kind][verdict[1]]}")
        return Outcome("kept", document.text)

    return ours, theirs


# --- language, personal data, signatures -----------------------------------------------------------


def language() -> tuple[Ours, Theirs]:
    """datatrove's own filter with the model that is on this machine."""
    from fasttext import load_model

    names = NamesLanguage().open()
    judge = Language(languages=("en",), dialect="datatrove").open()
    model = load_model(packaged_model())

    class Model:
        """fastText's predict, whose own wrapper does not take numpy 2."""

        def predict(self, text: str, k: int) -> tuple[list[str], Any]:
            found = model.f.predict(text + "\n", k, 0.0, "strict")
            return [label for _, label in found], np.array([share for share, _ in found])

    # fasteners guards the download of a model, which is not done here
    with mock.patch.object(filters.LanguageFilter, "_requires_dependencies", ["fasttext"]):
        asked = filters.LanguageFilter(languages=["en"])
    asked.model._model = Model()

    def theirs(text: str) -> Outcome:
        document = Document(text=text, id="")
        try:
            passes = asked.filter(document)
        except ValueError:  # max() of nothing: datatrove cannot judge a text without features
            return Outcome("language")
        if passes:
            return Outcome("kept", text)
        english = document.metadata["language"] == "en"
        return Outcome("language_score" if english else "language")

    return (lambda batch: outcomes(judge(names(batch)), batch)), theirs


def pii(public_only: bool = True) -> tuple[Ours, Theirs]:
    from datatrove.pipeline.formatters import PIIFormatter

    mask = Pii(kinds=("email", "ip"), public_ips_only=public_only).open()
    # a formatter of its own for each document, as its replacements go round
    return (
        lambda batch: [Outcome("kept", text) for text in mask(batch)["text"].to_pylist()],
        lambda text: Outcome("kept", PIIFormatter(only_remove_public_ips=public_only).format(text)),
    )


def signature_step(stage: Minhash, folder: str) -> Any:
    """datatrove's step with the settings of `stage`, whose dialect is datatrove."""
    import xxhash
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.utils.hashing import HashConfig

    config = MinhashConfig(
        n_grams=stage.ngram,
        num_buckets=stage.bands,
        hashes_per_bucket=stage.rows,
        seed=stage.seed,
        hash_config=HashConfig(precision=64, hash_fc=stage.shingle_hash),
    )
    step = MinhashDedupSignature(folder, config, language=stage.language)
    if stage.shingle_hash == "xxhash":
        # datatrove 0.10.1 hands str to xxhash, which version 4 no longer takes.
        step._hash_func = lambda text: xxhash.xxh64_intdigest(text.encode())
    return step


def signatures(stage: Minhash, folder: str) -> tuple[Ours, Theirs]:
    step = signature_step(stage, folder)
    signer = datatrove_signer(stage)

    def ours(batch: Batch) -> list[Outcome]:
        signature, n_shingles, _ = signer(batch["text"])
        return [
            Outcome("signature", row.tolist()) if n else Outcome("no shingles")
            for row, n in zip(signature, n_shingles, strict=True)
        ]

    def theirs(text: str) -> Outcome:
        shingles = step.get_shingles(text)
        if not len(shingles):
            return Outcome("no shingles")
        return Outcome("signature", np.ravel(step.get_signature(shingles)).tolist())

    return ours, theirs
