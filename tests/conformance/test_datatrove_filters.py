"""Our heuristic filters decide as datatrove's do: the same documents go, for the same reasons.

Twice: with spaCy's tokens, which is datatrove as it is; and with words between white space, for
which datatrove's splitter is replaced by `str.split`.
"""

from __future__ import annotations

import gzip
import itertools
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

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

from datatrove.data import Document
from datatrove.pipeline import filters as theirs
from datatrove.pipeline.filters import (
    c4_filters,
    fineweb_quality_filter,
    gopher_quality_filter,
    gopher_repetition_filter,
)
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION, split_into_sentences
from datatrove.utils.word_tokenizers import load_word_tokenizer

Splitter = Literal["spacy", "whitespace"]

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


def only_ngrams(n: int) -> tuple[Callable[[Splitter], Filter], Callable[[], Any]]:
    """The rule of one repeated n-gram without the others, which most documents fail first."""
    others = {
        name: None
        for name in GopherRepetition.model_fields
        if name.startswith("max_") and name != f"max_repeated_{n}gram_fraction"
    }
    mine = {f"max_repeated_{n}gram_fraction": 0.1}
    their_limits = dict.fromkeys(
        ("dup_line_frac", "dup_para_frac", "dup_line_char_frac", "dup_para_char_frac")
    )
    return (
        lambda words: GopherRepetition(words=words, **others, **mine),
        lambda: theirs.GopherRepetitionFilter(
            **their_limits, top_n_grams=(), dup_n_grams=((n, 0.1),)
        ),
    )


CASES: list[tuple[str, Callable[[Splitter], Filter], Callable[[], Any]]] = [
    ("quality", lambda words: GopherQuality(words=words), theirs.GopherQualityFilter),
    (
        "quality",
        # Without the limits that most odd texts fail first.
        lambda words: GopherQuality(words=words, min_words=1, min_stop_words=None),
        lambda: theirs.GopherQualityFilter(min_doc_words=1, min_stop_words=None),
    ),
    ("repetition", lambda words: GopherRepetition(words=words), theirs.GopherRepetitionFilter),
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
        lambda words: C4(sentences="spacy" if words == "spacy" else "punctuation"),
        theirs.C4QualityFilter,
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
    ("fineweb", lambda words: Fineweb(words=words), theirs.FineWebQualityFilter),
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

MAIN_CASES = CASES[:]
CASES += [("repetition", *only_ngrams(n)) for n in range(5, 11)]


@pytest.fixture(params=["whitespace", "spacy"])
def splitter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Splitter:
    """The way to split; datatrove follows it."""
    name: Splitter = request.param
    split: Callable[..., list[str]] = remembering(load_word_tokenizer("en").word_tokenize)
    sentences: Callable[..., list[str]] = remembering(split_into_sentences)
    if name == "whitespace":
        split = lambda text, language: text.split()  # noqa: E731

        def sentences(text: str, language: str) -> list[str]:
            return [""] * int(n_sentences([text], "punctuation")[0])

    for module in (gopher_quality_filter, gopher_repetition_filter, fineweb_quality_filter):
        monkeypatch.setattr(module, "split_into_words", split)
    monkeypatch.setattr(c4_filters, "split_into_sentences", sentences)
    return name


MEMORY: dict[tuple[int, str], list[str]] = {}


def remembering(split: Callable[[str], list[str]]) -> Callable[[str, str], list[str]]:
    """spaCy is most of datatrove's time; several filters ask it for the same text."""

    def remembered(text: str, language: str) -> list[str]:
        if (hash(split), text) not in MEMORY:
            MEMORY[hash(split), text] = split(text)
        return MEMORY[hash(split), text]

    return remembered


def real_texts(folder: Path) -> list[str]:
    """English and Chinese prose, web pages, and code-like text, cut to bound spaCy's time."""
    per_file = {
        "text/imdb": 300,
        "text/bbc": 150,
        "text/reuters": 300,
        "text/openstax": 60,
        "text/zh_d2l": 40,
        "text/zh_lctt": 40,
        "text/zh_oiwiki": 40,
        "text/zh_react": 40,
        "text/zh_tidb": 40,
        "sft/c4_demo": 171,
        "labels/dclm_human": 246,
    }
    found = []
    for name, limit in per_file.items():
        with gzip.open(folder / f"{name}.jsonl.gz") as lines:
            for line in itertools.islice(lines, limit):
                found.append(json.loads(line)["text"][:4000])
    return found


PIECES = [
    "the", "be", "to", "of", "and", "that", "have", "with", "The", "word", "ab", "a", "bc", "c",
    "end.", "what?", "so!", '"quoted"', "it's", "don't", "Mr.", "U.S.", "end.Next", "dots...", "…",
    "...", "....", "......", "#", "##", "#tag", "-", "•", "- item", "• item", "[1]", "[edit]",
    "[citation needed]", "{", "}", "lorem ipsum", "Lorem Ipsum", "javascript", "JavaScript",
    "privacy policy", "uses cookies", ":)", ":) )", "(", ")", "1234", "3.14", "--", "!!!", "中文",
    "中文。", "标点，符号！", "你好？", "עברית", "العربية؟", "हिन्दी।", "é", "e\u0301", "😀", "👨‍👩‍👧", "\u200b",
    "\ufeff", "\x00", "\x07", "http://a.b/c?d=e", "me@x.org", "x" * 31, "y" * 1001, "１", "％", "ǅ",
]  # fmt: skip
GAPS = [
    " ", " ", " ", " ", " ", " ", "  ", "\n", "\n", "\n", "\n\n", "\n\n\n", "\r\n", "\r\n\r\n", "\r",
    "\t", "\v", "\f", "\x1c", "\x85", "\xa0", "\u2028", "\u2029", "\u3000", "\u2003", "",
]  # fmt: skip


def odd_texts(count: int, seed: int = 5) -> Iterator[str]:
    """Texts in which every rule is near its edge, over few pieces so that much repeats."""
    rng = random.Random(seed)
    yield from EDGES
    for _ in range(count):
        pieces = rng.sample(PIECES, rng.choice([1, 2, 3, 5, 10, len(PIECES)]))
        gaps = rng.sample(GAPS, rng.choice([1, 2, 4, len(GAPS)]))
        length = rng.choice([1, 2, 4, 5, 10, 40, 60, 200])
        yield "".join(rng.choice(pieces) + rng.choice(gaps) for _ in range(length))
    for _ in range(count):
        sentences = [
            " ".join(rng.choice(PIECES[:14]) for _ in range(rng.randint(3, 9)))
            + rng.choice([".", "!", "", "..."])
            for _ in range(rng.choice([2, 6, 12]))
        ]
        gap = rng.choice(["\n", "\n\n", " ", "\r\n"])
        yield gap.join(rng.choice(sentences) for _ in range(rng.choice([5, 12, 30])))


EDGES = [
    "", " ", "\n", "\n\n", " \n \n ", "\r\n", "\u3000", "a", "a.", "\na\n", "\n\na\n\n", "a\n\na",
    "one two three four", "a b c d e" * 40, "a b a b c d c d " * 20, "ab c a bc " * 30,
    "- a\n" * 9 + "b\n", "- a\n" * 10, "a...\n" * 3 + "b\n" * 7, "a…\n" * 31 + "b\n" * 69,
    "the and " * 25, "the and " * 24 + "the", "the " * 50, "abc " * 50 + "the of", "ab " * 50,
    "abcdefghij " * 50 + "the of", "abcdefghijk " * 50, "word # " * 30, "word. " * 200,
    "A line of text.\n" * 3 + "Another line of it.\n" * 3, "x" * 30 + "\n" + "y" * 31,
    "Just a sentence here. " * 5, "Is this it? " * 4, "lorem ipsum\n" + "It ends here now.\n" * 6,
    "We say lorem ipsum here.\n" + "It ends here now.\n" * 6, "Six { words that end here.\n" * 6,
    "One [1] two[2] three.[3]\n" * 6, "[1] [2] [3].\n" * 6, "[1][2] a.\n" * 6,
    "It is " + "y" * 1001 + " here.\nIt is so here.\n" * 6, "a\x1cb\x1dc\x1ed\x85e\u2028f\u2029g.",
    "\ufeffThe text of the file.\r\nAnd that of the other with it.\r\n" * 6,
]  # fmt: skip


def big_texts() -> list[str]:
    """A megabyte on one line, and in one word: what is quadratic shows."""
    rng = random.Random(3)
    words = [rng.choice(PIECES[:20]) for _ in range(200_000)]
    return [
        " ".join(words)[: 2**20],
        "z" * 2**20,
        "the and\n" * 2**17,
        "\n" * 2**20,
        "字。" * 2**18,
    ]


def compare(
    texts: list[str], kind: str, ours: Filter, their_filter: Any
) -> list[tuple[int, Any, Any]]:
    """(document, our outcome, their outcome) wherever the two differ; an outcome is text or reason."""
    batch = Batch.of(text=texts)
    decision = ours.open()(batch)
    kept = decision.columns.get("text", batch["text"]).to_pylist()
    differences = []
    for index, text in enumerate(texts):
        document = Document(text=text, id=str(index))
        verdict = their_filter.filter(document)
        if verdict is True:
            expected: Any = ("kept", document.text)
        else:
            expected = ("dropped", REASONS[kind][verdict[1]])
        code = decision.code[index]
        found = ("kept", kept[index]) if code < 0 else ("dropped", decision.reasons[code])
        if found != expected:
            differences.append((index, found, expected))
    return differences


def test_punctuation_is_theirs() -> None:
    assert set(TERMINAL_PUNCTUATION) == characters.TERMINAL
    assert characters.PUNCTUATION_MARKS == PUNCTUATION_SET


def test_odd_texts_get_the_same_decisions(splitter: Splitter) -> None:
    texts = list(odd_texts(500))
    for number, (kind, ours, their_filter) in enumerate(CASES):
        assert compare(texts, kind, ours(splitter), their_filter()) == [], (number, kind)


def test_odd_texts_reach_every_reason() -> None:
    batch = Batch.of(text=list(odd_texts(500)))
    missing = {kind: set(reasons.values()) for kind, reasons in REASONS.items()}
    for kind, ours, _ in CASES:
        decision = ours("whitespace").open()(batch)
        missing[kind] -= {decision.reasons[code] for code in decision.code if code >= 0}
    # A document of more than 100,000 words is among the big texts.
    assert missing.pop("quality") <= {"too_many_words"}
    assert not any(missing.values()), missing


def test_real_texts_get_the_same_decisions(shared_data: Path, splitter: Splitter) -> None:
    # spaCy reads about a hundred documents a second.
    texts = real_texts(shared_data)[:: 4 if splitter == "spacy" else 1]
    for number, (kind, ours, their_filter) in enumerate(MAIN_CASES):
        assert compare(texts, kind, ours(splitter), their_filter()) == [], (number, kind)


@pytest.mark.parametrize("splitter", ["whitespace"], indirect=True)
def test_big_texts_get_the_same_decisions(splitter: Splitter) -> None:
    texts = big_texts()
    for number, (kind, ours, their_filter) in enumerate(MAIN_CASES[::2]):
        found = compare(texts, kind, ours(splitter), their_filter())
        assert [index for index, _, _ in found] == [], (number, kind)


def test_tokens_and_sentences_are_spacys(shared_data: Path) -> None:
    tokenize = load_word_tokenizer("en").word_tokenize
    texts = [text[:1500] for text in real_texts(shared_data)[::8]] + list(odd_texts(300, seed=8))
    words = spacy_words(Batch.of(text=texts)["text"])
    for index, text in enumerate(texts):
        assert words.of(index) == tokenize(text)
    lines = [line.strip() for text in texts[::3] for line in text.splitlines()[:20]]
    expected = [len(split_into_sentences(line)) for line in lines]
    assert n_sentences(lines, "spacy").tolist() == expected
