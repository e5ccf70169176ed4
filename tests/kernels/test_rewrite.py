"""Texts rewritten by a table: the kernel, its reference, and datatrove's function."""

from __future__ import annotations

import itertools
import random
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ultrakernels import rewrite

from ultraclean.text.buffers import of_strings

TABLE = rewrite.Table.of(
    np.array(
        [rewrite.SPACE if chr(c).isspace() else rewrite.DIGIT if chr(c).isdigit() else 0 for c in range(2**16)]
        + [rewrite.COPY] * (sys.maxunicode + 1 - 2**16),
        dtype=np.uint8,
    ),
    {ord("A"): b"a", ord("´"): b"", ord("ß"): b"sharp", ord("!"): b"?"},
)  # fmt: skip
TABLE.kinds[[ord("."), ord("!"), ord("·")]] |= rewrite.POINT
TABLE.kinds[ord("Σ")] = rewrite.SLOW


@given(st.lists(st.text(alphabet="A´ß!.·Σ 1٣\n你😀b"), max_size=6))
def test_the_kernel_is_its_reference(texts: list[str]) -> None:
    text = of_strings(["before", *texts])
    out, ends, slow = rewrite.rewrite(text.data, text.offsets[1:], TABLE)
    found = [out[b:e].tobytes().decode() for b, e in itertools.pairwise(ends)]
    expected = rewrite.reference(texts, TABLE)
    assert [None if gone else one for one, gone in zip(found, slow, strict=True)] == expected


def test_every_code_point_becomes_what_datatrove_makes_of_it() -> None:
    pytest.importorskip("datatrove")
    from datatrove.utils.text import simplify_text

    from ultraclean.text.simplified import simplified

    every = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]
    # by itself, between digits, and beside spaces and a mark
    shuffled = random.Random(1).sample(every, len(every))
    texts = [f"1{char}2 {char} a{char}\u0301 x" for char in shuffled]
    joined = ["".join(texts[i : i + 64]) for i in range(0, len(texts), 64)]
    text = of_strings(joined)
    data, ends = simplified(text.data, text.offsets)
    for row, (b, e) in enumerate(itertools.pairwise(ends)):
        assert data[b:e].tobytes().decode() == simplify_text(joined[row]), joined[row]


@given(st.lists(st.text(), max_size=4))
def test_texts_become_what_datatrove_makes_of_them(texts: list[str]) -> None:
    pytest.importorskip("datatrove")
    from datatrove.utils.text import simplify_text

    from ultraclean.text.simplified import simplified

    texts = [text.encode("utf-8", "ignore").decode() for text in texts]
    text = of_strings(texts)
    data, ends = simplified(text.data, text.offsets)
    found = [data[b:e].tobytes().decode() for b, e in itertools.pairwise(ends)]
    assert found == [simplify_text(one) for one in texts]
