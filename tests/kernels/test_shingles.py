"""Word n-grams from Arrow's bytes, against plain Python."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ultrakernels import shingles

TEXTS = [
    "The quick brown fox, jumps over the lazy dog.",
    "Don't stop -- 3.14 times; e-mail me@example.org!",
    "我们今天去北京。天气很好，hello世界",
    "ÀÉÎ naïve Straße ΣΑΣ",
    "ภาษาไทย ไม่มีช่องว่าง",
    "a😀b\u200dc\ufeffd",
    "line\r\nline\rline\x00\x85line\u3000line",
    "",
    " \n ",
    "𠀀𠀁 \U000e0001 \U0001d400x",
    "한국어 문장입니다",
]


def sets_of(texts: list[str | None], ngram: int = 3) -> list[list[int]]:
    found: list[list[int]] = shingles.shingle_sets(pa.array(texts, pa.string()), ngram).to_pylist()
    return found


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("ngram", [1, 2, 5])
def test_kernel_is_the_reference(text: str, ngram: int) -> None:
    assert sets_of([text], ngram) == [sorted(set(shingles.reference(text, ngram)))]


@given(st.text(max_size=200), st.integers(1, 6))
@settings(max_examples=200, deadline=None)
def test_kernel_is_the_reference_on_any_text(text: str, ngram: int) -> None:
    assert sets_of([text], ngram) == [sorted(set(shingles.reference(text, ngram)))]


def test_words() -> None:
    assert shingles.reference_words("Don't: 我们 GO,ÀB") == ["don", "t", "我", "们", "go", "Àb"]


def test_tables_are_the_ranges() -> None:
    for point in [*range(0x80, 0x20000, 7), *range(0x20000, 0x110000, 4099), 0x3FFFF, 0xE0000]:
        kind = shingles._KIND[point] if point < 0x20000 else shingles._KIND_ABOVE[point >> 16]
        assert kind == shingles._kind_of(chr(point)), hex(point)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_buffers_of_slices_and_nulls(kind: pa.DataType) -> None:
    column = pa.array(["skip me", "one two", None, "", "three four", "after"], kind).slice(1, 4)
    assert shingles.shingle_sets(column, 1).to_pylist() == sets_of(
        ["one two", "", "", "three four"], 1
    )
    assert shingles.shingle_sets(column.slice(0, 0), 1).to_pylist() == []
    assert shingles.shingle_sets(pa.array([None, None], kind), 1).to_pylist() == [[], []]


def test_buffers_are_not_copied() -> None:
    column = pa.array(["one two", "three"])
    _, data = shingles.text_buffers(column)
    assert data.ctypes.data == column.buffers()[2].address


def test_bytes_that_are_not_utf8_divide_words() -> None:
    column = pa.array([b"ab\xffcd\xe4\xb8", b"ab cd"], pa.binary())
    first, second = shingles.shingle_sets(column, 1).to_pylist()
    assert first == second
    assert len(np.unique(first)) == 2
