"""Normalising and cutting without Python strings gives what `text.classifier` gives."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ultrakernels import plain_text

from ultraclean.text import classifier, plain
from ultraclean.text.buffers import of_strings, utf8

EDGES = [
    "",
    "a",
    " ",
    "\n\n\n\n",
    "a\n\n\n\nb",
    "a\n\n\u0301\n\nb",
    "İstanbul ΣΑΣ",
    "x \x1c",
    "\x1c\x85 x",
    "é\u0301",
    "\u302e\u302f a",
    " " * 50,
    "ﷺ" * 50,
    "한국어 문장",
    "１２３ ½ ²",
    "a\u2028b\u2029",
    "tab\there\r\n",
    "__label__pos </s>",
    "ǅ ﬁ",
    "\u200b\ufeff",
    "😀👨‍👩‍👧 ok",
    "\x00\x0b\x0c",
    "\U0010ffff\U000e0100",
]


def passes(texts: list[str]) -> tuple[dict[str, list[str]], list[bool]]:
    """What each pass makes of the texts, and which it calls odd."""
    text, forms = of_strings(texts), plain.forms()
    data, ends, odd, _ = plain_text.plain(
        text.data, text.offsets, forms.pages, forms.forms, forms.pool
    )
    found = {"plain": (data, ends)}
    found["words"] = plain_text.cut_words(data, ends, plain.word_kinds())
    found["none"] = plain_text.squeeze(data, ends, plain.word_kinds())
    same = lambda one: one  # noqa: E731
    return {name: plain_text.reference(*made, same) for name, made in found.items()}, odd.tolist()


def expected(texts: list[str]) -> dict[str, list[str]]:
    return {
        "plain": [classifier.plain(text) for text in texts],
        "words": classifier.normalise_batch(texts, classifier.words),
        "none": classifier.normalise_batch(texts, None),
    }


def check(texts: list[str]) -> list[bool]:
    found, odd = passes(texts)
    for name, theirs in expected(texts).items():
        for text, one, other, skipped in zip(texts, found[name], theirs, odd, strict=True):
            assert skipped or one == other, (name, text)
    return odd


def mixed(n_texts: int) -> Iterator[str]:
    """Every plane, with what the rules are about more often."""
    rng = random.Random(1)
    pool = [chr(code) for code in range(0x3000)] + [
        chr(rng.randrange(0x3000, 0x110000)) for _ in range(2000)
    ]
    pool = [char for char in pool if not 0xD800 <= ord(char) < 0xE000]
    pool += list("中文。，！？ \n\n\n\t  ") * 60 + list("abc ABC  123 '.") * 100
    for _ in range(n_texts):
        yield "".join(rng.choice(pool) for _ in range(rng.randrange(1, 120)))


def test_edges_and_mixtures() -> None:
    odd = check(EDGES + list(mixed(1500)))
    assert 0 < sum(odd) < 100
    assert odd[EDGES.index("İstanbul ΣΑΣ")]
    assert odd[EDGES.index("\u302e\u302f a")]


@given(st.lists(st.text(max_size=60), max_size=6))
def test_any_text(texts: list[str]) -> None:
    check(texts)


def test_every_code_point_by_itself_and_between_letters() -> None:
    codes = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    parts = ["a".join(map(chr, codes[start : start + 256])) for start in range(0, len(codes), 256)]
    odd = check(parts)
    assert sum(odd) < 40


def test_real_text(shared_data: Path) -> None:
    for name in ("text/zh_lctt", "text/bbc", "langid/udhr"):
        with gzip.open(shared_data / f"{name}.jsonl.gz", "rt") as lines:
            texts = [json.loads(line)["text"] for line, _ in zip(lines, range(60), strict=False)]
        assert sum(check(texts)) < 12  # capital sigma in Greek, mostly


def test_invalid_bytes_are_odd_and_harmless() -> None:
    raw = [
        b"ok",
        b"\xff",
        b"a\xe4\xb8",
        b"\xed\xa0\x80",
        b"\xf5\x80\x80\x80",
        b"\xc0\x80",
        b"\xe4a",
    ]
    data = np.frombuffer(b"".join(raw), dtype=np.uint8)
    offsets = np.cumsum([0, *map(len, raw)]).astype(np.int64)
    forms = plain.forms()
    *_, odd, _ = plain_text.plain(data, offsets, forms.pages, forms.forms, forms.pool)
    assert odd.tolist() == [False, True, True, True, True, True, True]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_slices_and_nulls(kind: pa.DataType) -> None:
    column = pa.array(["x", None, "Ünï\n\n\n\nß", "", "中 文"], kind).slice(1)
    text, forms = utf8(column), plain.forms()
    data, ends, odd, _ = plain_text.plain(
        text.data, text.offsets, forms.pages, forms.forms, forms.pool
    )
    assert plain_text.reference(data, ends, str) == ["", "uni\n\nß", "", "中 文"]
    assert not odd.any()
