"""Our filters decide as datatrove's do: the same documents go, for the same reasons, at every rule.

Twice: with spaCy's tokens, which is datatrove as it is; and with words between white space, for
which datatrove's splitter is replaced by `str.split`.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rule_texts
import texts

from ultraclean.document import Batch
from ultraclean.stage import Filter
from ultraclean.stages.filter.c4 import C4
from ultraclean.stages.filter.fineweb import Fineweb
from ultraclean.stages.filter.gopher_quality import GopherQuality
from ultraclean.stages.filter.gopher_repetition import GopherRepetition
from ultraclean.text import characters
from ultraclean.text.sentences import n_sentences
from ultraclean.text.words import spacy_words

pytest.importorskip("datatrove", reason="datatrove is not installed: ultraclean-data[datatrove]")
pytest.importorskip("spacy", reason="spacy is not installed: ultraclean-data[datatrove]")

import datatrove_peer as peer
from datatrove.pipeline import filters as theirs
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION, split_into_sentences
from datatrove.utils.word_tokenizers import load_word_tokenizer

FRESH = int(os.environ.get("CONFORMANCE_SEED") or random.randrange(2**32))
"""Another one in each run, so that every run looks where none has; said where a test fails."""
FEWEST = 100
"""Documents that each rule must drop."""
FEW_WORDS = rule_texts.FEW_WORDS
FIRST: dict[str, tuple[Callable[[peer.Splitter], Filter], Callable[[], Any]]] = {
    "quality": (
        lambda words: GopherQuality(words=words, max_words=FEW_WORDS),
        lambda: theirs.GopherQualityFilter(max_doc_words=FEW_WORDS),
    ),
    "repetition": (
        lambda words: GopherRepetition(words=words),
        theirs.GopherRepetitionFilter,
    ),
    "c4": (
        lambda words: C4(sentences="spacy" if words == "spacy" else "punctuation"),
        theirs.C4QualityFilter,
    ),
    "fineweb": (lambda words: Fineweb(words=words), theirs.FineWebQualityFilter),
}
"""As published, but for the most words, of which texts of 100,000 would be needed."""
OTHERS: list[tuple[str, Callable[[peer.Splitter], Filter], Callable[[], Any]]] = [
    (
        "quality",
        # Without the limits that most odd texts fail first.
        lambda words: GopherQuality(words=words, min_words=1, min_stop_words=None),
        lambda: theirs.GopherQualityFilter(min_doc_words=1, min_stop_words=None),
    ),
    (
        "repetition",
        lambda words: GopherRepetition(
            words=words,
            max_repeated_paragraph_fraction=None,
            max_repeated_paragraph_char_fraction=None,
            max_repeated_line_fraction=None,
            max_repeated_line_char_fraction=None,
            max_top_2gram_fraction=0.5,
            max_top_3gram_fraction=0.5,
            max_top_4gram_fraction=0.6,
            max_repeated_5gram_fraction=0.02,
        ),
        lambda: theirs.GopherRepetitionFilter(
            dup_line_frac=None,
            dup_para_frac=None,
            dup_line_char_frac=None,
            dup_para_char_frac=None,
            top_n_grams=((2, 0.5), (3, 0.5), (4, 0.6)),
            dup_n_grams=((5, 0.02), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)),
        ),
    ),
    (
        "c4",
        lambda words: C4(
            sentences="spacy" if words == "spacy" else "punctuation",
            min_sentences=1,
            min_line_words=1,
            max_word_chars=20,
            end_mark=False,
        ),
        lambda: theirs.C4QualityFilter(
            min_num_sentences=1,
            min_words_per_line=1,
            max_word_length=20,
            filter_no_terminal_punct=False,
        ),
    ),
    (
        "fineweb",
        lambda words: Fineweb(
            words=words,
            allow_no_ended_line=True,
            end_chars=(".", "。"),
            max_short_line_fraction=0.9,
            short_line_chars=10,
            max_repeated_line_char_fraction=0.1,
            max_newlines_per_word=0.2,
        ),
        lambda: theirs.FineWebQualityFilter(
            line_punct_exclude_zero=True,
            stop_chars=(".", "。"),
            short_line_thr=0.9,
            short_line_length=10,
            char_duplicates_ratio=0.1,
            new_line_ratio=0.2,
        ),
    ),
]
"""Fields that are not the published ones."""


@pytest.fixture(params=["whitespace", "spacy"])
def splitter(request: pytest.FixtureRequest) -> Iterator[peer.Splitter]:
    """The way to split; datatrove follows it."""
    with peer.splitting(request.param):
        yield request.param


def pair(kind: str, splitter: peer.Splitter) -> tuple[peer.Ours, peer.Theirs]:
    ours, their_filter = FIRST[kind]
    return peer.filter_pair(kind, ours(splitter), their_filter())


def real_texts(folder: Path) -> list[str]:
    """English and Chinese prose, web pages, and code-like text, cut to bound spaCy's time."""
    return [row["text"][:4000] for row in texts.real_rows(folder)]


def test_punctuation_is_theirs() -> None:
    assert set(TERMINAL_PUNCTUATION) == characters.TERMINAL
    assert characters.PUNCTUATION_MARKS == PUNCTUATION_SET


def test_what_is_made_has_a_rule_and_every_rule_has_its_texts() -> None:
    wanted = {(kind, reason) for kind, names in peer.REASONS.items() for reason in names.values()}
    lines = {("c4", cause) for cause in (*peer.LINES.values(), "citations")}
    assert set(rule_texts.MAKERS) == wanted | lines


@pytest.mark.parametrize("kind", FIRST)
def test_every_rule_drops_a_hundred_texts_and_the_same(kind: str, splitter: peer.Splitter) -> None:
    ours, theirs = pair(kind, splitter)
    dropped = Counter[str]()
    for asked, reason in rule_texts.MAKERS:
        if asked == kind:
            made = list(rule_texts.made(kind, reason, 140))
            wrong, counts = peer.different(ours, theirs, made)
            assert not wrong, (reason, len(wrong), wrong[:3])
            dropped[reason] = counts[reason]
    assert min(dropped.values()) >= FEWEST, dropped


@pytest.mark.parametrize("kind", FIRST)
def test_new_texts_in_each_run(kind: str) -> None:
    with peer.splitting("whitespace"):
        ours, theirs = pair(kind, "whitespace")
        made = [
            text
            for asked, reason in rule_texts.MAKERS
            for text in rule_texts.made(asked, reason, 10 if asked == kind else 3, FRESH)
        ]
        made += [*texts.odd_texts(100, FRESH), *texts.varied_texts(100, FRESH)]
        wrong, _ = peer.different(ours, theirs, made)
    assert not wrong, (f"CONFORMANCE_SEED={FRESH}", len(wrong), wrong[:3])


def test_a_hundred_thousand_words() -> None:
    with peer.splitting("whitespace"):
        pairs = peer.rule_sets("whitespace")["quality"]
        made = list(rule_texts.very_long(12))
        wrong, counts = peer.different(*peer.filter_pair("quality", *pairs), made)
    assert not wrong
    assert 0 < counts["too_many_words"] < len(made)


def test_odd_texts_get_the_same_decisions(splitter: peer.Splitter) -> None:
    odd = [*texts.odd_texts(400), *texts.varied_texts(100), *texts.marked_texts(100)]
    for kind in FIRST:
        wrong, _ = peer.different(*pair(kind, splitter), odd)
        assert not wrong, (kind, len(wrong), wrong[:3])
    for number, (kind, ours, their_filter) in enumerate(OTHERS):
        wrong, _ = peer.different(*peer.filter_pair(kind, ours(splitter), their_filter()), odd[::2])
        assert not wrong, (number, kind, len(wrong), wrong[:3])


def test_real_texts_get_the_same_decisions(shared_data: Path, splitter: peer.Splitter) -> None:
    # spaCy reads about a hundred documents a second.
    real = real_texts(shared_data)[:: 10 if splitter == "spacy" else 2]
    for kind in FIRST:
        wrong, _ = peer.different(*pair(kind, splitter), real)
        assert not wrong, (kind, len(wrong), wrong[:3])


def test_one_filter_after_the_other(shared_data: Path, splitter: peer.Splitter) -> None:
    """What C4 left of a text is what FineWeb's rules see."""
    mixed = real_texts(shared_data)[:: 10 if splitter == "spacy" else 2]
    for text in mixed[:100]:
        # C4 takes the lines that do not end, of the others most are too short for FineWeb
        words = [word for word in text.split() if len(word) <= 5 and word.isalpha()][:150]
        lines = [" ".join(words[at : at + 6]) + "." for at in range(0, len(words), 6)]
        mixed.append("\n".join([*lines, "Menu", "Home page"] + ["Long lines that do not end"] * 5))
    wrong, counts = peer.different(*peer.chain(splitter), mixed)
    assert not wrong, (len(wrong), wrong[:3])
    assert counts["text changed"] >= 30, counts
    assert counts["fineweb: short_lines"] >= 30, counts


def test_big_texts_get_the_same_decisions() -> None:
    with peer.splitting("whitespace"):
        for kind in FIRST:
            wrong, _ = peer.different(*pair(kind, "whitespace"), texts.big_texts())
            assert [number for number, _, _ in wrong] == [], kind


def test_tokens_and_sentences_are_spacys(shared_data: Path) -> None:
    tokenize = load_word_tokenizer("en").word_tokenize
    some = [text[:1500] for text in real_texts(shared_data)[::8]]
    some += texts.odd_texts(300, seed=8)
    words = spacy_words(Batch.of(text=some)["text"])
    for index, text in enumerate(some):
        assert words.of(index) == tokenize(text)
    lines = [line.strip() for text in some[::3] for line in text.splitlines()[:20]]
    expected = [len(split_into_sentences(line)) for line in lines]
    assert n_sentences(lines, "spacy").tolist() == expected


def test_languages_are_the_same(shared_data: Path) -> None:
    some = [row["text"][:500] for row in texts.real_rows(shared_data, {"langid/udhr": 0})]
    some += [text[:300] for text in real_texts(shared_data)[::4]]
    some += texts.odd_texts(300, seed=9)
    wrong, counts = peer.different(*peer.language(), some)
    assert not wrong, (len(wrong), wrong[:3])
    assert min(counts["language"], counts["language_score"]) >= FEWEST, counts
