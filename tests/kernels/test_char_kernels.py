"""Kernels over code points and lines are what plain Python says."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ultrakernels import char_ngrams, class_counts, line_sizes

from ultraclean.text.buffers import Utf8, of_strings

PIECES = [
    "的",
    "中文",
    "ab",
    "A",
    " ",
    "\n",
    "\r\n",
    "\r",
    "\x1c",
    "\u2028",
    "\x85",
    "😀",
    "é",
    "1",
]
TABLE = np.zeros(0x110000, dtype=np.uint16)
TABLE[[ord(char) for char in "的文a1\n😀"]] = [1, 3, 1 << 15, 0xFFFF, 4, 2]
TEXT = st.lists(st.text(alphabet="的中ab 1\n\r\x0b\u2028\U00020000", max_size=60), max_size=5)


def odd_texts() -> Utf8:
    chance = random.Random(6)
    texts = ["", "\n", "a", "的" * 13, "的" * 12, "ab" * 3000, "\r\n" * 50]
    for _ in range(400):
        some = chance.sample(PIECES, chance.choice([1, 2, 4, len(PIECES)]))
        texts.append("".join(chance.choices(some, k=chance.choice([1, 3, 12, 30, 200]))))
    return of_strings(texts)


def check(text: Utf8) -> None:
    for n, skip in ((1, 0), (3, 1), (13, 1), (10, 0)):
        np.testing.assert_array_equal(
            char_ngrams.char_ngrams(text.data, text.offsets, n, skip),
            char_ngrams.reference(text.data, text.offsets, n, skip),
        )
    np.testing.assert_array_equal(
        class_counts.class_counts(text.data, text.offsets, TABLE),
        class_counts.reference(text.data, text.offsets, TABLE),
    )
    for every in (True, False):
        np.testing.assert_array_equal(
            line_sizes.line_sizes(text.data, text.offsets, every),
            line_sizes.reference(text.data, text.offsets, every),
        )


def test_odd_texts() -> None:
    check(odd_texts())
    check(of_strings([]))


@given(TEXT)
@settings(deadline=None)
def test_any_text(texts: list[str]) -> None:
    check(of_strings(texts))


@pytest.mark.parametrize("size", [100_000])
def test_a_long_text_takes_linear_time(size: int) -> None:
    varied = "".join(map(chr, range(0x4E00, 0x4E00 + 20_000))) * (size // 20_000)
    text = of_strings(["的" * size, varied])
    found = char_ngrams.char_ngrams(text.data, text.offsets, 13, 0)
    assert found[:, 0].tolist() == [size - 12] * 2
    assert found[:, 1].tolist() == [1, 20_000]
    assert found[:, 2].tolist() == [size - 12] * 2
    assert found[0, 3] == size - 12
