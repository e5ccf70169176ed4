"""The text kernels against their references, on random and on awkward texts."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ultrakernels import (
    duplicate_ngrams,
    duplicate_spans,
    line_marks,
    measure_words,
    members,
    newline_spans,
    nonblank_lines,
    repeated_ngrams,
    split_words,
    strip_ends,
    top_ngrams,
    wide,
    word_breaks,
    word_totals,
)

from ultraclean.text import characters
from ultraclean.text.buffers import Utf8, of_strings
from ultraclean.text.words import Words, whitespace_words, word_list

PIECES = [
    *["a", "ab", "b", "bc", "c", "the", "word.", "é", "中", "文。", "😀", "e\u0301", "\u200b", "…", "..."],
    *["....", "•", "-", "#", "\0", "\ufeff", "x" * 40, "ʼn", "ß"],
]  # fmt: skip
GAPS = [
    *[" ", " ", " ", "\n", "\n\n", "\n\n\n", "\r\n", "\r", "\t", "\v", "\f", "\x1c", "\x1d", "\x1e"],
    *["\x1f", "\x85", "\xa0", "\u1680", "\u2003", "\u2028", "\u2029", "\u202f", "\u3000", ""],
]  # fmt: skip


def make_texts(seed: int) -> list[str]:
    rng = random.Random(seed)
    texts = [
        "",
        " ",
        "\n",
        "\n\n",
        "a",
        "\na\n",
        "中",
        "\u3000中\u3000",
        "...",
        ". ..",
        "a\r\n\r\nb",
        "-",
    ]
    for _ in range(120):
        pieces = rng.sample(PIECES, rng.choice([1, 2, 3, len(PIECES)]))
        gaps = rng.sample(GAPS, rng.choice([1, 2, len(GAPS)]))
        length = rng.choice([1, 2, 5, 20, 60])
        texts.append("".join(rng.choice(pieces) + rng.choice(gaps) for _ in range(length)))
    rng.shuffle(texts)
    return texts


@pytest.fixture(params=range(4))
def text(request: pytest.FixtureRequest) -> Utf8:
    return of_strings(make_texts(request.param))


@pytest.fixture
def words(text: Utf8) -> Words:
    rows = [text.data[a:b].tobytes().decode() for a, b in itertools.pairwise(text.offsets)]
    return whitespace_words(pa.array(rows))


def same(found: object, expected: object) -> None:
    found = found if isinstance(found, tuple) else (found,)
    expected = expected if isinstance(expected, tuple) else (expected,)
    assert len(found) == len(expected)
    for mine, wanted in zip(found, expected, strict=True):
        assert mine.dtype == wanted.dtype
        np.testing.assert_array_equal(mine, wanted)


def test_split_words(text: Utf8) -> None:
    arguments = (text.data, text.offsets, characters.table(), characters.SPACE)
    split, measured = split_words.split_words(*arguments)
    same(split, split_words.reference(*arguments))
    _, n_bytes, joined = split
    begin = np.cumsum(n_bytes, dtype=np.int64) - n_bytes
    same(measured, measure_words.reference(joined, begin, n_bytes, arguments[2]))


def test_measure_words(words: Words) -> None:
    arguments = (words.joined, words.begin, words.n_bytes, characters.table())
    same(measure_words.measure_words(*arguments), measure_words.reference(*arguments))


def tokens(words: Words) -> tuple[np.ndarray, ...]:
    return words.joined, words.begin, words.n_bytes, words.n_chars, words.hashes, words.doc


def test_top_ngrams(words: Words) -> None:
    arguments = (*tokens(words), 4)
    same(top_ngrams.top_ngrams(*arguments), top_ngrams.reference(*arguments))


def test_duplicate_ngrams(words: Words) -> None:
    arguments = (*tokens(words), np.array([1, 2, 3, 5, 10]))
    same(duplicate_ngrams.duplicate_ngrams(*arguments), duplicate_ngrams.reference(*arguments))


def test_repeated_ngrams(words: Words) -> None:
    for max_n in (2, 4, 10):
        arguments = (*tokens(words), max_n)
        same(repeated_ngrams.repeated_ngrams(*arguments), repeated_ngrams.reference(*arguments))


def test_word_breaks(text: Utf8) -> None:
    from ultraclean.text import word_boundaries

    for wanted in (characters.alphanumeric(), np.ones(0x110000, dtype=np.bool_)):
        arguments = (text.data, text.offsets, word_boundaries.table(), wanted)
        same(word_breaks.word_breaks(*arguments), word_breaks.reference(*arguments))


def test_word_breaks_of_every_pair_of_classes() -> None:
    from ultraclean.text import word_boundaries

    table = word_boundaries.table()
    found = [np.flatnonzero(table == entry)[0] for entry in np.unique(table)]
    chars = [chr(code) for code in found if not 0xD800 <= code < 0xE000]
    assert {int(table[ord(char)]) & 0x7F for char in chars} == set(range(len(word_breaks.CLASSES)))
    rng = random.Random(2)
    texts = [
        a + b + c for a, b in itertools.product(chars, chars) for c in ("a", "1", "", "\u0308ב")
    ]
    texts += ["".join(rng.choices(chars, k=12)) for _ in range(300)]
    every = of_strings(texts)
    arguments = (every.data, every.offsets, table, np.ones(0x110000, dtype=np.bool_))
    same(word_breaks.word_breaks(*arguments), word_breaks.reference(*arguments))


def test_equal_hashes_are_not_taken_for_equal_words(words: Words) -> None:
    constant = np.zeros_like(words.hashes)
    blind = (*tokens(words)[:4], constant, words.doc)
    same(top_ngrams.top_ngrams(*blind, 4), top_ngrams.reference(*blind, 4))
    sizes = np.array([2, 5])
    same(
        duplicate_ngrams.duplicate_ngrams(*blind, sizes), duplicate_ngrams.reference(*blind, sizes)
    )


def test_ngrams_of_words_longer_than_the_table_of_powers() -> None:
    long = "x" * 3000
    words = whitespace_words(pa.array([f"{long} b {long} b {long} b", f"a{long} {long}a " * 3]))
    arguments = (*tokens(words), np.array([2, 3]))
    same(duplicate_ngrams.duplicate_ngrams(*arguments), duplicate_ngrams.reference(*arguments))


def test_newline_spans_and_what_repeats_in_them(text: Utf8) -> None:
    for min_run in (1, 2):
        arguments = (text.data, text.offsets[:-1], text.offsets[1:], min_run)
        spans = newline_spans.newline_spans(*arguments)
        same(spans, newline_spans.reference(*arguments))
        for firsts in (False, True):
            repeated = duplicate_spans.duplicate_spans(text.data, *spans, firsts)
            same(repeated, duplicate_spans.reference(text.data, *spans, firsts))


def test_strip_ends(text: Utf8) -> None:
    spans = (text.offsets[:-1], text.offsets[1:])
    arguments = (text.data, *spans, characters.table(), characters.leads(), characters.SPACE)
    same(strip_ends.strip_ends(*arguments), strip_ends.reference(*arguments))


def test_line_marks(text: Utf8) -> None:
    classes = (characters.table(), characters.leads(), characters.SPACE, characters.LINE_BREAK)
    arguments = (text.data, text.offsets, *classes)
    same(line_marks.line_marks(*arguments), line_marks.reference(*arguments))


def test_nonblank_lines(text: Utf8) -> None:
    table = characters.marked([".", "。", "😀"])
    classes = (table, characters.leads(), characters.SPACE, characters.MARKED)
    arguments = (text.data, text.offsets, *classes)
    same(nonblank_lines.nonblank_lines(*arguments), nonblank_lines.reference(*arguments))


def test_members(words: Words) -> None:
    listed = word_list(["the", "ab", "中", "nowhere", "é", "the"])
    for repeats in (False, True):
        arguments = (
            *(words.joined, words.begin, words.n_bytes, words.hashes, words.doc),
            *(listed.data, listed.offsets, listed.hashes, repeats),
        )
        same(members.members(*arguments), members.reference(*arguments))


def test_bytes_that_are_not_utf8_stay_inside_the_buffer() -> None:
    broken = [b"\xf0\x9f", b"a\xe4\xb8", b"\xff\xfe b", b"\x80\x80", b"ok \xc3"]
    data = np.frombuffer(b"".join(broken), dtype=np.uint8)
    offsets = np.cumsum([0, *map(len, broken)]).astype(np.int64)
    table = characters.table()
    (doc, n_bytes, joined), _ = split_words.split_words(data, offsets, table, characters.SPACE)
    assert np.diff(doc).tolist() == [1, 1, 2, 1, 2]
    assert n_bytes.sum() == len(joined) == len(data) - 2
    classes = (table, characters.leads(), characters.SPACE, characters.LINE_BREAK)
    marks = line_marks.line_marks(data, offsets, *classes)
    assert marks[:, 0].tolist() == [1] * 5


@given(st.lists(st.sampled_from(["a", "b", "ab", "文"]), max_size=60), st.integers(0, 2**64 - 1))
def test_most_frequent_ngrams_with_ties_and_shared_counters(drawn: list[str], odd: int) -> None:
    words = whitespace_words(pa.array([" ".join(drawn), " ".join(drawn[::-1])]))
    for hashes in (words.hashes, words.hashes % np.uint64(2), words.hashes ^ np.uint64(odd)):
        arguments = (*tokens(words)[:4], hashes, words.doc, 4)
        same(top_ngrams.top_ngrams(*arguments), top_ngrams.reference(*arguments))


def test_ngrams_that_fill_their_counters() -> None:
    most = top_ngrams.FULL
    for first, second in ((most, most), (most - 1, most), (most + 2, most + 1), (600, 601)):
        text = "a b x " * first + "c d y " * second + "a b " + "e f z " * most
        words = whitespace_words(pa.array([text]))
        arguments = (*tokens(words), 4)
        same(top_ngrams.top_ngrams(*arguments), top_ngrams.reference(*arguments))


@given(st.binary(max_size=70), st.integers(0, 9), st.integers(0, 255))
def test_eight_bytes_at_a_time(raw: bytes, start: int, byte: int) -> None:
    data = np.frombuffer(raw + raw + bytes([byte]), dtype=np.uint8)
    stop = max(start, len(raw))
    found = (raw + raw + bytes([byte])).find(bytes([byte]), start, stop)
    assert wide.find_byte(data, start, stop, byte) == (stop if found < 0 else found)
    begins = sum(value & 0xC0 != 0x80 for value in data[start:stop])
    assert wide.n_code_points(data, start, stop) == begins
    if start < len(raw):
        n_bytes, again = len(raw) - start, start + len(raw)
        assert wide.same_span(data, start, again, n_bytes)
        assert wide.hash_span(data, start, len(raw)) == wide.hash_span(data, again, 2 * len(raw))
        for place in range(n_bytes):
            other = data.copy()
            other[again + place] ^= 1 + byte % 255
            assert not wide.same_span(other, start, again, n_bytes)


def test_classes_of_what_a_byte_may_begin() -> None:
    table = characters.table()
    expected = np.zeros(256, dtype=np.uint8)
    for code in [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]:
        expected[chr(code).encode()[0]] |= table[code]
    # surrogates, which UTF-8 has not, would begin with 0xED
    assert (characters.leads() | expected == characters.leads()).all()
    assert np.flatnonzero(characters.leads() != expected).tolist() in ([], [0xED])


def test_totals_of_words(text: Utf8, words: Words) -> None:
    arguments = (text.data, text.offsets)
    classes = (characters.table(), characters.leads(), characters.SPACE)
    same(word_totals.count_words(*arguments, *classes), word_totals.reference_words(*arguments))
    for kind in (characters.ALPHA, characters.NOT_PUNCTUATION):
        arguments = (words.doc, words.n_chars, words.classes, kind)
        same(word_totals.class_totals(*arguments), word_totals.reference_totals(*arguments))
