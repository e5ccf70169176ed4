"""MinHash signatures against the reference, against true Jaccard, and against the theory of bands."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ultrakernels import minhash

N_PERM = 112
A, B = minhash.parameters(1, N_PERM)


def similar_pairs(
    n_pairs: int, n_words: int, seed: int
) -> tuple[list[str], list[str], list[float]]:
    """Pairs of texts that share some words, with the Jaccard similarity of their sets of words."""
    draw = random.Random(seed)
    left, right, jaccard = [], [], []
    for pair in range(n_pairs):
        n_shared = draw.randrange(n_words)
        words = [f"w{pair}x{i}" for i in range(2 * n_words - n_shared)]
        one, two = words[:n_words], words[n_words - n_shared :]
        draw.shuffle(two)
        left.append(" ".join(one))
        right.append(" ".join(two))
        jaccard.append(n_shared / len(words))
    return left, right, jaccard


@given(st.lists(st.text(max_size=80) | st.none(), max_size=8), st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_kernel_is_the_reference(texts: list[str | None], ngram: int) -> None:
    column = pa.array(texts, pa.string())
    fast, n_fast = minhash.signatures(column, ngram, A, B)
    slow, n_slow = minhash.reference(column, ngram, A, B)
    assert np.array_equal(fast, slow)
    assert np.array_equal(n_fast, n_slow)


@pytest.mark.parametrize("n_words", [2046, 2047, 2048, 2052, 2053, 4096, 4103])
def test_long_documents_cross_blocks_like_the_reference(n_words: int) -> None:
    draw = random.Random(n_words)
    text = " ".join(str(draw.randrange(10**6)) for _ in range(n_words))
    column = pa.array(["before it", text, "one two three four five six"])
    fast, n_shingles = minhash.signatures(column, 5, A, B)
    slow, n_slow = minhash.reference(column, 5, A, B)
    assert np.array_equal(fast, slow)
    assert n_shingles.tolist() == n_slow.tolist() == [0, n_words - 4, 2]


def test_a_document_shorter_than_a_shingle_has_none() -> None:
    signature, n_shingles = minhash.signatures(pa.array(["a b c d", "a b c d e", ""]), 5, A, B)
    assert n_shingles.tolist() == [0, 1, 0]
    assert (signature[0] == 2**32 - 1).all()
    assert (signature[1] < 2**32 - 1).any()


def test_error_is_what_theory_says() -> None:
    left, right, jaccard = similar_pairs(1500, 120, seed=5)
    one = minhash.signatures(pa.array(left), 1, A, B)[0]
    two = minhash.signatures(pa.array(right), 1, A, B)[0]
    true = np.array(jaccard)
    theory = np.sqrt((true * (1 - true)).mean() / N_PERM)
    rmse = np.sqrt((((one == two).mean(axis=1) - true) ** 2).mean())
    assert rmse < 1.05 * theory
    estimated = minhash.similarity(minhash.signature_bytes(one), minhash.signature_bytes(two))
    assert np.sqrt(((estimated - true) ** 2).mean()) < 1.1 * theory
    assert abs((estimated - true).mean()) < 4 * theory / np.sqrt(len(true))


def test_bands_meet_as_often_as_theory_says() -> None:
    left, right, jaccard = similar_pairs(4000, 60, seed=8)
    keys = [
        minhash.band_keys(minhash.signatures(pa.array(texts), 1, A, B)[0], 14, 8, 1)
        for texts in (left, right)
    ]
    met = (keys[0] == keys[1]).any(axis=1)
    expected = 1 - (1 - np.array(jaccard) ** 8) ** 14
    for low, high in ((0.0, 0.5), (0.5, 0.65), (0.65, 0.8), (0.8, 1.0)):
        some = (np.array(jaccard) >= low) & (np.array(jaccard) < high)
        spread = np.sqrt((expected[some] * (1 - expected[some])).sum()) / some.sum()
        assert abs(met[some].mean() - expected[some].mean()) < 4 * spread + 1e-3


def test_band_keys_tell_bands_and_seeds_apart() -> None:
    same = np.full((1, 16), 7, dtype=np.uint32)
    keys = minhash.band_keys(same, 4, 4, seed=1)
    assert len(np.unique(keys)) == 4
    assert not np.isin(keys, minhash.band_keys(same, 4, 4, seed=2)).any()
    swapped = same.copy()
    swapped[0, 0], swapped[0, 1] = 8, 9
    other = swapped[:, [1, 0, *range(2, 16)]]
    assert minhash.band_keys(swapped, 4, 4, 1)[0, 0] != minhash.band_keys(other, 4, 4, 1)[0, 0]


def test_parameters_never_change() -> None:
    a, b = minhash.parameters(17, 3)
    assert a.tolist() == [2156164593, 1681194851, 1410165815]
    assert b.tolist() == [786658147, 3035164113, 47455116]
    assert (a % 2 == 1).all()


@given(
    st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=6), max_size=5),
    st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_mersenne_kernel_is_the_reference(docs: list[list[int]], seed: int) -> None:
    a, b = minhash.mersenne_parameters(seed, 16)
    offsets = np.cumsum([0, *map(len, docs)]).astype(np.int64)
    values = np.array([x for doc in docs for x in doc], dtype=np.uint64)
    fast = minhash.mersenne_signatures(values, offsets, a, b)
    assert np.array_equal(fast, minhash.mersenne_reference(values, offsets, a, b))
