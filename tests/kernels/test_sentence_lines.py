"""C4's lines by the kernel are those of the stage's own Python, rule by rule."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultraclean.document import Batch, texts
from ultraclean.stages.filter.c4 import C4

PIECES = [
    "the", "A line of words", "end.", "what?", 'so!"', "it's'", "...", "wait...", "[1]", "[12]", "[]",
    "[edit]", "[citation needed]", "[ 1]", "[１２]", "[a]", "[", "{", "}", "lorem ipsum", "Lorem IPSUM",
    "JavaScript", "use coo\u212aies", "Privacy Policy", "uses cookies", "USE OF COOKIES", "terms of use",
    "İ", "ǅ", "x" * 30, "字" * 12 + "。", "你好。”", ".”)", "\u200b", "\ufeff", "😀.", "e\u0301.",
]  # fmt: skip
GAPS = [
    " ",
    " ",
    " ",
    "  ",
    "\n",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    "\x0b",
    "\x1c",
    "\x85",
    "\u2028",
    "\u3000",
    "",
]

STAGES = [
    C4(),
    C4(min_line_words=1, max_word_chars=20, end_mark=False, citations=False),
    C4(min_line_words=None, max_word_chars=None, end_mark=False),
    C4(lorem_ipsum=False, javascript=False, curly_bracket=False, policy=False, min_line_words=2),
    C4(max_word_chars=3, curly_bracket=False),
]


def odd_texts(count: int) -> list[str]:
    rng = random.Random(9)
    return [
        "".join(rng.choice(PIECES) + rng.choice(GAPS) for _ in range(rng.choice([1, 3, 10, 40])))
        for _ in range(count)
    ]


def check(stage: C4, column: pa.Array) -> int:
    quick, cleaned = stage._quick(column)
    slow, expected = stage._slow(texts(column))
    assert cleaned.to_pylist() == expected.to_pylist()
    assert quick.keys() == slow.keys()
    for name in slow:
        np.testing.assert_array_equal(quick[name], slow[name], name)
    return sum(text != "" for text in expected.to_pylist())


@pytest.mark.parametrize("stage", STAGES)
def test_odd_texts(stage: C4) -> None:
    edges = [
        "",
        " ",
        "\n",
        "a",
        "\n\na.\n",
        "[1].",
        "[1]",
        "\u3000x y z.\u3000",
        "a b c.\r",
        "a\x85",
    ]
    assert check(stage, pa.array([*edges, None, *odd_texts(1500)])) > 10


@given(st.lists(st.text(alphabet="ab .!?\n\r[]1{“”\u2028字", max_size=40), max_size=5))
def test_any_text(found: list[str]) -> None:
    for stage in STAGES[:3]:
        check(stage, pa.array(found, pa.string()))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_types_and_slices(kind: Any) -> None:
    column = pa.array(
        ["x", None, "One two three.\nno end", "It is coo\u212aies we use."], kind
    ).slice(1)
    decision = C4(min_sentences=None).open()(Batch(pa.RecordBatch.from_arrays([column], ["text"])))
    assert decision.columns["text"].type == kind
    assert decision.columns["text"].to_pylist() == [
        "",
        "One two three.",
        "It is coo\u212aies we use.",
    ]


def test_a_long_line_and_many_lines() -> None:
    check(
        C4(),
        pa.array(["word " * 50_000 + "end.", "a b c.\n" * 20_000, "字" * 100_000, "\n" * 50_000]),
    )
