"""Chunks between white space, their tokens by memory, and the digests of runs of tokens."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ultrakernels import chunk_tokens
from ultrakernels.chunk_tokens import Cuts, Memory, Pairs, chunks
from ultrakernels.run_digests import reference as reference_digests
from ultrakernels.run_digests import run_digests

from ultraclean.text import characters
from ultraclean.text.buffers import of_strings

PAIRS = frozenset({"a.", "你)", "))", "💩x"})


def halves(pieces: Sequence[bytes]) -> Cuts:
    """A tokenizer for tests: two characters a token, and white space is none."""
    n, begin, size = [], [], []
    for piece in pieces:
        text = piece.decode()
        cuts = [len(text[:i].encode()) for i in range(0, len(text), 2)] + [len(piece)]
        found = [(b, e) for b, e in itertools.pairwise(cuts) if piece[b:e].strip()]
        n.append(len(found))
        begin += [b for b, _ in found]
        size += [e - b for b, e in found]
    return np.array(n, dtype=np.int64), np.array(begin, np.int64), np.array(size, np.int64)


def found_in(texts: list[str]) -> tuple[np.ndarray, chunk_tokens.Spans]:
    text = of_strings(["before ", *texts])
    offsets = text.offsets[1:]
    return text.data, chunks(text.data, offsets, characters.table(), characters.SPACE, Pairs(PAIRS))


def listed(data: np.ndarray, found: chunk_tokens.Spans) -> list[list[bytes]]:
    doc, begin, end = found
    spans = [data[b:e].tobytes() for b, e in zip(begin, end, strict=True)]
    return [spans[b:e] for b, e in itertools.pairwise(doc)]


@given(st.lists(st.text(alphabet="ab.)你💩x \n\u2003\u0085"), max_size=5))
def test_chunks_are_those_of_the_reference(texts: list[str]) -> None:
    expected = chunk_tokens.reference_chunks(texts, PAIRS)
    assert [[one.decode() for one in row] for row in listed(*found_in(texts))] == expected


@given(st.lists(st.lists(st.text(alphabet="abc你💩 ", max_size=40), max_size=4), max_size=4))
def test_tokens_are_those_of_the_reference_in_any_state_of_the_memory(batches: list[list[str]]) -> None:  # fmt: skip
    memory = Memory(halves)
    for texts in batches:
        data, found = found_in(texts)
        expected = chunk_tokens.reference_tokens(data, found, halves)
        for mine, theirs in zip(memory.tokens(data, found), expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_many_chunks_grow_the_memory_and_too_many_empty_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_tokens, "MOST_CHUNKS", 5000)
    chance = random.Random(3)
    memory = Memory(halves)
    for _ in range(4):
        texts = [" ".join(str(chance.randrange(10**6)) for _ in range(3000)), "x" * 100_000]
        data, found = found_in(texts)
        expected = chunk_tokens.reference_tokens(data, found, halves)
        for mine, theirs in zip(memory.tokens(data, found), expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert memory._counts[0] < 9000


def test_a_tokenizer_that_fails_leaves_nothing_half_known() -> None:
    broken = True

    def sometimes(pieces: Sequence[bytes]) -> Cuts:
        if broken:
            raise RuntimeError("no")
        return halves(pieces)

    memory = Memory(sometimes)
    data, found = found_in(["abc abc d"])
    with pytest.raises(RuntimeError):
        memory.tokens(data, found)
    broken = False
    assert listed(data, memory.tokens(data, found)) == [[b"ab", b"c", b"ab", b"c", b"d"]]


@pytest.mark.parametrize("sha1", [False, True])
@given(st.lists(st.lists(st.text(min_size=1, max_size=90).filter(lambda w: not any(map(str.isspace, w))), max_size=7), max_size=4), st.integers(1, 4))  # fmt: skip
def test_digests_are_those_of_the_libraries(sha1: bool, texts: list[list[str]], n: int) -> None:
    pytest.importorskip("xxhash")
    tokens = [[word.encode("utf-8", "ignore") or b"?" for word in words] for words in texts]
    every = [word for words in tokens for word in words]
    ends = np.cumsum([0, *map(len, every)]).astype(np.int64)
    doc = np.cumsum([0, *map(len, tokens)]).astype(np.int64)
    data = np.frombuffer(b"".join(every) + b"\0", dtype=np.uint8)
    found, offsets = run_digests(data, (doc, ends[:-1], ends[1:]), n, sha1=sha1)
    expected = reference_digests(tokens, n, sha1=sha1)
    assert [found[b:e].tolist() for b, e in itertools.pairwise(offsets)] == expected
