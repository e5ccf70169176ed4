"""filter.heuristics: each rule by numbers counted by hand, lists by language, batches cut anywhere."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ultraclean.document import Batch
from ultraclean.stage import Decision
from ultraclean.stages.filter.heuristics import Heuristics

FINE = "A line of plain words, and it ends.\nAnother one of them ends so.\nIs it the last one?"


def judge(stage: Heuristics, *texts: str | None, **columns: Any) -> Decision:
    return stage.open()(Batch.of(text=pa.array(texts, pa.string()), **columns))


def number(measure: str, text: str) -> float:
    return float(judge(Heuristics(max_repeated_char_fraction=1), text).numbers[measure][0])


def reasons(decision: Decision) -> list[str | None]:
    return [None if code < 0 else decision.reasons[code] for code in decision.code]


@pytest.mark.parametrize(
    ("measure", "text", "expected"),
    [
        ("non_alphanumeric_fraction", "a1?!,.\n-é ", 3 / 10),
        ("digit_fraction", "12٣a", 2 / 4),
        ("white_space_fraction", "a \t\n\u3000", 3 / 5),
        ("parenthesis_fraction", "(a)[b]{⟨", 6 / 8),
        ("alphanumeric_fraction", "é中1-٣", 4 / 5),
        ("special_fraction", "ae\u0301 1!", 3 / 6),
        ("repeated_char_fraction", "ab" * 10, 6 / 11),
        ("longest_word_chars", "one three  中文", 5),
        ("mean_word_chars", "a bcd", 2),
        ("symbol_word_fraction", "# ## #a# ... word", 3 / 5),
        ("n_urls", "http://a.org, https://b.org/x%20y ftp://c", 2),
        ("url_fraction", "http://a.b c", 10 / 12),
        ("boilerplate_fraction", "Privacy Policy.\n\nfine\n\nfine\n\nwe use cookies", 2 / 4),
        ("boilerplate_fraction", "fine\n\nLorem Ipsum", 1),
        ("bullet_line_fraction", "• a\n\n  ‣ b\nc\n- d", 2 / 4),
        ("unended_line_fraction", "a.\nb\n \nc!\n'd'", 1 / 4),
        ("ellipsis_line_fraction", "a...\nRead More\nb…\nc", 3 / 4),
        ("mean_line_chars", "abc\r\nd", 6 / 2),
        ("longest_line_chars", "a\x85bcd\n", 3),
        ("third_line_chars", "a\nbb\r\nccc\ndddd", 3),
    ],
)
def test_by_hand(measure: str, text: str, expected: float) -> None:
    assert number(measure, text) == expected


REACHED: dict[str, tuple[dict[str, Any], str]] = {
    "too_many_non_alphanumerics": ({"max_non_alphanumeric_fraction": 0.25}, "(a) - (b)"),
    "too_many_digits": ({"max_digit_fraction": 0.15}, "2024 is a year"),
    "too_much_white_space": ({"max_white_space_fraction": 0.25}, "a b  c"),
    "too_many_parentheses": ({"max_parenthesis_fraction": 0.1}, "(so)"),
    "too_few_alphanumerics": ({"min_alphanumeric_fraction": 0.25}, "!!!!! a"),
    "too_many_specials": ({"max_special_fraction": 0.4}, "1234a"),
    "repeated_chars": ({"max_repeated_char_fraction": 0.5}, "ha" * 30),
    "long_word": ({"max_word_chars": 10}, "antidisestablishment"),
    "short_words": ({"min_mean_word_chars": 3}, "a b c"),
    "long_words": ({"max_mean_word_chars": 10}, "antidisestablishment"),
    "too_many_symbol_words": ({"max_symbol_word_fraction": 0.1}, "# a ..."),
    "too_many_url_chars": ({"max_url_fraction": 0.2}, "http://a.org/b"),
    "too_many_urls": ({"max_urls": 1}, "http://a.org http://b.org"),
    "url_word": ({"url_words": "porn"}, "see http://porn.org"),
    "boilerplate": ({"max_boilerplate_fraction": 0.4}, "the Terms of Use"),
    "bullet_lines": ({"max_bullet_line_fraction": 0.9}, "• a\n• b"),
    "unended_lines": ({"max_unended_line_fraction": 0.85}, "a\nb"),
    "ellipsis_lines": ({"max_ellipsis_line_fraction": 0.3}, "a...\nb."),
    "short_lines": ({"min_mean_line_chars": 10}, "a\nb"),
    "long_lines": ({"max_mean_line_chars": 50}, "a" * 60),
    "no_long_line": ({"min_longest_line_chars": 10}, "a\nb"),
    "too_long_line": ({"max_longest_line_chars": 50}, "a" * 60),
    "too_few_long_lines": ({"min_third_line_chars": 15}, "a line that is long\na\nb"),
    "too_few_stop_words": ({"min_stop_word_fraction": 0.2}, "Haus und Hof"),
    "too_many_flagged_words": ({"max_flagged_word_fraction": 0.05}, "a BAD, word"),
}


def word_files(folder: Path) -> dict[str, str]:
    (folder / "stop").write_text("a\nof\nand\nit\nthe\nis\nThem\n")
    (folder / "bad").write_text("bad\nworse\n")
    return {"stop_words": str(folder / "stop"), "flagged_words": str(folder / "bad")}


def test_every_reason_alone(tmp_path: Path) -> None:
    assert tuple(REACHED) == Heuristics.reasons
    files = word_files(tmp_path)
    for reason, (fields, text) in REACHED.items():
        found = judge(Heuristics(**files, **fields), text, FINE, "", None)
        empty = "no_long_line" if reason == "no_long_line" else None
        empty = reason if reason == "too_few_long_lines" else empty  # a text without lines has none
        assert reasons(found) == [reason, None, empty, empty], reason


def test_the_first_rule_that_fails_is_the_reason(tmp_path: Path) -> None:
    limits: dict[str, Any] = {}
    for fields, _ in REACHED.values():
        limits |= fields
    stage = Heuristics(**word_files(tmp_path), **limits)
    assert reasons(judge(stage, "(2024) - http://a.org")) == ["too_many_non_alphanumerics"]
    assert judge(Heuristics(), *(text for _, text in REACHED.values()), None).keep.all()


def test_lists_by_language(tmp_path: Path) -> None:
    files = word_files(tmp_path)
    stage = Heuristics(
        stop_words={"en": files["stop_words"]},
        flagged_words=files["flagged_words"],
        min_stop_word_fraction=0.5,
    )
    assert stage.needs() == ("text", "language")
    assert stage.problems() == []
    found = judge(stage, *["It is, bad: '1st' 12"] * 3, language=["en", "de", None])
    assert found.numbers["stop_word_fraction"][0] == 2 / 4
    assert np.isnan(found.numbers["stop_word_fraction"][1:]).all()
    assert found.numbers["flagged_word_fraction"].tolist() == [1 / 4] * 3
    assert found.keep.all()


def test_problems(tmp_path: Path) -> None:
    assert Heuristics(min_stop_word_fraction=0.3, max_flagged_word_fraction=0.1).problems() == [
        "a limit on stop_words is given, but no list: set stop_words",
        "a limit on flagged_words is given, but no list: set flagged_words",
    ]
    (problem,) = Heuristics(stop_words={"en": str(tmp_path / "none")}).problems()
    assert "none cannot be read" in problem


def real_texts(folder: Path) -> list[str | None]:
    found: list[str | None] = ["", None, " \n\u2028", "😀" * 40, "的。" * 200]
    for name in ("bbc", "zh_lctt", "imdb"):
        with gzip.open(folder / "text" / f"{name}.jsonl.gz") as lines:
            found += [json.loads(line)["text"] for line in itertools.islice(lines, 40)]
    return found


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_splitting_changes_nothing_on_real_text(kind: Any, shared_data: Path) -> None:
    texts = real_texts(shared_data)
    stage = Heuristics(max_digit_fraction=0.15, max_non_alphanumeric_fraction=0.25, max_urls=2)
    batch = Batch.of(text=pa.array(texts, kind))
    whole = stage.open()(batch)
    assert whole.keep[5:45].mean() > 0.9  # news
    for cut in (0, 1, 60, len(texts)):
        parts = [
            stage.open()(batch.slice(0, cut)),
            stage.open()(batch.slice(cut, len(texts) - cut)),
        ]
        np.testing.assert_array_equal(np.concatenate([part.code for part in parts]), whole.code)
        for name, values in whole.numbers.items():
            joined = np.concatenate([part.numbers[name] for part in parts])
            np.testing.assert_array_equal(joined, values, name)
