"""The published heuristics: Gopher quality and repetition, C4, FineWeb; and length.

What they decide is compared with datatrove in tests/conformance; here are the numbers, the edges,
and what our stages add.
"""

from __future__ import annotations

import gzip
import itertools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from ultraclean.document import Batch
from ultraclean.stage import Decision, Filter
from ultraclean.stages.filter.c4 import C4
from ultraclean.stages.filter.fineweb import Fineweb
from ultraclean.stages.filter.gopher_quality import ORDER, GopherQuality
from ultraclean.stages.filter.gopher_repetition import GopherRepetition
from ultraclean.stages.filter.length import Length

LENGTH = Length(min_chars=2, max_chars=900, min_words=2, max_words=150, min_bytes=5, max_bytes=800)
FILTERS: list[Filter] = [GopherQuality(), GopherRepetition(), C4(), Fineweb(), LENGTH]
DIALECTS: list[Filter] = [
    stage(dialect=dialect)  # type: ignore[call-arg]
    for stage in (GopherQuality, GopherRepetition, C4)
    for dialect in ("dclm", "dolma")
]
PROSE = "The house that they have is to be seen with care, and it is old. "


def named(stage: Filter) -> str:
    return "-".join([stage.stage, *([stage.dialect] if stage in DIALECTS else [])])  # type: ignore[attr-defined]


def reasons(decision: Decision) -> list[str | None]:
    return [None if code < 0 else decision.reasons[code] for code in decision.code]


def judge(stage: Filter, *texts: str | None) -> Decision:
    return stage.open()(Batch.of(text=pa.array(texts, pa.string())))


def odd_texts() -> list[str | None]:
    rng = random.Random(2)
    pieces = [
        "the ",
        "of ",
        "中文。",
        "😀 ",
        "a",
        "end.\n",
        "\r\n",
        "\n\n",
        "- x\n",
        "# ",
        "...\n",
        "{",
    ]
    texts: list[str | None] = [None, "", " ", "\n", PROSE * 6, PROSE]
    for _ in range(60):
        some = rng.sample(pieces, rng.choice([2, 4, len(pieces)]))
        texts.append("".join(rng.choice(some) for _ in range(rng.choice([3, 30, 120]))))
    return texts


@pytest.mark.parametrize("stage", [*FILTERS, *DIALECTS], ids=named)
def test_splitting_a_batch_anywhere_gives_the_same_decisions(stage: Filter) -> None:
    batch = Batch.of(text=pa.array(odd_texts(), pa.string()))
    whole = stage.open()(batch)
    rng = random.Random(4)
    for _ in range(6):
        cuts = sorted(rng.sample(range(batch.num_rows + 1), 3))
        bounds = itertools.pairwise([0, *cuts, batch.num_rows])
        opened = stage.open()
        parts = [opened(batch.slice(start, stop - start)) for start, stop in bounds]
        for field in ("code", "value", "threshold"):
            joined = np.concatenate([getattr(part, field) for part in parts])
            np.testing.assert_array_equal(joined, getattr(whole, field))
        for name, numbers in whole.numbers.items():
            joined = np.concatenate([part.numbers[name] for part in parts])
            np.testing.assert_array_equal(joined, numbers)
        for name, column in whole.columns.items():
            chunks = [part.columns[name] for part in parts]
            assert pa.concat_arrays(chunks).equals(column)


@pytest.mark.parametrize("stage", [*FILTERS, *DIALECTS], ids=named)
def test_large_strings_give_the_same_and_nulls_are_empty(stage: Filter) -> None:
    texts = odd_texts()
    small = judge(stage, *texts)
    large = stage.open()(Batch.of(text=pa.array(texts, pa.large_string())))
    empty = judge(stage, *("" if text is None else text for text in texts))
    for other in (large, empty):
        np.testing.assert_array_equal(small.code, other.code)
    for column in large.columns.values():
        assert column.type == pa.large_string()
    assert set(reasons(small)) - {None} <= set(stage.reasons)
    assert all(len(numbers) == len(texts) for numbers in small.numbers.values())


@pytest.mark.parametrize("stage", [*FILTERS, *DIALECTS], ids=named)
def test_an_empty_batch(stage: Filter) -> None:
    assert len(judge(stage).code) == 0


@pytest.mark.parametrize(
    ("stage", "view"),
    [
        (GopherQuality(), "whitespace_words"),
        (GopherRepetition(), "whitespace_words"),
        (Fineweb(), "n_whitespace_words"),
        (Length(min_words=1), "n_whitespace_words"),
        (Fineweb(words="spacy"), "spacy_words"),
        (Length(min_words=1, words="spacy"), "spacy_words"),
    ],
)
def test_stages_share_the_words_of_a_batch(stage: Filter, view: str) -> None:
    batch = Batch.of(text=[PROSE * 9])
    stage.open()(batch)
    names = {make.__name__ for _, make in batch._views if hasattr(make, "__name__")}
    assert view in names


def test_gopher_quality_reaches_every_reason() -> None:
    texts = {
        "too_few_words": "the of and",
        "too_many_words": "the of word " * 40_000,
        "short_words": "of to " * 30,
        "long_words": "the of " + "antidisestablishment " * 60,
        "too_many_hashes": "the of words with care # # " * 12,
        "too_many_ellipses": "the of words with... care and… " * 12,
        "too_many_bullet_lines": "- " + "\n • ".join([PROSE] * 6),
        "too_many_ellipsis_lines": "\n".join([PROSE * 3, PROSE * 3, PROSE + "it is… "]),
        "too_few_alphabetic_words": "the house of 1234 5678 " * 15,
        "too_few_stop_words": "Das Haus und der Garten sind alt " * 8,
    }
    decision = judge(GopherQuality(), *texts.values(), PROSE * 5)
    assert reasons(decision) == [*texts, None]
    assert tuple(texts) == ORDER["datatrove"]
    assert decision.value[0] == 3
    assert decision.threshold[0] == 50
    assert decision.numbers["n_words"][-1] == 75
    assert decision.numbers["n_stop_words"][-1] == 6  # `The` is not `the`


def test_gopher_quality_words_of_punctuation_count_for_shares_only() -> None:
    numbers = judge(GopherQuality(), "ab -- abcd … 12").numbers
    assert numbers["n_words"].tolist() == [3]
    assert numbers["mean_word_chars"].tolist() == [8 / 3]
    assert numbers["alphabetic_word_fraction"].tolist() == [2 / 5]
    assert numbers["ellipsis_fraction"].tolist() == [1 / 5]


def test_gopher_quality_without_limits_keeps_all() -> None:
    off = {name: None for name in GopherQuality.model_fields if name[:4] in ("min_", "max_")}
    assert judge(GopherQuality(**off), *odd_texts()).keep.all()
    assert judge(GopherQuality(stop_words=("Haus", "und"), min_words=1), "Das Haus und").keep.all()


def only(**limit: float) -> GopherRepetition:
    names = [name for name in GopherRepetition.model_fields if name.startswith("max_")]
    return GopherRepetition(**{**dict.fromkeys(names), **limit})


def test_gopher_repetition_counts() -> None:
    numbers = judge(only(), "ab\n\nab\n\ncd", "ab\nab\ncd", "ab cd ab cd", "ab c a bc").numbers
    assert numbers["repeated_paragraph_fraction"].tolist()[:2] == [1 / 3, 0]
    assert numbers["repeated_paragraph_char_fraction"].tolist()[:2] == [2 / 10, 0]
    assert numbers["repeated_line_fraction"].tolist()[:2] == [1 / 3, 1 / 3]
    assert numbers["top_2gram_fraction"].tolist()[2] == 2 * 5 / 11
    words = "one two three four five "
    repeated = judge(only(), words * 2, words * 2 + "six").numbers["repeated_5gram_fraction"]
    assert repeated.tolist() == [19 / 48, 19 / 51]


def test_gopher_repetition_reaches_every_reason() -> None:
    long = " ".join(f"w{number}" for number in range(12))
    texts = {
        "empty": "",
        "repeated_paragraphs": "a\n\nb\n\nb\n\na",
        "repeated_paragraph_chars": f"{long}\n\n{long}\n\na\n\nb\n\nc\n\nd\n\ne",
        "repeated_lines": "a\nb\nb\na",
        "repeated_line_chars": f"{long}\n{long}\na\nb\nc\nd\ne",
        "top_2gram": "abc def ghi abc def jkl",
    }
    for reason, text in texts.items():
        assert reasons(judge(GopherRepetition(), text)) == [reason]
    for n in (3, 4):
        assert reasons(judge(only(**{f"max_top_{n}gram_fraction": 0.1}), PROSE * 3)) == [
            f"top_{n}gram"
        ]
    for n in range(5, 11):
        decision = judge(only(**{f"max_repeated_{n}gram_fraction": 0.1}), PROSE * 3)
        assert reasons(decision) == [f"repeated_{n}grams"]
        assert decision.threshold[0] == 0.1
    varied = " ".join(f"w{number}" for number in range(60))
    assert reasons(judge(GopherRepetition(), varied)) == [None]


def test_a_share_at_the_threshold_is_kept() -> None:
    assert judge(only(max_repeated_line_fraction=1 / 4), "a\nb\nc\na").keep.all()
    assert not judge(only(max_repeated_line_fraction=0.24), "a\nb\nc\na").keep.any()


def test_c4_edits_the_text() -> None:
    text = (
        "A title without an end\r\n"
        "  It has a line that ends here.[1][citation needed]  \n"
        "Two words.\nThis one trails off...\nPlease enable JavaScript to see it.\n"
        "Read our Privacy Policy before that.\nA word of " + "x" * 1001 + " is long.\n"
        "Is this one kept? It is [edit] kept!\u2028So is this one, at the last.\n"
    )
    decision = judge(C4(min_sentences=3), text)
    assert decision.columns["text"].to_pylist() == [
        "It has a line that ends here.\nIs this one kept? It is  kept!\nSo is this one, at the last."
    ]
    found = {name: int(values[0]) for name, values in decision.numbers.items()}
    assert found == {
        **{"lorem_ipsum": 0, "curly_bracket": 0, "n_sentences": 4, "n_lines": 9},
        **{"n_lines_long_word": 1, "n_lines_no_end_mark": 2, "n_lines_few_words": 1},
        **{"n_lines_javascript": 1, "n_lines_policy": 1},
    }


def test_c4_reaches_every_reason_in_the_order_of_lines() -> None:
    start = "It is a line.\n" * 5
    texts = [
        start + "We write lorem ipsum now.\nAnd { a bracket.",
        start + "And { a bracket.\nWe write Lorem Ipsum now.",
        start + "lorem ipsum\n{",
        "It is a line.",
    ]
    decision = judge(C4(), *texts)
    assert reasons(decision) == ["lorem_ipsum", "curly_bracket", None, "too_few_sentences"]
    off = C4(min_sentences=None, lorem_ipsum=False, curly_bracket=False)
    assert judge(off, *texts).keep.all()


def test_c4_switches() -> None:
    lines = "no end\nTwo words.\nJavascript is here now.\nWe [1] use cookies, all of us."
    everything = C4(
        min_sentences=None,
        min_line_words=None,
        max_word_chars=None,
        end_mark=False,
        citations=False,
        javascript=False,
        policy=False,
    )
    assert judge(everything, lines).columns["text"].to_pylist() == [lines]


def test_c4_by_dclm() -> None:
    start = "It is a line of words.\n\n  And here is another one… it ends.\n"
    texts = {
        "lorem_ipsum": start + "We write lorem ipsum right now.",
        "curly_bracket": start + "And there is { a bracket.",
        "empty": "no end\nJust four words here.\nIt is all javascript down here.",
        "too_few_sentences": start,
    }
    decision = judge(
        C4(dialect="dclm"), *texts.values(), start + "So it ends in ellipsis…\n" + start
    )
    assert reasons(decision) == [*texts, None]
    assert decision.columns["text"][4].as_py() == (start + start).strip()
    assert decision.numbers["n_lines_no_end_mark"].tolist() == [0, 0, 1, 0, 1]
    assert decision.numbers["n_lines_few_words"].tolist() == [0, 0, 1, 0, 0]
    assert decision.threshold[3] == 3


def test_c4_by_dolma() -> None:
    start = "It is a line.\n  And another one? \nno end\n"
    texts = {
        "curly_bracket": start + "lorem ipsum { javascript",
        "lorem_ipsum": start + "lorem ipsum javascript",
        "javascript": start + "not on JavaScript",
        "too_few_sentences": start,
    }
    decision = judge(C4(dialect="dolma", min_sentences=3), *texts.values(), start + start)
    assert reasons(decision) == [*texts, None]
    assert decision.columns["text"][3].as_py() == "It is a line.\n  And another one? \n"
    assert reasons(judge(C4(dialect="dolma"), "", None)) == [None, None]
    with pytest.raises(ValidationError, match="citations: the dialect dolma has no such rule"):
        C4(dialect="dolma", citations=True)


def test_fineweb_reaches_every_reason() -> None:
    long = "It is a line of more than thirty characters"
    texts = {
        "empty": " \n \u3000",
        "few_ended_lines": f"{long}\n" * 9 + "b",
        "short_lines": "Short.\nIt is.\nSo.\nYes.",
        "repeated_line_chars": f"{long}.\n" * 3,
        "list": "\n".join(f"{long.replace(' ', '')}{number}." for number in range(9)),
    }
    decision = judge(Fineweb(), *texts.values(), f"{long}.\nAnd it has another of them, too!")
    assert reasons(decision) == [*texts, None]
    assert decision.numbers["newlines_per_word"][-1] == 1 / 16


def test_fineweb_short_lines_include_the_limit_and_nothing_is_stripped() -> None:
    numbers = judge(Fineweb(), "x" * 30 + "\n" + "y" * 31, " " * 28 + "a.\r\nb. \n c.").numbers
    assert numbers["short_line_fraction"].tolist() == [1 / 2, 2 / 3]
    assert numbers["ended_line_fraction"].tolist() == [0, 1 / 3]


def test_fineweb_no_ended_line_may_be_allowed() -> None:
    text = "It is a line of more than thirty characters"
    assert reasons(judge(Fineweb(), text)) == ["few_ended_lines"]
    assert reasons(judge(Fineweb(allow_no_ended_line=True), text)) == [None]
    with pytest.raises(ValidationError, match=r"end_chars: '\.\.' is not one character"):
        Fineweb(end_chars=("..",))


def test_length_reaches_every_reason() -> None:
    texts = {
        "too_few_chars": "a",
        "too_many_chars": "a b" * 400,
        "too_few_words": "word",
        "too_many_words": "a " * 200,
        "too_few_bytes": "a b",
        "too_many_bytes": "中文 " * 120,
    }
    decision = judge(LENGTH, *texts.values(), "three words here", None)
    assert reasons(decision) == [*texts, None, "too_few_chars"]
    assert decision.value[5] == 840
    assert decision.numbers["n_chars"][5] == 360


def test_length_asks_for_words_only_where_needed() -> None:
    assert set(judge(Length(max_chars=10), "a b").numbers) == {"n_chars", "n_bytes"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "no limit is given: set min_chars"),
        ({"min_words": 5, "max_words": 4}, r"min_words \(5\) is more than max_words \(4\)"),
        ({"min_chars": -1}, "greater than or equal to 0"),
    ],
)
def test_length_errors(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Length(**fields)


def test_spacy_is_an_extra_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with_spacy: list[Filter] = [
        GopherQuality(words="spacy"),
        GopherRepetition(words="spacy"),
        Fineweb(words="spacy"),
        C4(sentences="spacy"),
        Length(min_words=1, words="spacy"),
    ]
    for stage, plain in zip(with_spacy, [*FILTERS[:4], LENGTH], strict=False):
        (missing,) = stage.missing_extras()
        assert "spacy" in str(missing)
        assert 'pip install "ultraclean-data[datatrove]"' in str(missing)
        assert type(plain)(**plain.model_dump()).missing_extras() == []


@pytest.mark.parametrize("words", ["whitespace", "spacy"])
def test_real_text_is_mostly_kept(shared_data: Path, words: Any) -> None:
    if words == "spacy":
        pytest.importorskip("spacy")
    with gzip.open(shared_data / "text" / "bbc.jsonl.gz") as lines:
        texts = [json.loads(line)["text"] for line in itertools.islice(lines, 60)]
    for stage in (GopherQuality(words=words), GopherRepetition(words=words)):
        assert judge(stage, *texts).keep.mean() > 0.9
    numbers = judge(GopherQuality(words=words), *texts).numbers
    assert 3.5 < numbers["mean_word_chars"].mean() < 5.5
