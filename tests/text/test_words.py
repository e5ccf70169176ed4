"""Words of a column: what they are, and that the view follows its rows."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
import pytest

from ultraclean.document import Batch
from ultraclean.text import characters
from ultraclean.text.buffers import utf8
from ultraclean.text.sentences import n_sentences
from ultraclean.text.words import SPLITTERS, WordSplitter, n_listed, whitespace_words, word_list

TEXTS = ["The cat, the mat.", None, "", " \u3000\n", "中文 标点。\r\nb", "don't :) )", "😀 e\u0301"]


def test_words_are_those_of_str_split_over_all_white_space() -> None:
    every = "".join(
        f"a{chr(code)}" for code in range(sys.maxunicode) if not 0xD800 <= code < 0xE000
    )
    words = whitespace_words(pa.array([every]))
    assert words.of(0) == every.split()
    assert words.n_chars.tolist() == [len(word) for word in every.split()]


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string(), pa.string_view()])
def test_any_string_type_nulls_and_slices(type_: pa.DataType) -> None:
    column = pa.array(["before", *TEXTS, "after"]).cast(type_).slice(1, len(TEXTS))
    words = whitespace_words(column)
    assert [words.of(i) for i in range(len(TEXTS))] == [(text or "").split() for text in TEXTS]
    coded = whitespace_words(pa.array(TEXTS).dictionary_encode())
    assert coded.counts.tolist() == words.counts.tolist()


def test_a_null_with_bytes_beneath_it_is_empty() -> None:
    valid = pa.py_buffer(bytes([0b101]))
    offsets = pa.py_buffer(np.array([0, 1, 4, 5], dtype=np.int32).tobytes())
    column = pa.Array.from_buffers(pa.string(), 3, [valid, offsets, pa.py_buffer(b"axyzb")])
    assert np.diff(utf8(column).offsets).tolist() == [1, 0, 1]


@pytest.mark.parametrize("splitter", ["whitespace", "spacy"])
def test_the_view_follows_its_rows(splitter: WordSplitter) -> None:
    if splitter == "spacy":
        pytest.importorskip("spacy")
    split = SPLITTERS[splitter]
    batch = Batch.of(text=TEXTS)
    whole = batch.view("text", split)
    keep = np.array([True, False, True, False, True, True, False])
    kept = batch.filter(keep)
    words = kept.view("text", split)
    assert words.joined is whole.joined
    fresh = split(kept["text"])
    for index in range(kept.num_rows):
        assert words.of(index) == fresh.of(index)
    for name in ("doc", "n_bytes", "n_chars", "hashes", "classes"):
        np.testing.assert_array_equal(getattr(words, name), getattr(fresh, name))


def test_spacy_tokens_come_without_white_space_and_see_special_cases_across_a_space() -> None:
    pytest.importorskip("spacy")
    words = SPLITTERS["spacy"](pa.array(["don't\t:)\n", "x:) )", "x:) y", "a \U0010ffff:) )", ""]))
    found = [words.of(index) for index in range(5)]
    assert found[0] == ["do", "n't", ":)"]
    assert found[1] == ["x", ":", ")", ")"]
    assert found[2] == ["x", ":)", "y"]
    assert "".join(found[3]) == "a\U0010ffff:))"
    assert found[4] == []


def test_classes_are_those_of_str() -> None:
    table = characters.table()
    codes = [code for code in range(0x30000) if not 0xD800 <= code < 0xE000]
    assert [bool(table[code] & characters.ALPHA) for code in codes] == [
        chr(code).isalpha() for code in codes
    ]
    breaks = [code for code in codes if table[code] & characters.LINE_BREAK]
    assert breaks == [10, 11, 12, 13, 28, 29, 30, 0x85, 0x2028, 0x2029]


def test_listed_words_count_once() -> None:
    words = whitespace_words(pa.array(["the the of", "The off", "of the and", None]))
    assert n_listed(words, word_list(["the", "of", "and"])).tolist() == [2, 0, 3, 0]
    assert n_listed(words, word_list([])).tolist() == [0, 0, 0, 0]


def test_sentences_by_punctuation() -> None:
    lines = ["One. Two!", 'He said "no." Then left', "你好。 再见。", "", "no end", "... Well?"]
    assert n_sentences(lines, "punctuation").tolist() == [2, 2, 2, 1, 1, 2]
